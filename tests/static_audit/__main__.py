"""`python -m tests.static_audit`: exit code 1 when anything was found, or, with --strict, could not be looked at."""

from __future__ import annotations

import sys

from tests.static_audit.tools import Audited, bandit, govulncheck, npm_audit, pip_audit


def main(arguments: list[str]) -> int:
    """Runs every tool, tells what each found, and returns the exit code."""
    strict = "--strict" in arguments
    failed = False
    for audit in (bandit, pip_audit, govulncheck, npm_audit):
        audited = audit()
        failed = failed or bool(audited.findings) or (strict and bool(audited.not_audited))
        print(_told(audited), flush=True)
    return 1 if failed else 0


def _told(audited: Audited) -> str:
    lines = [f"{audited.tool}: {finding}" for finding in audited.findings]
    if audited.not_audited:
        lines.append(f"{audited.tool}: NOT AUDITED: {audited.not_audited}")
    return "\n".join(lines) or f"{audited.tool}: nothing found"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
