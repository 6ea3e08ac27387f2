"""What the core decides about policies: changes as events, digests that were superseded, allow-lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from coordinator_service.core import commands, policies, reasons
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import AgentUpdated, EventType, PolicyChanged
from coordinator_service.core.rejections import PermissionDenied
from coordinator_service.core.specs import AgentCapabilities, AgentSpec, Capability, Policy
from tests.core.driver import LEASE_NS, Namespace, copied, seconds

DEFAULT = (Policy(name="default"),)


def change(digest: str, *lists: AgentCapabilities, unchanged_seconds: float = 0) -> commands.ChangePolicies:
    """Policies that differ in nothing but where they came from."""
    return commands.ChangePolicies(
        policies=DEFAULT, digest=digest, agent_capabilities=lists, unchanged_ns=seconds(unchanged_seconds)
    )


def described(name: str, *capabilities: str, agent_id: str = "a") -> AgentSpec:
    """How an agent describes itself."""
    return AgentSpec(
        agent_id=agent_id, agent_name=name, capabilities=tuple(Capability(name=each) for each in capabilities)
    )


def hello(name: str, *capabilities: str, agent_id: str = "a") -> commands.OpenSession:
    """The beginning of a session."""
    return commands.OpenSession(spec=described(name, *capabilities, agent_id=agent_id), lease_ns=LEASE_NS)


def digests(namespace: Namespace) -> list[str]:
    """What was in force, one after another."""
    found = [event.payload for event in namespace.of_type(EventType.POLICY_CHANGED)]
    return [payload.digest for payload in found if isinstance(payload, PolicyChanged)]


def test_a_change_is_an_event_that_says_all_there_is(namespace: Namespace) -> None:
    """P2: POLICY_CHANGED carries the policies, the allow-lists and the digest of the file."""
    allowed = AgentCapabilities(agent_name="infrastructure", capabilities=("dns",), enforce=True)
    namespace.do(change("one", allowed))
    event = namespace.of_type(EventType.POLICY_CHANGED)[0]
    assert event.payload == PolicyChanged(policies=DEFAULT, digest="one", agent_capabilities=(allowed,))
    assert event.reason == reasons.POLICY_INPUT
    assert namespace.state.agent_capabilities == {"infrastructure": allowed}


def test_a_superseded_digest_is_not_applied_again(namespace: Namespace) -> None:
    """P2: a replica whose file is still the old one does not undo what another replica's newer file said."""
    namespace.do(change("old"))
    namespace.advance(10)
    namespace.do(change("new"))
    namespace.advance(10)
    assert namespace.decide(change("old", unchanged_seconds=15)).events == []
    assert namespace.state.policies_digest == "new"


def test_a_superseded_digest_counts_again_once_the_file_changed(namespace: Namespace) -> None:
    """P2: whoever puts the old file back means it, also when the replica was away meanwhile."""
    namespace.do(change("old"))
    namespace.advance(10)
    namespace.do(change("new"))
    namespace.advance(10)
    namespace.do(change("old", unchanged_seconds=5))
    assert digests(namespace) == ["old", "new", "old"]
    namespace.advance(1)
    assert namespace.decide(change("new", unchanged_seconds=15)).events == []


def test_a_file_that_changed_this_very_moment_is_applied(namespace: Namespace) -> None:
    """P2: also when the log's time has not moved since the digest was superseded."""
    for digest in ("old", "new", "old"):
        namespace.do(change(digest))
    assert digests(namespace) == ["old", "new", "old"]


def test_what_was_superseded_is_bounded(monkeypatch: pytest.MonkeyPatch, namespace: Namespace) -> None:
    """P2, D8: so many digests are remembered, the oldest are forgotten first, and a snapshot holds them."""
    monkeypatch.setattr(policies, "SUPERSEDED_MAX", 3)
    for number in range(6):
        namespace.do(change(f"file-{number}"))
    assert list(copied(namespace.state.tables()).policies_superseded) == ["file-2", "file-3", "file-4"]


def test_an_enforced_allow_list_refuses_other_capabilities(namespace: Namespace) -> None:
    """A3: in Hello, naming what is not allowed; nothing is stored, and what is allowed passes."""
    namespace.do(
        change("one", AgentCapabilities(agent_name="infrastructure", capabilities=("dns", "ssl"), enforce=True))
    )
    refused = namespace.refuse(PermissionDenied, hello("infrastructure", "dns", "mining"))
    assert "'infrastructure'" in refused.message
    assert "'mining'" in refused.message
    assert "'dns'" not in refused.message
    namespace.do(hello("infrastructure", "dns"))


def test_a_refused_takeover_leaves_the_session_that_lives(namespace: Namespace) -> None:
    """A3, A2: a claim is refused before the session that it would take over is ended."""
    opened = namespace.do(hello("infrastructure", "dns"))
    namespace.do(change("one", AgentCapabilities(agent_name="infrastructure", capabilities=("dns",), enforce=True)))
    taking = replace(hello("infrastructure", "mining"), takeover=True)
    namespace.refuse(PermissionDenied, taking)
    assert namespace.state.agents["a"].session_id == opened.session_id


def test_an_update_claims_as_hello_does(namespace: Namespace) -> None:
    """A3: UpdateAgent cannot claim what Hello could not; the name it gives does not matter, the session's does."""
    namespace.do(change("one", AgentCapabilities(agent_name="infrastructure", capabilities=("dns",), enforce=True)))
    opened = namespace.do(hello("infrastructure"))
    inside = Caller(session_id=opened.session_id)
    namespace.refuse(PermissionDenied, commands.UpdateAgent(spec=described("other", "mining")), inside)
    namespace.do(commands.UpdateAgent(spec=described("other", "dns")), inside)
    assert namespace.last(AgentUpdated).spec.capabilities == (Capability(name="dns"),)


@pytest.mark.parametrize(
    "claim",
    [lambda: hello("infrastructure", "mining"), lambda: hello("content", "mining")],
    ids=["not enforced", "another name"],
)
def test_a_list_that_is_not_enforced_refuses_nothing(
    namespace: Namespace, claim: Callable[[], commands.OpenSession]
) -> None:
    """A3: off by default, and for the name that it is of alone."""
    namespace.do(
        change(
            "one",
            AgentCapabilities(agent_name="infrastructure", capabilities=("dns",)),
            AgentCapabilities(agent_name="security", capabilities=(), enforce=True),
        )
    )
    namespace.do(claim())


def test_a_session_that_lives_keeps_what_it_claimed(namespace: Namespace) -> None:
    """A3: a list says what may be claimed; what was claimed before it holds until the session claims anew."""
    opened = namespace.do(hello("infrastructure", "mining"))
    namespace.do(change("one", AgentCapabilities(agent_name="infrastructure", capabilities=(), enforce=True)))
    assert namespace.state.agents["a"].spec.capabilities == (Capability(name="mining"),)
    resumed = namespace.do(commands.ResumeSession(session_id=opened.session_id))
    assert resumed.resumed
    namespace.refuse(PermissionDenied, hello("infrastructure", "mining", agent_id="b"))
