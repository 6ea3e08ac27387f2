"""The demonstration for real: five processes, and a deployment that they do together."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import concert
import pytest
from PIL import Image

from agent_service.demo import Member, ready
from agent_service.deployment import AGENTS, TaskView, deploy
from agent_service.infrastructure.local import LocalProvider
from agent_service.request import deployment_request
from agent_service.site_client import trust
from tests.agents.conftest import DOMAIN, write_post
from tests.agents.test_security import AWS_KEY

FIELDS = {
    "deployment_id",
    "domain",
    "status",
    "successful_agents",
    "failed_agents",
    "total_execution_time_seconds",
    "infrastructure_deployed",
    "content_migrated",
    "security_configured",
    "quality_validated",
    "agent_results",
    "deployment_timestamp",
}
MORE_FIELDS = {"tasks", "makespan_seconds", "critical_path", "critical_path_seconds", "speed_up", "failure_report"}
RUN_SECONDS_MAX = 90


def demo(var: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "agent_service", "demo", "--var", str(var), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )


def input_file(directory: Path, sources: list[Path], **more: Any) -> Path:
    """A deployment's input."""
    path = directory / "input.json"
    path.write_text(json.dumps({"domain": DOMAIN, "content_sources": [str(each) for each in sources], **more}))
    return path


def is_up(summary: dict[str, Any]) -> bool:
    """Whether anything listens where the site was."""
    place = summary["agent_results"]["infrastructure"]["result"]["distribution"]

    async def connect() -> bool:
        try:
            _, writer = await asyncio.open_connection(place["address"], place["https_port"])
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    return asyncio.run(connect())


