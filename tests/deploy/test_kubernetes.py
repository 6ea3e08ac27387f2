"""What `kubectl apply -k deploy/kubernetes/overlays/...` would make, read off the rendered objects."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic import SecretStr

from coordinator_service.config import Settings
from coordinator_service.policy_file import parse

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
SCHEMA_VERSION = "1.33"
OVERLAYS = ("development", "production")


def command() -> list[str]:
    """What renders: kustomize, kubectl, or kustomize from its Go module."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("go"):
        return ["go", "run", KUSTOMIZE, "build"]
    if os.environ.get("CONCERT_REQUIRE_ALL_LANGUAGES"):
        pytest.fail("neither kustomize nor kubectl nor go is here, and CI requires one")
    pytest.skip("left out: neither kustomize nor kubectl nor go is here")


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Everything that an overlay makes."""
    return made(DIRECTORY / "overlays" / request.param)


def made(directory: Path) -> list[dict[str, Any]]:
    """Everything that a kustomization makes."""
    rendered = subprocess.run(
        [*command(), str(directory)],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
        env={**os.environ, "GOFLAGS": "-mod=mod"},
    )
    assert rendered.returncode == 0, rendered.stderr
    return [each for each in yaml.safe_load_all(rendered.stdout) if each]


def of(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one of that kind and name."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod template, by the name of what makes it."""
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def coordinator(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Its container."""
    (container,) = of(objects, "Deployment", "coordinator")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_every_object_is_one_that_kubernetes_takes(objects: list[dict[str, Any]]) -> None:
    """Against the schemas of Kubernetes, without leave for what they do not know."""
    for each in objects:
        kubernetes_validate.validate(each, SCHEMA_VERSION, strict=True)


def test_everything_is_in_its_namespace_and_nothing_runs_unnamed_versions(objects: list[dict[str, Any]]) -> None:
    """agent-coordination; every image with a version."""
    for each in objects:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "agent-coordination"
    for _, pod in pods(objects):
        for container in pod["containers"]:
            assert container["image"].partition(":")[2] not in ("", "latest")


def test_the_coordinator_is_deployed_as_the_mission_says(objects: list[dict[str, Any]]) -> None:
    """Two replicas, a rolling update of one at a time, probes, resources, settings."""
    deployment = of(objects, "Deployment", "coordinator")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    container = coordinator(objects)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    live, ready = container["livenessProbe"], container["readinessProbe"]
    assert (live["httpGet"]["path"], ports[live["httpGet"]["port"]]) == ("/health", 8080)
    assert (live["initialDelaySeconds"], live["periodSeconds"]) == (30, 10)
    assert (ready["httpGet"]["path"], ports[ready["httpGet"]["port"]]) == ("/ready", 8080)
    assert (ready["initialDelaySeconds"], ready["periodSeconds"]) == (5, 5)
    assert container["startupProbe"]["grpc"]["port"] == ports["grpc"]
    assert ports["metrics"] == 9090
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "1000m", "memory": "2Gi"},
    }
    environment = {each["name"]: each for each in container["env"]}
    assert environment["REDIS_URL"]["valueFrom"]["secretKeyRef"] == {"name": "redis-credentials", "key": "url"}
    assert environment["CONCERT_CLUSTER_SECRET"]["valueFrom"]["secretKeyRef"]["name"] == "cluster-credentials"
    assert environment["EVENT_STORE_BACKEND"]["value"] == "redis"
    assert environment["MAX_CONCURRENT_AGENTS"]["value"] == "10"
    assert environment["COORDINATION_TIMEOUT_SECONDS"]["value"] == "300"
    (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == "/app/config"]
    assert mount["readOnly"]
    volumes = of(objects, "Deployment", "coordinator")["spec"]["template"]["spec"]["volumes"]
    assert {"name": mount["name"], "configMap": {"name": "agent-configuration"}} in volumes


def test_its_settings_are_settings_of_the_coordinator(
    objects: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable is misspelt, and together they are accepted."""
    known = {f"CONCERT_{name.upper()}" for name in Settings.model_fields}
    also = {"EVENT_STORE_BACKEND", "REDIS_URL", "MAX_CONCURRENT_AGENTS", "COORDINATION_TIMEOUT_SECONDS"}
    given = {"POD_NAME": "coordinator-1", "POD_IP": "10.0.0.1"}
    for each in coordinator(objects)["env"]:
        name, text = each["name"], each.get("value", "redis://redis:6379/0")
        if name in given:
            continue
        assert name in known | also, f"{name} is no setting"
        for other, its in given.items():
            text = text.replace(f"$({other})", its)
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("CONCERT_EVENT_STORE", "redis")
    with pytest.raises(ValueError, match="set cluster_secret_file, or CONCERT_CLUSTER_SECRET"):
        Settings(cluster_secret=SecretStr(""))
    settings = Settings()
    assert (settings.replica_id, settings.cluster_listen) == ("coordinator-1", "10.0.0.1:7421")


def test_the_configuration_loads_as_a_policy_file(objects: list[dict[str, Any]]) -> None:
    """The ConfigMap as it stands, by its own key."""
    configured = of(objects, "ConfigMap", "agent-configuration")["data"]
    assert list(configured) == ["agent_policies.yaml"]
    found = parse(configured["agent_policies.yaml"].encode())
    assert {each.name for each in found.policies} == {"default", "high_priority"}


def test_services_lead_where_they_say(objects: list[dict[str, Any]]) -> None:
    """80 to 8080 and 9090 for people and scrapers; an address for each replica for clients."""
    ports = {each["name"]: each["containerPort"] for each in coordinator(objects)["ports"]}
    service = of(objects, "Service", "coordinator")["spec"]
    assert {each["port"]: ports[each["targetPort"]] for each in service["ports"]} == {80: 8080, 9090: 9090}
    headless = of(objects, "Service", "coordinator-grpc")["spec"]
    assert (headless["clusterIP"], headless["ports"][0]["port"]) == ("None", 7420)


def test_pods_have_no_right_that_they_do_not_need(objects: list[dict[str, Any]]) -> None:
    """The restricted standard, a read-only root, no token of the Kubernetes API."""
    assert (
        of(objects, "Namespace", "agent-coordination")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    for name, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert set(container["resources"]) == {"requests", "limits"}, name


def test_only_who_has_to_speaks_to_whom(objects: list[dict[str, Any]]) -> None:
    """Default deny; agents reach the coordinator alone, only it reaches Redis, scrapers come from monitoring."""
    policies = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    reached = [
        (target["podSelector"]["matchLabels"]["app.kubernetes.io/name"], port["port"])
        for rule in policies["agents"]["egress"]
        for target in rule["to"]
        if "podSelector" in target
        for port in rule["ports"]
    ]
    assert reached == [("coordinator", 7420)]
    assert "ingress" not in policies["agents"]
    scraped = [
        rule for rule in policies["coordinator"]["ingress"] if {"port": "metrics", "protocol": "TCP"} in rule["ports"]
    ]
    assert [rule["from"] for rule in scraped] == [
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    ]
    if "redis" in policies:
        (rule,) = policies["redis"]["ingress"]
        assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "coordinator"}}}]


