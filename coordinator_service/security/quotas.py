"""Quotas: how much each principal has of this replica now, and what is refused because it is too much.

A rate is a bucket that fills steadily: `calls_burst_max` at once, `calls_per_second` in the long run; of what is stored
`stored_bytes_per_hour` at once, and so much in an hour in the long run.
"""

from __future__ import annotations

from typing import Final

from coordinator_service.core.rejections import LimitReached
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.security.roles import PrincipalLimits

TALLIES_MAX: Final = 10_000
OF_PRINCIPAL: Final = "principal "
"""What the names of these limits begin with where one is reached."""
RATE: Final = f"{OF_PRINCIPAL}calls_per_second"
STORED: Final = f"{OF_PRINCIPAL}stored_bytes_per_hour"
ENVELOPE_BYTES: Final = 256
"""What the coordinator stores around what was asked."""
_NS_PER_HOUR: Final = 3600 * NS_PER_SECOND


class Bucket:
    """Fills steadily up to a bound, which may change."""

    __slots__ = ("_filled_at_ns", "_level")

    def __init__(self, level: int, now_ns: int) -> None:
        self._level = float(level)
        self._filled_at_ns = now_ns

    def take(self, count: int, per_ns: float, level_max: int, now_ns: int) -> int:
        """Takes so many, and says for how many nanoseconds it is overdrawn then."""
        filled = self._level + (now_ns - self._filled_at_ns) * per_ns
        self._level = min(filled, float(level_max)) - count
        self._filled_at_ns = now_ns
        return 0 if self._level >= 0 else int(-self._level / per_ns)

    def full(self, per_ns: float, level_max: int, now_ns: int) -> bool:
        """Whether nothing is missing."""
        return self._level + (now_ns - self._filled_at_ns) * per_ns >= level_max

    def put_back(self, count: int) -> None:
        """They were not used."""
        self._level += count


class Tally:
    """What one principal has."""

    __slots__ = ("_calls", "_stored", "calls", "limits", "namespaces", "sessions", "subscriptions")

    def __init__(self, limits: PrincipalLimits, now_ns: int) -> None:
        self.limits = limits
        self.calls = 0
        self.sessions = 0
        self.subscriptions = 0
        self.namespaces: set[str] = set()
        """Those that it made."""
        self._calls = Bucket(_burst(limits), now_ns)
        self._stored: Bucket | None = None

    def idle(self, now_ns: int) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not (self.calls or self.sessions or self.subscriptions or self.namespaces or self._owes(now_ns))

    def _owes(self, now_ns: int) -> bool:
        limit = self.limits.stored_bytes_per_hour
        return self._stored is not None and limit is not None and not self._stored.full(*_hourly(limit), now_ns)

    def begin_call(self, now_ns: int) -> None:
        """One more call, or opening of a stream, to be ended with end_call. Raises LimitReached."""
        limits = self.limits
        if limits.calls_open_max is not None and self.calls >= limits.calls_open_max:
            raise LimitReached(f"{OF_PRINCIPAL}calls_open_max", limits.calls_open_max)
        wait_ns = self.take(1, now_ns)
        if wait_ns:
            self._calls.put_back(1)  # it was not made
            raise LimitReached(RATE, limits.calls_per_second or 0, retry_after_ms=max(1, wait_ns // 1_000_000))
        self.calls += 1

    def end_call(self) -> None:
        """It is over."""
        self.calls -= 1

    def begin_session(self) -> None:
        """Raises LimitReached."""
        self.sessions = _one_more("sessions_max", self.sessions, self.limits.sessions_max)

    def end_session(self) -> None:
        """It is over."""
        self.sessions -= 1

    def begin_subscription(self) -> None:
        """A stream that follows. Raises LimitReached."""
        self.subscriptions = _one_more("subscriptions_max", self.subscriptions, self.limits.subscriptions_max)

    def end_subscription(self) -> None:
        """It is over."""
        self.subscriptions -= 1

    def make_namespace(self, name: str) -> None:
        """Raises LimitReached."""
        if name not in self.namespaces:
            _one_more("namespaces_max", len(self.namespaces), self.limits.namespaces_max)
            self.namespaces.add(name)

    def take(self, count: int, now_ns: int) -> int:
        """Takes so many from the bucket, and says for how many nanoseconds it is overdrawn then."""
        rate = self.limits.calls_per_second
        if rate is None:
            return 0
        return self._calls.take(count, rate / NS_PER_SECOND, _burst(self.limits), now_ns)

    def store(self, asked_bytes: int, now_ns: int) -> None:
        """A request that stores what is in it. Raises LimitReached."""
        limit = self.limits.stored_bytes_per_hour
        if limit is None:
            return
        if self._stored is None:
            self._stored = Bucket(limit, now_ns)
        size = asked_bytes + ENVELOPE_BYTES
        wait_ns = self._stored.take(size, *_hourly(limit), now_ns)
        if wait_ns:
            self._stored.put_back(size)
            raise LimitReached(STORED, limit, retry_after_ms=max(1, wait_ns // 1_000_000))


def _hourly(limit: int) -> tuple[float, int]:
    return limit / _NS_PER_HOUR, limit


def _burst(limits: PrincipalLimits) -> int:
    return limits.calls_burst_max or 2 * (limits.calls_per_second or 0)


def _one_more(limit: str, count: int, count_max: int | None) -> int:
    if count_max is not None and count >= count_max:
        raise LimitReached(f"{OF_PRINCIPAL}{limit}", count_max)
    return count + 1


class Quotas:
    """The tallies of this replica, by principal."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def of(self, principal: str, limits: PrincipalLimits, now_ns: int) -> Tally:
        """What a principal has; under those limits from now on."""
        tally = self._tallies.get(principal)
        if tally is None:
            if len(self._tallies) >= TALLIES_MAX:
                self._tallies = {name: each for name, each in self._tallies.items() if not each.idle(now_ns)}
            tally = self._tallies[principal] = Tally(limits, now_ns)
        tally.limits = limits
        return tally
