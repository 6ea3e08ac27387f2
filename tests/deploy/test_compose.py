"""deploy/compose.yaml and the images that it builds: what can be seen without a container runtime."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_service.__main__ import app
from agent_service.hosting import AGENTS
from coordinator_service.config import ENVIRONMENT_PREFIX, Settings, load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
VERSIONED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*")
REPLICAS = ("coordinator-1", "coordinator-2", "coordinator-3")
OF_AGENTS = {"CONCERT_PROVIDER_ROOT"}


def instructions(stage: str) -> dict[str, list[str]]:
    """What a stage of the Dockerfile says, and the stages that it stands on, by instruction."""
    text = DOCKERFILE.replace("\\\n", " ")
    stages = {
        match[2]: (match[1], match[3]) for match in re.finditer(r"FROM (\S+) AS (\S+)\n(.*?)(?=FROM |\Z)", text, re.S)
    }
    said: dict[str, list[str]] = {}
    while stage in stages:
        stage, body = stages[stage]
        for line in reversed(body.splitlines()):
            word, _, rest = line.partition(" ")
            if word.isupper():
                said.setdefault(word, []).append(rest.strip())
    return said


def test_everything_that_was_asked_for_is_there() -> None:
    """Redis, three replicas, agents, Jaeger, Prometheus, Grafana."""
    assert SERVICES.keys() >= {"redis", *REPLICAS, *AGENTS, "jaeger", "prometheus", "grafana"}


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_is_one_of_a_cluster(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings together are accepted; it has a name of its own, under which the others find it, and they share the
    name `coordinator` and the rest."""
    service = SERVICES[name]
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    monkeypatch.setenv("CONCERT_POLICY_FILE", str(DEPLOY / "agent_policies.yaml"))
    settings = load([])
    assert (settings.event_store, settings.replica_id) == ("redis", name)
    assert settings.cluster_advertise == f"{name}:{settings.cluster_listen.rpartition(':')[2]}"
    assert settings.cluster_secrets()
    assert service["networks"]["default"]["aliases"] == ["coordinator"]
    own = {"CONCERT_REPLICA_ID", "CONCERT_CLUSTER_ADVERTISE"}
    shared = [
        {key: value for key, value in SERVICES[each]["environment"].items() if key not in own} for each in REPLICAS
    ]
    assert shared == [shared[0]] * 3


def test_redis_keeps_what_was_acknowledged() -> None:
    """It appends to its disk before it answers, and evicts nothing."""
    said = dict(itertools.pairwise(SERVICES["redis"]["command"]))
    assert (said["--appendonly"], said["--appendfsync"], said["--maxmemory-policy"]) == ("yes", "always", "noeviction")
    assert [mount.split(":")[1] for mount in SERVICES["redis"]["volumes"]] == ["/data"]


def test_agents_are_given_every_replica_and_prometheus_too() -> None:
    """Whichever replica goes, they find another."""
    ports = [f"{name}:7420" for name in REPLICAS]
    for name in (*AGENTS, "deploy"):
        said = " ".join(SERVICES[name]["command"])
        assert ",".join(ports) in said
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"]
    assert [target for each in scraped for group in each["static_configs"] for target in group["targets"]] == [
        f"{name}:9090" for name in REPLICAS
    ]


def test_ports_are_published_once() -> None:
    """Two services cannot have the same."""
    published = [port.rpartition(":")[0] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(set(published)) == len(published)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version_and_what_is_built_is_in_the_dockerfile(name: str) -> None:
    """Nothing floats: the same file starts the same thing tomorrow."""
    service = SERVICES[name]
    assert VERSIONED.fullmatch(service["image"]), service["image"]
    built = {each["image"]: each["build"] for each in SERVICES.values() if "build" in each}
    if service["image"].startswith("concert-"):
        build = built[service["image"]]
        assert (DEPLOY / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert f" AS {build['target']}\n" in DOCKERFILE


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_is_read_only(name: str) -> None:
    """Files of this repository that are there, never written; named volumes that are declared."""
    for mount in SERVICES[name].get("volumes", ()):
        source, _, mode = mount.split(":")[0], mount.split(":")[1], mount.split(":")[2:]
        if source.startswith("."):
            assert (DEPLOY / source).is_file(), source
            assert mode == ["ro"], mount
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_this_machine_and_nothing_is_privileged(name: str) -> None:
    """Nobody is asked who they are here."""
    service = SERVICES[name]
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), port
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", SERVICES)
def test_services_refer_to_each_other_by_names_that_there_are(name: str) -> None:
    """And to ports that those listen on."""
    service = SERVICES[name]
    assert set(service.get("depends_on", ())) <= SERVICES.keys()
    kind, _, other = service.get("network_mode", "").partition(":")
    assert not kind or (kind == "service" and other in SERVICES)
    said = " ".join([*service.get("command", ()), *map(str, service.get("environment", {}).values())])
    for host in re.findall(r"(?:http://|redis://|--coordinator |,)([a-z_\d-]+):\d+", said):
        assert host in SERVICES or host == "localhost"  # for whoever looks, not for the service


@pytest.mark.parametrize("name", SERVICES)
def test_settings_are_settings(name: str) -> None:
    """Every CONCERT_ variable, here and in the image, is one that the program reads."""
    given = set(SERVICES[name].get("environment", {}))
    if "build" in SERVICES[name]:
        for line in instructions(SERVICES[name]["build"]["target"])["ENV"]:
            given |= {word.partition("=")[0] for word in shlex.split(line)}
    known = {f"{ENVIRONMENT_PREFIX}{field.upper()}" for field in Settings.model_fields} | OF_AGENTS
    assert {each for each in given if each.startswith(ENVIRONMENT_PREFIX)} <= known


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_hosted_by_a_command_that_there_is(name: str) -> None:
    """As agent_service is started by hand."""
    command = SERVICES[name]["command"]
    assert command[:2] == ["host", name]
    assert command[0] in {each.name for each in app.registered_commands}


@pytest.mark.parametrize("stage", ["coordinator", "agents"])
def test_an_image_is_made_in_stages_pinned_and_does_not_run_as_root(stage: str) -> None:
    """The build's tools stay behind."""
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.M):
        assert VERSIONED.fullmatch(base) or f" AS {base}\n" in DOCKERFILE, base
    said = instructions(stage)
    user = said["USER"][0].split(":")[0]
    assert user.isdigit()
    assert int(user) >= 10_000
    copied = [line for line in said["COPY"] if "--from=" not in line]
    assert copied == []
    assert not any("apt-get" in line for line in said["RUN"])


def test_what_is_copied_into_the_build_is_there() -> None:
    """And not left out by .dockerignore."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in instructions("build")["COPY"]:
        *sources, _ = shlex.split(line)
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored


def test_grafana_is_given_the_dashboard_that_there_is() -> None:
    """Where its provider looks, with data from services of this file."""
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    [provider] = yaml.safe_load((DEPLOY / "grafana/dashboards.yaml").read_text())["providers"]
    assert mounts["./grafana/concert.json"].startswith(f"{provider['options']['path']}/")
    for source in yaml.safe_load((DEPLOY / "grafana/datasources.yaml").read_text())["datasources"]:
        assert re.match(r"http://([a-z]+):", source["url"])[1] in SERVICES  # type: ignore[index]
