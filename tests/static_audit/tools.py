"""One function for each tool: runs it and reads what it found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("coordinator_service", "agent_service", "clients/python", "clients/conformance", "protos", "benchmarks")
GOVULNCHECK = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
SECONDS_MAX = 180
FOUND_BY_GOVULNCHECK = 3


@dataclass(slots=True)
class Audited:
    """What a tool found. not_audited says what could not be looked at, and why; empty when everything was."""

    tool: str
    findings: list[str] = field(default_factory=list)
    not_audited: str = ""


def bandit() -> Audited:
    """Static analysis of our Python."""
    command = [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", *SOURCES, "-f", "json"]
    ran = _ran(command)
    told = _json(ran.stdout)
    if told is None:
        return Audited("bandit", not_audited=_last_line(ran.stderr) or "it told nothing")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return unexplained(told, config["tool"]["concert"]["audit"])


def unexplained(told: dict[str, Any], explained: dict[str, str]) -> Audited:
    """What bandit found, less what is explained; an explanation of nothing is a finding, too."""
    audited = Audited("bandit", [f"{each['filename']}: {each['reason']}" for each in told["errors"]])
    used = set()
    for each in told["results"]:
        name = f"{each['test_id']} {Path(each['filename'])}"
        if name in explained:
            used.add(name)
        else:
            audited.findings.append(f"{each['filename']}:{each['line_number']}: {each['test_id']} {each['issue_text']}")
    audited.findings += [
        f"pyproject.toml: {name}: explained, and not found" for name in sorted(explained.keys() - used)
    ]
    return audited


def pip_audit() -> Audited:
    """Known vulnerabilities of the Python packages that are pinned."""
    audited = Audited("pip-audit")
    for service in ("pypi", "osv"):
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-s", service]
        ran = _ran([sys.executable, "-m", "pip_audit", "-r", "constraints.txt", *options])
        told = _json(ran.stdout)
        if told is not None:
            audited = vulnerable_packages(told)
            if not audited.not_audited:
                break
        elif not audited.not_audited:
            audited.not_audited = _last_line(ran.stderr) or "it told nothing"
    return audited


def vulnerable_packages(told: dict[str, Any]) -> Audited:
    """What pip-audit told."""
    packages = told["dependencies"]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    findings = [
        f"{each['name']} {each['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'no version'}"
        for each in packages
        for fault in each.get("vulns", ())
    ]
    said = f"its database was out of reach for {len(skipped)} of {len(packages)} packages" if skipped else ""
    return Audited("pip-audit", findings, said)


def govulncheck() -> Audited:
    """Known vulnerabilities that the Go client reaches."""
    if shutil.which("go") is None:
        return Audited("govulncheck", not_audited="Go is not installed")
    ran = _ran(["go", "run", GOVULNCHECK, "./..."], "clients/go")
    if ran.returncode == 0:
        return Audited("govulncheck")
    found = [line for line in ran.stdout.splitlines() if line.startswith("Vulnerability #")]
    if found:
        return Audited("govulncheck", found)
    said = [line for line in ran.stderr.splitlines() if line.startswith("govulncheck:")]
    return Audited("govulncheck", not_audited=said[0] if said else _last_line(ran.stderr) or "it told nothing")


def npm_audit() -> Audited:
    """Known vulnerabilities of what the TypeScript client depends on."""
    if shutil.which("npm") is None:
        return Audited("npm audit", not_audited="npm is not installed")
    ran = _ran(["npm", "audit", "--json", "--fetch-retries=0"], "clients/typescript")
    told = _json(ran.stdout)
    return Audited("npm audit", not_audited=_last_line(ran.stderr)) if told is None else advisories(told)


def advisories(told: dict[str, Any]) -> Audited:
    """What npm told."""
    if "vulnerabilities" not in told:
        error = told.get("error") or {}
        said = error.get("summary") or told.get("message") or "it told nothing"
        return Audited("npm audit", not_audited=f"the registry's advisories are out of reach: {said}")
    found = told["vulnerabilities"].values()
    return Audited("npm audit", [f"{each['name']} {each['range']}: {each['severity']}" for each in found])


def _ran(command: Sequence[str], directory: str = ".") -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = {"cwd": ROOT / directory, "capture_output": True, "text": True, "check": False}
    try:
        return subprocess.run(command, **given, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {SECONDS_MAX} s")


def _json(text: str) -> dict[str, Any] | None:
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