def test_a_drained_node_and_a_crowd_are_provided_for(objects: list[dict[str, Any]]) -> None:
    """One replica stays, replicas spread, and more come when there is more to do."""
    assert of(objects, "PodDisruptionBudget", "coordinator")["spec"]["minAvailable"] == 1
    assert of(objects, "HorizontalPodAutoscaler", "coordinator")["spec"]["minReplicas"] == 2
    pod = of(objects, "Deployment", "coordinator")["spec"]["template"]["spec"]
    assert "kubernetes.io/hostname" in [each["topologyKey"] for each in pod["topologySpreadConstraints"]]


def test_a_redis_of_development_keeps_everything(objects: list[dict[str, Any]]) -> None:
    """It appends to disk and evicts nothing; production brings its own."""
    if not any(each["kind"] == "StatefulSet" for each in objects):
        environment = {each["name"]: each.get("value") for each in coordinator(objects)["env"]}
        assert environment["CONCERT_REQUIRE_DURABLE"] == "1"
        return
    (container,) = of(objects, "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"]
    (script,) = container["args"]
    assert "--appendonly yes" in script
    assert "--maxmemory-policy noeviction" in script


def test_where_the_queue_can_be_seen_it_decides_how_many_there_are(tmp_path: Path) -> None:
    """The component beside an overlay: by what waits, and by CPU as well."""
    directory = DIRECTORY / "components" / "queue-depth"
    where = {
        "resources": [os.path.relpath(DIRECTORY / "overlays" / "production", tmp_path)],
        "components": [os.path.relpath(directory, tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(where))
    objects = made(tmp_path)
    for each in objects:
        kubernetes_validate.validate(each, SCHEMA_VERSION, strict=True)
    wanted = {"coordinator": ("Pods", "concert_inbox_commands"), "agents": ("External", "concert_tasks_ready")}
    rules = yaml.safe_load((directory / "adapter-rules.yaml").read_text())
    told = {rule["name"]["as"]: rule["metricsQuery"] for kind in rules.values() for rule in kind}
    for name, (kind, metric) in wanted.items():
        first, second = of(objects, "HorizontalPodAutoscaler", name)["spec"]["metrics"]
        assert (first["type"], first[kind.lower()]["metric"]["name"]) == (kind, metric)
        assert second["resource"]["name"] == "cpu"
        assert metric in told