def test_the_blog_is_deployed_by_five_processes(tmp_path: Path) -> None:
    """Exit code 0, the summary and nothing else on standard output, and nobody left behind."""
    ran = demo(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("{")
    summary = json.loads(ran.stdout)
    assert set(summary) == FIELDS | MORE_FIELDS
    assert (summary["status"], summary["failed_agents"], summary["failure_report"]) == ("success", [], None)
    assert summary["successful_agents"] == list(AGENTS)
    for field in ("infrastructure_deployed", "content_migrated", "security_configured", "quality_validated"):
        assert summary[field] is True
    assert summary["agent_results"]["content"]["result"]["posts"] >= 12
    assert summary["agent_results"]["security"]["result"]["security_score"] >= 0.9
    assert summary["agent_results"]["quality_assurance"]["result"]["issues_found"] == []
    assert summary["critical_path"] == ["infrastructure", "content", "quality_assurance"]
    assert summary["critical_path_seconds"] <= summary["makespan_seconds"] <= summary["total_execution_time_seconds"]
    assert set(summary["tasks"]) == set(AGENTS)
    assert not is_up(summary)
    logs = {path.name for path in tmp_path.glob("*/logs/*.log")}
    assert logs == {"coordinator.log", *(f"{name}.log" for name in AGENTS)}
    told = [line.split()[0] for line in ran.stderr.splitlines() if "SUCCEEDED" in line]
    assert set(told) == set(AGENTS)
    (file,) = tmp_path.glob("*/summary.json")
    assert json.loads(file.read_text()) == summary
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("4 of 4 agents succeeded in ")
    assert last.endswith(f"are in {file.parent}; make demo SERVE=1 to look around")


def test_one_failure_leaves_the_others_alone_and_is_reported(tmp_path: Path, small_blog: list[Path]) -> None:
    """A missing source: content is refused, quality skipped because of it, security goes on."""
    sources = [*small_blog, tmp_path / "missing"]
    ran = demo(tmp_path / "var", "--input", str(input_file(tmp_path, sources)), "--short")
    assert ran.returncode == 1, ran.stderr
    assert "s, not content and quality_assurance;" in ran.stderr.splitlines()[-1]
    (file,) = tmp_path.glob("var/*/summary.json")
    short, summary = json.loads(ran.stdout), json.loads(file.read_text())
    ended = {name: each["status"] for name, each in summary["agent_results"].items()}
    assert short == {**summary, "agent_results": ended}
    assert ended["content"] == "failed"
    assert summary["status"] == "partial_failure"
    assert summary["successful_agents"] == ["infrastructure", "security"]
    assert summary["failed_agents"] == ["content", "quality_assurance"]
    (failure,) = summary["failure_report"]["failures"]
    assert (failure["agent"], failure["error_type"]) == ("content", "PRECONDITION_FAILED")
    assert str(tmp_path / "missing") in failure["message"]
    assert failure["skipped_because_of_it"] == ["quality_assurance"]
    assert failure["attempts"] == 1
    assert not is_up(summary)


def test_a_site_below_the_thresholds_is_no_success(tmp_path: Path, small_blog: list[Path]) -> None:
    """A secret planted in a post: found by security, and quality says no and why."""
    write_post(small_blog[0], "leak", f"Use this:\n\n    {AWS_KEY}")
    ran = demo(tmp_path / "var", "--input", str(input_file(tmp_path, small_blog)))
    assert ran.returncode == 1, ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["failed_agents"] == ["quality_assurance"]
    (failure,) = summary["failure_report"]["failures"]
    assert failure["error_type"] == "QualityNotMet"
    findings = summary["agent_results"]["security"]["result"]["findings"]
    assert [finding["where"].partition(":")[0] for finding in findings] == ["first/leak.md"]
    report = summary["agent_results"]["quality_assurance"]["report"]
    assert {"security_score", "/posts/leak/index.html"} <= {issue["where"] for issue in report["issues_found"]}
    assert AWS_KEY not in ran.stdout


async def test_agents_that_are_killed_at_work_are_replaced_and_the_deployment_succeeds(
    tmp_path: Path, small_blog: list[Path]
) -> None:
    """SIGKILL of the content agent in the middle of its work, and of the infrastructure agent that serves the site."""
    provider = tmp_path / "provider"
    account = LocalProvider(provider).account
    account.open()
    account.claim(DOMAIN)
    ready_file = tmp_path / "ready.json"
    members: list[Member] = []

    async def start(name: str, *arguments: str) -> Member:
        log_file = tmp_path / f"{name}-{len(members)}.log"
        member = Member(name, arguments, log_file, {"CONCERT_PROVIDER_ROOT": str(provider)})
        members.append(member)
        await member.start()
        return member

    async def host(name: str) -> Member:
        return await start(name, "agent_service", "host", name, "--coordinator", address, "--lease-seconds", "2")

    at_work, secured = asyncio.Event(), asyncio.Event()

    def watch(views: dict[str, TaskView]) -> None:
        if "content" in views and views["content"].fraction > 0:
            at_work.set()
        if "security" in views and views["security"].state == "SUCCEEDED":
            secured.set()

    options = ("--listen", "127.0.0.1:0", "--event-store", "memory", "--ready-file", str(ready_file))
    try:
        async with asyncio.timeout(RUN_SECONDS_MAX):
            address = (await ready(await start("coordinator", "coordinator_service", *options), ready_file)).address
            hosted = {name: await host(name) for name in AGENTS}
            # Enough work to be killed in the middle of.
            for number in range(8):
                Image.effect_noise((1600, 900), 40).save(small_blog[0] / f"noise-{number}.png")
            request = deployment_request({"domain": DOMAIN, "content_sources": [str(path) for path in small_blog]})
            async with concert.connect(address) as client, asyncio.TaskGroup() as group:
                deploying = group.create_task(deploy(client, request, watch))
                # Security needs the site that the infrastructure agent serves, so that one is left alone until then.
                for moment, name in ((at_work, "content"), (secured, "infrastructure")):
                    await moment.wait()
                    await hosted[name].kill()
                    await host(name)
        summary = deploying.result()
        assert (summary["status"], summary["failure_report"]) == ("success", None)
        attempts = [summary["agent_results"][name]["attempts"] for name in ("infrastructure", "content", "security")]
        assert attempts == [1, 2, 1]
    finally:
        for member in reversed(members):
            await member.stop()


async def test_served_it_stays_up_until_it_is_told_to_stop(tmp_path: Path, small_blog: list[Path]) -> None:
    """SIGTERM ends it in order; until then a browser that trusts the authority sees the blog."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agent_service", "demo", "--serve", "--var", str(tmp_path / "var")),
        *("--input", str(input_file(tmp_path, small_blog))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert started.stdout is not None
    assert started.stderr is not None
    try:
        async with asyncio.timeout(RUN_SECONDS_MAX):
            told = await started.stdout.readuntil(b"\n}\n")
            site = json.loads(told)["agent_results"]["infrastructure"]["result"]
            tls = trust(site["certificate"]["authority_file"])
            async with aiohttp.ClientSession() as session:
                async with session.get(site["local_url"] + "posts/one/", ssl=tls) as response:
                    assert response.status == 200
                plain = f"http://localhost:{site['distribution']['http_port']}/posts/one/"
                async with session.get(plain, ssl=tls) as response:
                    assert str(response.url) == site["local_url"] + "posts/one/"
            started.send_signal(signal.SIGTERM)
            _, errors = await started.communicate()
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGTERM)
            await started.wait()
    assert started.returncode == 0, errors.decode()
    assert f"curl --cacert {site['certificate']['authority_file']}" in errors.decode()
    assert errors.decode().splitlines()[-1].startswith("The live page: http://127.0.0.1:")
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", site["distribution"]["https_port"])
