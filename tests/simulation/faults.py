"""What goes wrong, and how often: drawn from the seed, so that each seed is a world with troubles of its own."""

from __future__ import annotations

from random import Random

_OFTEN = {
    "append_fails_before": 0.004,
    "append_fails_after": 0.004,
    "command_lost": 0.03,
    "reply_lost": 0.04,
    "command_late": 0.04,
    "command_twice": 0.03,
    "impatient": 0.05,
    "crash_on_decision": 0.002,
    "crash_on_answer": 0.002,
    "crash_on_commit": 0.002,
    "crash_any_step": 0.0,
}
"""Chance of each at every opportunity, in the worst of worlds."""


class Faults:
    """The troubles of one world. In calm nothing goes wrong any more."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.calm = False
        self.counts: dict[str, int] = {}
        self._chances = {name: chance * random.choice((0, 0.3, 1)) for name, chance in _OFTEN.items()}
        self._commit_seconds_max = random.choice((0.0, 0.002, 0.05, 0.4))

    def strikes(self, name: str) -> bool:
        """Whether this trouble comes now."""
        if self.calm or self._random.random() >= self._chances[name]:
            return False
        self.counts[name] = self.counts.get(name, 0) + 1
        return True

    def commit_seconds(self) -> float:
        """How long a commit takes."""
        if self.calm or not self._commit_seconds_max:
            return 0.001
        return self._random.uniform(0, self._commit_seconds_max)

    def delay(self, seconds_max: float) -> float:
        """Some time, often very short."""
        return self._random.choice((0.0, self._random.random() ** 3)) * seconds_max
