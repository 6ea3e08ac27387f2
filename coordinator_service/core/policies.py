"""Policies: the values that govern tasks, locks and state, and which of them holds where (R17)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from coordinator_service.core import reasons
from coordinator_service.core.answers import Done
from coordinator_service.core.events import Event, PolicyChanged
from coordinator_service.core.rejections import InvalidField, PermissionDenied
from coordinator_service.core.specs import CircuitPolicy, Policy, RetryPolicy
from coordinator_service.core.values import NS_PER_MS, NS_PER_SECOND, ConflictStrategy

if TYPE_CHECKING:
    from coordinator_service.core.commands import ChangePolicies
    from coordinator_service.core.deciding import Deciding
    from coordinator_service.core.specs import AgentSpec
    from coordinator_service.core.state import AttemptRow, NamespaceState

SUPERSEDED_MAX: Final = 1000
"""Digests remembered as superseded."""
CAPABILITIES_NAMED_MAX: Final = 5
"""Capabilities that a refusal names."""

DEFAULT_RETRY: Final = RetryPolicy(
    attempts_max=3,
    backoff_initial_ns=500 * NS_PER_MS,
    backoff_max_ns=30 * NS_PER_SECOND,
    backoff_multiplier=2.0,
    lost_attempts_max=5,
)

DEFAULT_CIRCUIT: Final = CircuitPolicy(
    failures_max=10,
    failure_rate_max=0.0,
    attempts_min=10,
    window_ns=60 * NS_PER_SECOND,
    cool_down_ns=30 * NS_PER_SECOND,
)

DEFAULT_POLICY: Final = Policy(
    name="default",
    max_execution_time_ns=300 * NS_PER_SECOND,
    resource_timeout_ns=30 * NS_PER_SECOND,
    conflict_strategy=ConflictStrategy.TIMESTAMP_BASED,
    retry=DEFAULT_RETRY,
    cancel_grace_ns=10 * NS_PER_SECOND,
    conflict_window_ns=60 * NS_PER_SECOND,
    circuit=DEFAULT_CIRCUIT,
)

BUILT_IN_POLICIES: Final[dict[str, Policy]] = {
    "default": DEFAULT_POLICY,
    "high_priority": replace(
        DEFAULT_POLICY,
        name="high_priority",
        max_execution_time_ns=600 * NS_PER_SECOND,
        resource_timeout_ns=60 * NS_PER_SECOND,
        conflict_strategy=ConflictStrategy.PRIORITY_BASED,
        priority=5,
    ),
}


def merged_retry(own: RetryPolicy | None, fallback: RetryPolicy) -> RetryPolicy:
    """own, with what it leaves unset taken from fallback."""
    if own is None:
        return fallback
    return RetryPolicy(
        attempts_max=own.attempts_max or fallback.attempts_max,
        backoff_initial_ns=fallback.backoff_initial_ns if own.backoff_initial_ns is None else own.backoff_initial_ns,
        backoff_max_ns=fallback.backoff_max_ns if own.backoff_max_ns is None else own.backoff_max_ns,
        backoff_multiplier=own.backoff_multiplier or fallback.backoff_multiplier,
        lost_attempts_max=own.lost_attempts_max or fallback.lost_attempts_max,
    )


def merged_circuit(own: CircuitPolicy | None, fallback: CircuitPolicy) -> CircuitPolicy:
    """own, with what it leaves unset taken from fallback."""
    if own is None:
        return fallback
    unset = [each.name for each in fields(CircuitPolicy) if getattr(own, each.name) is None]
    missing = {name: getattr(fallback, name) for name in unset}
    return replace(own, **missing, attempts_min=own.attempts_min or fallback.attempts_min)


def completed(policy: Policy, default: Policy) -> Policy:
    """policy, with what it leaves unset taken from default."""
    missing = {each.name: getattr(default, each.name) for each in fields(Policy) if getattr(policy, each.name) is None}
    retry = merged_retry(policy.retry, default.retry or DEFAULT_RETRY)
    circuit = merged_circuit(policy.circuit, default.circuit or DEFAULT_CIRCUIT)
    return replace(policy, **{**missing, "retry": retry, "circuit": circuit})


def policy_name(state: NamespaceState, *candidates: str) -> str:
    """The first candidate that names a policy, else "default" (R17)."""
    for name in candidates:
        if name and name in state.policies:
            return name
    return "default"


def policy_of(state: NamespaceState, name: str) -> Policy:
    """A policy that has every value; a name that is gone since falls back to the default."""
    return state.policies.get(name) or state.policies["default"]


def policy_of_caller(d: Deciding, attempt: AttemptRow | None) -> Policy:
    """R17: the policy of a caller's attempt, else that of its session's agent name, else the default."""
    state = d.state
    if attempt is not None:
        return policy_of(state, attempt.policy)
    agent = state.agent_of_session(d.caller.session_id) if d.caller.session_id else None
    return state.policies[policy_name(state, "" if agent is None else agent.spec.agent_name)]


def check_claims(state: NamespaceState, spec: AgentSpec) -> None:
    """A3: an agent claims nothing outside of its name's allow-list, where that is enforced."""
    allowed = state.agent_capabilities.get(spec.agent_name)
    if allowed is None or not allowed.enforce:
        return
    outside = [each.name for each in spec.capabilities if each.name not in allowed.capabilities]
    if outside:
        named = ", ".join(map(repr, outside[:CAPABILITIES_NAMED_MAX]))
        more = f" and {len(outside) - CAPABILITIES_NAMED_MAX} more" if len(outside) > CAPABILITIES_NAMED_MAX else ""
        raise PermissionDenied(f"the policies do not allow agents named {spec.agent_name!r} to claim {named}{more}")


def decide_policies(d: Deciding, command: ChangePolicies) -> Done:
    """P2: a change is an event; the digest in force changes nothing, nor does one that was superseded since."""
    if not any(policy.name == "default" for policy in command.policies):
        raise InvalidField(("policies", 'one of them must be named "default"'))
    superseded_ns = d.state.policies_superseded.get(command.digest)
    outdated = superseded_ns is not None and d.now_ns - command.unchanged_ns < superseded_ns
    if command.digest and (outdated or command.digest == d.state.policies_digest):
        return Done(sequence=d.state.sequence)
    event = d.emit(
        PolicyChanged(policies=command.policies, digest=command.digest, agent_capabilities=command.agent_capabilities),
        reason=reasons.POLICY_INPUT,
    )
    return Done(sequence=event.sequence)


def apply_policies(state: NamespaceState, event: Event, payload: PolicyChanged) -> None:
    """The given policies hold from now on, each complete."""
    given = {policy.name: policy for policy in payload.policies}
    default = completed(given["default"], DEFAULT_POLICY)
    state.policies = {name: completed(policy, default) for name, policy in given.items()}
    state.agent_capabilities = {each.agent_name: each for each in payload.agent_capabilities}
    superseded = state.policies_superseded
    if state.policies_digest:
        superseded.pop(state.policies_digest, None)
        superseded[state.policies_digest] = event.time_ns
    superseded.pop(payload.digest, None)
    while len(superseded) > SUPERSEDED_MAX:
        del superseded[next(iter(superseded))]
    state.policies_digest = payload.digest
    state.forget_at(event.time_ns)
    state.reconsider_claims()
    state.open_gates()
