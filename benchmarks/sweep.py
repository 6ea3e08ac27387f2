"""The sweep: the benchmarks on several releases of grpcio and on both event loops. `python -m benchmarks.sweep`.

Each release goes into a directory of its own that shadows the installed one; everything else stays the same. Releases
take turns within a round, so that all of them meet the same weather, and every figure is compared with that of the
first one named in the same round. Compared is the CPU time that the server spends on an answer, which a busy machine
distorts far less than it does rates.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.loops import LOOPS

RELEASES = ("1.71.2", "1.74.0", "1.76.0", "1.78.2", "1.80.1", "1.83.2", "1.85.1")
COMPANIONS = ("grpcio-status", "grpcio-health-checking", "grpcio-reflection")
"""Their generated code refuses a grpcio older than itself."""
BENCHMARKS = ("session", "unary", "batches", "fan-out", "overhead")
FIGURES = ("session, 32 in flight", "unary, 32 in flight", "publish, batches of 100", "fan-out 1 to 8")
BENCHMARK_SECONDS_MAX = 600


@dataclass(frozen=True, slots=True)
class Variant:
    """A release on a loop."""

    release: str
    loop: str

    def __str__(self) -> str:
        return f"grpcio {self.release}, {self.loop}"


Measured = dict[str, tuple[float, float]]
"""By figure: server CPU an answer, in µs, of Concert and of its ceiling."""


def main() -> None:
    """The entry point."""
    arguments = _arguments()
    installed = importlib.metadata.version("grpcio")
    variants = [Variant(release, loop) for release in arguments.releases for loop in arguments.loops]
    rounds: dict[Variant, list[Measured]] = {each: [] for each in variants}
    with tempfile.TemporaryDirectory(prefix="concert-sweep-") as directory:
        shadows = {release: shadow(Path(directory, release), release, installed) for release in arguments.releases}
        for number in range(arguments.rounds):
            for variant in variants:
                print(f"round {number + 1}: {variant} ...", file=sys.stderr, flush=True)
                rounds[variant].append(measure(variant, shadows[variant.release], arguments.seconds, Path(directory)))
    show(rounds, base=variants[0])
    if arguments.json is not None:
        told = {str(variant): measured for variant, measured in rounds.items()}
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")


def shadow(directory: Path, release: str, installed: str) -> Path:
    """Installs a release of grpcio into a directory, with companions that are not too new for it."""
    wanted = [f"grpcio=={release}"]
    if _number(release) < _number(installed):
        wanted += [f"{name}=={release}" for name in COMPANIONS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(directory), *wanted], check=True)
    return directory


def measure(variant: Variant, path: Path, seconds: float, scratch: Path) -> Measured:
    """One round of every benchmark."""
    record = scratch / "record.json"
    only = [argument for name in BENCHMARKS for argument in ("--only", name)]
    options = ["--rounds", "1", "--seconds", str(seconds), "--loop", variant.loop, "--json", str(record), *only]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=BENCHMARK_SECONDS_MAX,
        check=False,
    )
    told = json.loads(record.read_bytes()) if record.exists() else None
    if told is None or told["machine"]["grpcio"] != variant.release:
        raise RuntimeError(f"{variant}: {done.stderr[-4000:]}")
    record.unlink()
    return {name: values for figure in told["figures"] for name, values in _values(figure)}


def show(rounds: dict[Variant, list[Measured]], base: Variant) -> None:
    """Prints, by variant and figure, the median of each round's ratio to the first variant's value in that round."""
    table = Table(
        "variant",
        *FIGURES,
        title=f"Server CPU an answer, Concert / ceiling, as multiples of {base}: median (least to most)",
    )
    for variant, measured in rounds.items():
        cells = []
        for name in FIGURES:
            pairs = list(zip(measured, rounds[base], strict=True))
            cells.append(
                " / ".join(_spread([each[name][side] / first[name][side] for each, first in pairs]) for side in (0, 1))
            )
        table.add_row(str(variant), *cells)
    Console(width=140).print(table)


def _values(figure: dict[str, object]) -> Iterator[tuple[str, tuple[float, float]]]:
    """The first figure of a name is the one that has a target."""
    rounds = figure["rounds"]
    assert isinstance(rounds, list)
    if figure["target"] is not None and "concert_measured" in rounds[0]:
        sides = (rounds[0][side]["server_cpu_us"] for side in ("concert_measured", "ceiling_measured"))
        yield str(figure["name"]), (next(sides), next(sides))


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument(
        "--releases", nargs="+", default=list(RELEASES), help="the first is what the others are compared with"
    )
    parser.add_argument("--loops", nargs="+", default=["uvloop"], choices=LOOPS, help="(uvloop)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (1)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the record goes, if anywhere")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
