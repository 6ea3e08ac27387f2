"""The overlay development-tls, run: the settings, certificates and access that it renders, by real processes."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import concert
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from concert.agent import Agent, run_agents

from agent_service.deployment import AGENTS
from tests.coordinator_process import CoordinatorProcess
from tests.deploy.test_kubernetes import DIRECTORY, SCHEMA_VERSION, made, of
from tests.e2e.test_polyglot_demo import patient_input
from tests.security.authority import Authority

AGENT_SECONDS_MAX = 60
DEPLOYED_SECONDS_MAX = 300


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """Everything that the overlay makes."""
    return made(DIRECTORY / "overlays" / "development-tls")


class Place:
    """A machine on which the pods of the overlay run: each path that a pod sees is a directory here."""

    def __init__(self, objects: list[dict[str, Any]], root: Path) -> None:
        self._objects = objects
        self._root = root
        authority = Authority()
        for each in objects:
            if each["kind"] == "Certificate" and not each["spec"].get("isCA"):
                spec = each["spec"]
                issued = authority.issue(uris=spec.get("uris", ()), hosts=spec.get("dnsNames", ()))
                files = {"ca.crt": authority.certificate, "tls.crt": issued.certificate, "tls.key": issued.key}
                self._write(spec["secretName"], files)
            if each["kind"] == "ConfigMap":
                self._write(each["metadata"]["name"], {name: text.encode() for name, text in each["data"].items()})

    def _write(self, name: str, files: dict[str, bytes]) -> None:
        directory = self._root / name
        directory.mkdir()
        for file, content in files.items():
            (directory / file).write_bytes(content)

    def environment(self, deployment: str, container: str) -> dict[str, str]:
        """What the container is told of TLS and access, with the paths as they are here."""
        pod = of(self._objects, "Deployment", deployment)["spec"]["template"]["spec"]
        (found,) = [each for each in pod["containers"] if each["name"] == container]
        sources = {
            each["name"]: each.get("secret", {}).get("secretName") or each.get("configMap", {}).get("name")
            for each in pod["volumes"]
        }
        seen = {each["mountPath"]: sources[each["name"]] for each in found["volumeMounts"]}
        said = {}
        for each in found["env"]:
            name, value = each["name"], each.get("value", "")
            if name.startswith(("CONCERT_TLS", "CONCERT_CLUSTER_TLS")) or name in (
                "CONCERT_ACCESS_FILE",
                "CONCERT_ALLOW_PLAINTEXT",
            ):
                directory, _, file = value.rpartition("/")
                said[name] = str(self._root / seen[directory] / file) if directory else value
        return said

    def credentials(self, name: str) -> dict[str, str]:
        """Of whoever has the Secret of that name: as docs/kubernetes.md writes them to files."""
        directory = self._root / name
        files = {"CA": "ca.crt", "CERT": "tls.crt", "KEY": "tls.key"}
        return {f"CONCERT_TLS_{variable}": str(directory / file) for variable, file in files.items()}


@pytest.fixture(scope="module")
def place(objects: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where they run."""
    return Place(objects, tmp_path_factory.mktemp("mounted"))


@pytest.fixture(scope="module")
def coordinator(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address. Its certificate is for localhost among others."""
    environment = place.environment("coordinator", "coordinator")
    assert environment["CONCERT_ALLOW_PLAINTEXT"] == "0"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        process = CoordinatorProcess(tmp_path_factory.mktemp("coordinator"))
        process.start()
    try:
        yield process.address.replace("127.0.0.1", "localhost")
    finally:
        process.stop()


@contextmanager
def hosted(name: str, coordinator: str, environment: dict[str, str], directory: Path) -> Iterator[None]:
    """An agent in a process of its own."""
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", "host", name, "--coordinator", coordinator],
            env={**os.environ, **environment, "CONCERT_PROVIDER_ROOT": str(directory)},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(AGENT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()


def test_the_objects_are_what_kubernetes_takes(objects: list[dict[str, Any]]) -> None:
    """Against its schemas, besides what is cert-manager's; the gRPC probe, which knows no TLS, is gone."""
    for each in objects:
        if not each["apiVersion"].startswith("cert-manager.io/"):
            kubernetes_validate.validate(each, SCHEMA_VERSION, strict=True)
        assert each["metadata"].get("namespace", "agent-coordination") == "agent-coordination"
    (container,) = of(objects, "Deployment", "coordinator")["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"
    assert "grpc" not in container["startupProbe"]


def test_no_secret_is_in_the_manifests(objects: list[dict[str, Any]]) -> None:
    """Keys are made in the cluster; what development has of passwords says that it is none."""
    for each in objects:
        for value in each.get("data", {}).values() if each["kind"] == "Secret" else ():
            assert b"development" in base64.b64decode(value)


async def test_who_has_no_certificate_has_no_connection(coordinator: str, place: Place) -> None:
    """Nor has plain text."""
    ca = place.credentials("operator-tls")["CONCERT_TLS_CA"]
    for credentials in (None, concert.tls(ca)):
        async with concert.connect(coordinator, credentials=credentials, retry_seconds=1) as client:
            with pytest.raises(concert.Unavailable):
                await client.agents.list()


async def test_an_agent_is_nobody_else(coordinator: str, place: Place) -> None:
    """The certificate of content registers no security agent, and cancels nothing of others."""

    class Security(Agent):
        name = "security"
        capabilities = ("security",)

        async def execute(self, context: Any) -> None:
            raise AssertionError("it is given nothing")

    files = place.credentials("content-tls")
    known = concert.tls(files["CONCERT_TLS_CA"], certificate=files["CONCERT_TLS_CERT"], key=files["CONCERT_TLS_KEY"])
    with pytest.raises(concert.PermissionDenied):
        await run_agents(Security(), address=coordinator, credentials=known)


@pytest.mark.timeout(900)
def test_the_blog_is_deployed_with_mutual_tls(coordinator: str, place: Place, tmp_path: Path) -> None:
    """As docs/kubernetes.md walks through it: four agents with a certificate each, and an operator."""
    provider = {**os.environ, "CONCERT_PROVIDER_ROOT": str(tmp_path)}
    asked = patient_input(tmp_path)
    domain = json.loads(asked.read_text())["domain"]
    command = [sys.executable, "-m", "agent_service"]
    subprocess.run([*command, "claim", domain], env=provider, check=True, capture_output=True)
    with ExitStack() as stack:
        for name in AGENTS:
            environment = place.environment("agents", name.replace("_", "-"))
            stack.enter_context(hosted(name, coordinator, environment, tmp_path))
        done = subprocess.run(
            [*command, "deploy", "--coordinator", coordinator, "--input", str(asked)],
            env={**os.environ, **place.credentials("operator-tls")},
            capture_output=True,
            text=True,
            timeout=DEPLOYED_SECONDS_MAX,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["successful_agents"] == list(AGENTS)
