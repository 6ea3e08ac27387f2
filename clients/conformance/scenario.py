"""Scenarios as they are written (README.md): read from YAML, with what cannot be meant refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SCENARIOS = Path(__file__).parent / "scenarios"

RUNNER_VERBS = frozenset(
    {
        "notice",
        "no_notice",
        "event",
        "no_event",
        "rpc",
        "rpc_until",
        "script",
        "coordinator",
        "renew",
        "replica",
        "network",
        "driver",
        "join",
    }
)
OPS = frozenset(
    {
        "connect",
        "open_session",
        "host_agent",
        "update_agent",
        "drain",
        "close",
        "progress",
        "stage_state",
        "results",
        "block",
        "return",
        "fail",
        "publish",
        "list_events",
        "subscribe",
        "next",
        "ack",
        "acknowledge",
        "submit_run",
        "wait_run",
        "get_run",
        "cancel_run",
        "add_tasks",
        "retry_run",
        "task_result",
        "acquire",
        "release",
        "update_state",
        "delete_state",
        "get_state",
        "modify_state",
        "server_info",
    }
)
MODIFIERS = frozenset({"expect", "error", "save", "background", "request", "meanwhile"})


class _Loader(yaml.SafeLoader):
    """YAML in which `on` is a word and only true and false are booleans, as of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


class Malformed(Exception):  # noqa: N818 - it says what the text is
    """A scenario that cannot be meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: what is done, and what is expected of the answer."""

    verb: str
    body: Any
    request: Any = None
    expect: Any = None
    error: Any = None
    save: dict[str, str] = field(default_factory=dict)
    background: str = ""
    meanwhile: tuple[Step, ...] = ()

    def __str__(self) -> str:
        body = str(self.body)
        return f"{self.verb}: {body if len(body) < 160 else body[:150] + '...'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario. See README.md for what its parts mean."""

    name: str
    topic: str
    steps: tuple[Step, ...]
    about: str = ""
    basic: bool = False
    driver: str = "shared"
    coordinator: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] | None = None
    caller: str | dict[str, str] = ""
    log: tuple[dict[str, Any], ...] = ()
    never: tuple[dict[str, Any], ...] = ()


def load(directory: Path = SCENARIOS) -> list[Scenario]:
    """Every scenario, by file and place. Raises Malformed."""
    scenarios: list[Scenario] = []
    for file in sorted(directory.glob("*.yaml")):
        for entry in yaml.load(file.read_text(), _Loader):
            try:
                scenarios.append(scenario(entry))
            except (Malformed, TypeError, KeyError) as error:
                raise Malformed(f"{file.name}: {entry.get('name')}: {error}") from error
    names = [each.name for each in scenarios]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Malformed(f"there is more than one {', '.join(sorted(twice))}")
    return scenarios


def scenarios_for(*, basic: bool) -> list[Scenario]:
    """Those that a client has to pass: all of them, or the basic ones for what is no whole client."""
    return [each for each in load() if each.basic or not basic]


def scenario(entry: dict[str, Any]) -> Scenario:
    """A scenario from its YAML. Raises Malformed."""
    parts = dict(entry)
    parts["steps"] = tuple(step(each) for each in parts.get("steps", ()))
    if "network" in parts:
        parts["network"] = parts["network"] or {}
    for name in ("log", "never"):
        parts[name] = tuple(parts.get(name, ()))
    return Scenario(**parts)


def step(entry: dict[str, Any]) -> Step:
    """A step from its YAML. Raises Malformed."""
    verbs = [key for key in entry if key not in MODIFIERS]
    if len(verbs) != 1:
        raise Malformed(f"a step has one verb, not {verbs}")
    verb = verbs[0]
    if verb not in RUNNER_VERBS and verb not in OPS:
        raise Malformed(f"{verb!r} is no step")
    body = entry[verb]
    if verb == "script":
        body = {**body, "steps": tuple(step(each) for each in body["steps"])}
    modifiers = {key: value for key, value in entry.items() if key in MODIFIERS}
    modifiers["meanwhile"] = tuple(step(each) for each in modifiers.get("meanwhile", ()))
    return Step(verb=verb, body=body, **modifiers)
