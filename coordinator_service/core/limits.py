"""The limits that decisions depend on.

An owner records them in OWNER_STARTED, so that a fold never reads configuration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one namespace. Units are last in the names."""

    agents_running_max: int = 1000
    """Attempts that may run at once in the namespace (MAX_CONCURRENT_AGENTS)."""
    run_timeout_ms: int = 300_000
    """How long a run may take unless it says otherwise (COORDINATION_TIMEOUT_SECONDS)."""
    run_tasks_max: int = 10_000
    runs_live_max: int = 100_000
    tasks_live_max: int = 1_000_000
    agents_max: int = 100_000
    lock_waiters_max: int = 1_000_000
    locks_max: int = 1_000_000
    state_keys_max: int = 1_000_000
    state_retention_ms: int = 3_600_000
    """How long changes of a key that is gone are remembered for conflicts; longer where a policy's window is (S3)."""
    state_history_values_max: int = 4096
    """Earlier values of keys kept in memory, those of up to about 4 KiB (S1)."""
    state_history_ms: int = 600_000
    """How long an earlier value is kept in memory."""
    ageing_step_ms: int = 10_000
    """One priority step is worth this much waiting (R5)."""
    reserve_after_ms: int = 10_000
    """How long a ready task waits for busy agents before it holds up others in the queues of its locks (R7)."""
    request_window_ms: int = 600_000
    """How long a repeated request is recognised (D5)."""
    requests_max: int = 1_000_000
    """Requests, and ids of published events, that are remembered at once: beyond it the oldest go before their time."""
    run_retention_ms: int = 3_600_000
    """How long a finished run is kept in memory (D8)."""
    agent_retention_ms: int = 3_600_000
    """How long a disconnected agent is kept in memory."""
    evicted_retention_ms: int = 604_800_000
    """How long after its end a run that is gone from memory is still known, and told from the log (D8)."""
    evicted_runs_max: int = 100_000
    """Such runs that are known at once: beyond it the oldest go before their time."""
    roles_max: int = 10_000
    """Agent names that are known although no agent of the name is (R2): beyond it they go with their last agent."""
    reattach_grace_ms: int = 15_000
    """How long a call-bound waiter may take to come back after an owner change (D6)."""
    reattach_hold_ms: int = 5_000
    """How long detached waiters still block others after an owner change (L6)."""

    def as_mapping(self) -> dict[str, int]:
        """By name, for OWNER_STARTED and GetServerInfo."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: dict[str, int]) -> Limits:
        """From OWNER_STARTED; names this version does not know are passed over, missing ones take their default."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in mapping.items() if name in known})
