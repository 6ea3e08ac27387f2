"""The Python client and the command against a coordinator that wants to know who calls."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import concert
import pytest
from concert.agent import Agent
from concert.agent.runtime import AgentHost

from coordinator_service.server import CoordinatorServer
from tests.security.authority import Authority, Issuer
from tests.security.secured import OWN, hashes, secured, token_of, until
from tests.security.test_identity import jwt_settings, tls_settings

AGENT = "spiffe://example.org/agent"


class Renderer(Agent):
    """Says hello."""

    name = "agent"
    capabilities = ("rendering",)

    async def execute(self, context: object) -> str:
        return "hello"


async def test_mutual_tls_and_renewed_certificates(tmp_path: Path) -> None:
    """Calls, a session and an agent over mutual TLS; a certificate that is renewed counts for the next connection."""
    authority = Authority()
    certificate, key = authority.issue(uris=[AGENT]).write(tmp_path, "agent")
    known = concert.tls(tmp_path / "ca.pem", certificate=certificate, key=key)
    async with secured(tmp_path, **tls_settings(tmp_path, authority)) as server:
        async with concert.connect(server.address, namespace=OWN, credentials=known) as client:
            async with AgentHost(Renderer(), address=server.address, namespace=OWN, credentials=known) as host:
                await host.registered()
                run = await client.submit_run(tasks=[concert.task("page", capability="rendering")])
                assert (await run.wait()).status == concert.RunStatus.RUN_STATUS_SUCCEEDED
                async with client.session() as session:
                    await session.publish("hello")
            renewed = Authority("another")
            for name, issued in (
                ("server", renewed.issue(hosts=["localhost"])),
                ("agent", renewed.issue(uris=[AGENT])),
            ):
                issued.write(tmp_path, name)
            (tmp_path / "ca.pem").write_bytes(renewed.certificate)

            async def counts() -> bool:
                async with concert.connect(server.address, credentials=known, retry_seconds=0) as fresh:
                    try:
                        await fresh.server_info()
                    except concert.Unavailable:
                        return False
                return True

            await until(counts)


async def test_a_coordinator_that_is_not_trusted_is_named(tmp_path: Path) -> None:
    """Another authority: the error says what to do, and nothing was sent."""
    authority = Authority()
    (tmp_path / "other.pem").write_bytes(Authority("other").certificate)
    async with secured(tmp_path, **tls_settings(tmp_path, authority, mutual=False)) as server:
        wrong = concert.tls(tmp_path / "other.pem")
        async with concert.connect(server.address, credentials=wrong, retry_seconds=0) as client:
            with pytest.raises(concert.Unavailable, match=r"is not trusted|TLS"):
                await client.publish("x")


async def test_token_sources(tmp_path: Path) -> None:
    """A word, a function, an async function, a file that changes; errors are those of the contract."""
    file = tmp_path / "token"
    file.write_text(f"{token_of('agent')}\n")

    async def asked() -> str:
        await asyncio.sleep(0)
        return token_of("agent")

    async with secured(tmp_path) as server:
        for source in (token_of("agent"), lambda: token_of("agent"), asked, concert.token_file(file)):
            async with concert.connect(server.address, namespace=OWN, token=source) as client:
                await client.publish("x")
                async with client.session() as session:
                    await session.publish("x")
        async with concert.connect(server.address, namespace=OWN, token=concert.token_file(file)) as client:
            await client.publish("x")
            file.write_text(token_of("viewer"))
            with pytest.raises(concert.PermissionDenied):
                await client.publish("x")
            file.write_text("unknown")
            with pytest.raises(concert.Unauthenticated):
                await client.publish("x")
        async with concert.connect(server.address, namespace=OWN) as client:
            with pytest.raises(concert.Unauthenticated):
                await client.publish("x")


async def test_an_agent_outlives_its_token(tmp_path: Path) -> None:
    """A session whose token expires goes on with the next one: same session, nothing lost."""
    issuer = Issuer()
    given = []

    def source() -> str:
        given.append(issuer.token("agent", seconds=2))
        return given[-1]

    access = "grants: [{principals: ['jwt:agent'], role: agent, namespaces: ['own']}]\n"
    async with secured(tmp_path, access=access, **jwt_settings(tmp_path, issuer)) as server:
        async with concert.connect(server.address, namespace=OWN, token=source) as client:
            async with client.session(agent_name="agent") as session:
                before = session.session_id
                opened = len(given)
                await until(lambda: len(given) > opened)
                await session.publish("still here")
                assert session.session_id == before


async def test_a_withdrawn_token_ends_a_session_for_good(tmp_path: Path) -> None:
    """The client does not come again and again: it is told, and the session is over."""
    async with secured(tmp_path) as server:
        async with concert.connect(server.address, namespace=OWN, token=token_of("agent")) as client:
            session = client.session(agent_name="agent")
            await session.__aenter__()
            (tmp_path / "tokens.yaml").write_text(hashes("rival"))
            over = await asyncio.wait_for(session.wait_over(), 60)
            assert "UNAUTHENTICATED" in str(over) or "withdrawn" in str(over)


async def _concert(server: CoordinatorServer, *arguments: str, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "concert.cli",
        "--address",
        server.address,
        "--namespace",
        OWN,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_command_says_who_it_is(tmp_path: Path) -> None:
    """By options or by the environment; without, it is told how, and exits with the code of what is not allowed."""
    authority = Authority()
    (tmp_path / "token").write_text(token_of("agent"))
    token, ca = str(tmp_path / "token"), str(tmp_path / "ca.pem")
    async with secured(tmp_path, **tls_settings(tmp_path, authority, mutual=False)) as server:
        set_ = ("state", "set", "key", "1")
        by_option, by_environment, without = await asyncio.gather(
            _concert(server, "--tls-ca", ca, "--token-file", token, *set_),
            _concert(server, *set_, CONCERT_TLS_CA=ca, CONCERT_TOKEN_FILE=token),
            _concert(server, "--tls-ca", ca, *set_),
        )
    assert by_option[0] == 0, by_option[1]
    assert by_environment[0] == 0, by_environment[1]
    assert without[0] == 7
    assert "--token-file" in without[1]


def test_a_token_that_is_made_is_one_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the token, to standard output alone, and the row that the file of hashes needs; who names no
    principal is told how."""
    from coordinator_service import token_command
    from coordinator_service.token_file import parse

    assert token_command.run(["spiffe://example.org/it's"]) == 0
    out, err = capsys.readouterr()
    table = parse([f"tokens:\n{err.partition(chr(10))[2]}".encode()])
    found = table.find(out.strip())
    assert found is not None
    assert found.principal == "spiffe://example.org/it's"
    assert out.strip() not in err
    for arguments, code in (([], 2), ([""], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as ended:
            token_command.run(arguments)
        assert ended.value.code == code
        assert "usage: python -m coordinator_service token" in "".join(capsys.readouterr())
