"""What goes wrong on the way, and how often: drawn from the seed, so that each seed is a world with troubles of its
own.
"""

from __future__ import annotations

from random import Random

_OFTEN = {
    "append_fails_before": 0.01,
    "append_fails_after": 0.01,
    "read_fails": 0.05,
    "command_lost": 0.05,
    "reply_lost": 0.08,
    "command_late": 0.06,
    "command_twice": 0.05,
    "command_again_later": 0.05,
    "impatient": 0.06,
    "crash_on_decision": 0.008,
    "crash_on_answer": 0.01,
}
"""Chance of each at every opportunity, in the worst of worlds."""


class Faults:
    """The troubles of one world. In calm nothing goes wrong any more."""

    def __init__(self, random: Random, troubles: frozenset[str]) -> None:
        self._random = random
        self.calm = False
        self.disk_full = False
        self.counts: dict[str, int] = {}
        self._chances = {name: chance * random.choice((0, 0, 0.3, 1)) for name, chance in _OFTEN.items()}
        if "crash" not in troubles:
            self._chances["crash_on_decision"] = self._chances["crash_on_answer"] = 0.0
        if "disk_reads_fail" not in troubles:
            self._chances["read_fails"] = 0.0
        self._commit_seconds_max = random.choice((0.0, 0.002, 0.05, 0.4))
        self._slow = "disk_slow" in troubles

    def strikes(self, name: str) -> bool:
        """Whether this trouble comes now."""
        chance = self._chances[name]
        if self.calm or not chance or self._random.random() >= chance:
            return False
        self.count(name)
        return True

    def count(self, name: str) -> None:
        """This trouble came."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def commit_seconds(self) -> float:
        """How long a commit takes."""
        if self.calm or not self._commit_seconds_max:
            return 0.001
        if self._slow and self._random.random() < 0.05:
            return self._random.uniform(0, 4)
        return self._random.uniform(0, self._commit_seconds_max)

    def delay(self, seconds_max: float) -> float:
        """Some time, often very short."""
        return self._random.choice((0.0, self._random.random() ** 3)) * seconds_max
