"""A reference of the lock queues: every rule by brute force over all holders and waiters, in a page.

It keeps no queue and no index: whoever wants to know whether somebody is in the way asks everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from coordinator_service.core.state import QueueKey
from coordinator_service.core.values import LockMode

SHARED = LockMode.SHARED


@dataclass(eq=False)
class Waiter:
    """A request that waits, or would."""

    sequence: int
    key: QueueKey
    holder: str
    wants: dict[str, LockMode]
    attached: bool = True


@dataclass
class LockModel:
    """Who holds what, how often, and who waits. passes has (a, b) when a does not wait for b but b for a (L2)."""

    held: dict[str, dict[str, int]] = field(default_factory=dict)
    modes: dict[str, LockMode] = field(default_factory=dict)
    waiters: dict[int, Waiter] = field(default_factory=dict)
    passes: set[tuple[int, int]] = field(default_factory=set)

    # What is asked.

    def acquire(self, waiter: Waiter, *, waits: bool) -> str:
        """granted, waiting, LOCK_UPGRADE, LOCK_TIMEOUT or DEADLOCK."""
        for resource, mode in waiter.wants.items():
            held_shared = waiter.holder in self.held.get(resource, {}) and self.modes[resource] is SHARED
            if held_shared and mode is not SHARED:
                return "LOCK_UPGRADE"
        outcome = self.queue(waiter)
        if outcome == "DEADLOCK":
            return "DEADLOCK" if waits else "LOCK_TIMEOUT"
        if not self.is_blocked(waiter):
            self.grant(waiter)
            outcome = "granted"
        elif not waits:
            self.drop(waiter.sequence)
            outcome = "LOCK_TIMEOUT"
        self.settle()
        return outcome

    def queue(self, waiter: Waiter) -> str:
        """Enters a waiter, or one that returns (L2, L4)."""
        self.drop(waiter.sequence)
        reaching = {name for name in self.names() if waiter.holder in self.reached([name])}
        if self.holders_in_the_way(waiter) & reaching:
            return "DEADLOCK"
        before = [each for each in self.attached() if self.conflict(waiter, each) and each.key < waiter.key]
        passed = {each.sequence for each in before if each.holder in reaching}
        awaited = {each.holder for each in before if each.sequence not in passed}
        reached = self.reached([waiter.holder, *self.holders_in_the_way(waiter), *awaited])
        behind = [each for each in self.attached() if self.conflict(waiter, each) and each.key > waiter.key]
        self.passes |= {(waiter.sequence, each) for each in passed}
        self.passes |= {(each.sequence, waiter.sequence) for each in behind if each.holder in reached}
        self.waiters[waiter.sequence] = waiter
        return "waiting"

    def release(self, resource: str, holder: str, count: int = 1) -> None:
        """Gives a lock back, once or wholly."""
        self.held[resource][holder] -= count
        if not self.held[resource][holder]:
            del self.held[resource][holder]
        self.settle()

    def leave(self, sequence: int) -> None:
        """Nobody waits under that any more."""
        self.drop(sequence)
        self.settle()

    def detach(self, holder: str) -> None:
        """The waiters of a session are set aside (L6)."""
        for each in self.waiters.values():
            if each.holder == holder:
                each.attached = False
        self.settle()

    def resume(self, holder: str) -> list[int]:
        """They are queued again, in their old places; those who would close a cycle are gone, and returned."""
        refused = []
        for each in [each for each in self.waiters.values() if each.holder == holder and not each.attached]:
            each.attached = True
            order = list(self.waiters)
            if self.queue(each) == "DEADLOCK":
                refused.append(each.sequence)
            self.waiters = {sequence: self.waiters[sequence] for sequence in order if sequence in self.waiters}
        self.settle()
        return refused

    # What follows.

    def settle(self) -> None:
        """Grants to everybody whose turn it is (L2, L3)."""
        while free := [each for each in self.attached() if not self.is_blocked(each)]:
            self.grant(min(free, key=lambda each: each.key))

    def grant(self, waiter: Waiter) -> None:
        self.drop(waiter.sequence)
        for resource, mode in waiter.wants.items():
            holders = self.held.setdefault(resource, {})
            if not holders:
                self.modes[resource] = mode
            holders[waiter.holder] = holders.get(waiter.holder, 0) + 1

    def drop(self, sequence: int) -> None:
        self.waiters.pop(sequence, None)
        self.passes = {pair for pair in self.passes if sequence not in pair}

    # Who is in whose way.

    def attached(self) -> list[Waiter]:
        return [each for each in self.waiters.values() if each.attached]

    def names(self) -> set[str]:
        """Everybody there is."""
        holders = {name for names in self.held.values() for name in names}
        return holders | {each.holder for each in self.waiters.values()}

    def clash(self, resource: str, mode: LockMode) -> set[str]:
        """Who holds a resource in a way that conflicts with a mode."""
        names = set(self.held.get(resource, ()))
        return names if names and not mode is self.modes[resource] is SHARED else set()

    def holders_in_the_way(self, waiter: Waiter) -> set[str]:
        found = {name for resource, mode in waiter.wants.items() for name in self.clash(resource, mode)}
        return found - {waiter.holder}

    def conflict(self, one: Waiter, other: Waiter, resources: set[str] | None = None) -> bool:
        """Whether two waiters cannot both have what both want."""
        common = (one.wants.keys() & other.wants.keys()) if resources is None else resources
        clash = any(not one.wants[each] is other.wants[each] is SHARED for each in common)
        return one.holder != other.holder and clash

    def stands_before(self, other: Waiter, waiter: Waiter) -> bool:
        """Whether, of two that conflict, the other one goes first."""
        if (waiter.sequence, other.sequence) in self.passes:
            return False
        return (other.sequence, waiter.sequence) in self.passes or other.key < waiter.key

    def is_blocked(self, waiter: Waiter) -> bool:
        """L2, L5: by who holds it, or by who goes first."""
        for resource, mode in waiter.wants.items():
            if waiter.holder in self.held.get(resource, {}):
                if mode is not SHARED and self.modes[resource] is SHARED:
                    return True
                continue
            if self.clash(resource, mode):
                return True
            for other in self.attached():
                both = resource in other.wants and self.conflict(waiter, other, {resource})
                if both and other is not waiter and self.stands_before(other, waiter):
                    return True
        return False

    def reached(self, starts: list[str]) -> set[str]:
        """Everybody whom some holders wait for, themselves among them."""
        found, frontier = set(starts), list(starts)
        while frontier:
            name = frontier.pop()
            for waiter in self.attached():
                if waiter.holder != name:
                    continue
                ahead = {
                    other.holder
                    for other in self.attached()
                    if self.conflict(waiter, other) and self.stands_before(other, waiter)
                }
                for each in (self.holders_in_the_way(waiter) | ahead) - found:
                    found.add(each)
                    frontier.append(each)
        return found
