"""A figure: what one benchmark measured, round by round, beside its ceiling, and what was asked of it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Floor: below it the work is not done. Goal: what we are after. Of the ratio to the ceiling, or of the value."""

    floor: float
    goal: float
    of: Literal["ratio", "concert"] = "ratio"
    lower_is_better: bool = False

    def reached(self, value: float, bound: float) -> bool:
        """Whether a value is no worse than a bound."""
        return value <= bound if self.lower_is_better else value >= bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One round: Concert's value, its ceiling's in the same round where there is one, and what explains them."""

    concert: float
    ceiling: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Concert's value by its ceiling's."""
        return self.concert / self.ceiling if self.ceiling else None


@dataclass(slots=True, kw_only=True)
class Figure:
    """A row of the table. Without a target it only informs."""

    name: str
    unit: str
    ceiling: str = ""
    target: Target | None = None
    samples: list[Sample] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round that has a ceiling."""
        return [ratio for sample in self.samples if (ratio := sample.ratio) is not None]

    @property
    def judged(self) -> float | None:
        """The median that the target is about."""
        if self.target is None or not self.samples:
            return None
        if self.target.of == "ratio":
            return statistics.median(self.ratios)
        return statistics.median(sample.concert for sample in self.samples)

    @property
    def verdict(self) -> Literal["goal", "floor", "below", "-"]:
        """Which bound its median reaches."""
        if self.target is None or self.judged is None:
            return "-"
        if self.target.reached(self.judged, self.target.goal):
            return "goal"
        return "floor" if self.target.reached(self.judged, self.target.floor) else "below"

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ceiling": self.ceiling,
            "target": None
            if self.target is None
            else {"of": self.target.of, "floor": self.target.floor, "goal": self.target.goal},
            "judged": self.judged,
            "verdict": self.verdict,
            "rounds": [
                {"concert": each.concert, "ceiling": each.ceiling, "ratio": each.ratio, **each.details}
                for each in self.samples
            ],
        }
