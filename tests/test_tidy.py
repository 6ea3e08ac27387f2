"""What we care about and no linter checks: names, sizes, words that never go into the project."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "clients/python/concert/v1/"
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 80


def tracked(*patterns: str) -> list[Path]:
    """Files that git tracks and that are ours to write."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split() if not name.startswith(GENERATED) and (ROOT / name).exists()]


def name(path: Path) -> str:
    """A path as it is shown."""
    return str(path.relative_to(ROOT))


def outside_tests() -> list[Path]:
    """Python sources that are no tests."""
    return [path for path in tracked("*.py") if "tests" not in path.parts]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of a file, each with its length in lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def test_a_file_stays_within_what_one_reads_in_a_sitting() -> None:
    """A file that grows past comfort has a noun missing."""
    lengths = {name(path): len(path.read_text().splitlines()) for path in outside_tests()}
    assert len(lengths) > 50
    assert {path: length for path, length in lengths.items() if length > FILE_LINES_MAX} == {}


def test_a_function_stays_within_a_screen_or_so() -> None:
    """Functions do one thing."""
    long = [
        f"{name(path)}: {function} has {length} lines"
        for path in tracked("*.py")
        for function, length in functions(path)
        if length > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_file_is_named_for_nothing() -> None:
    """Topic-named modules: no utils, helpers, managers."""
    vague = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)$")
    assert [name(path) for path in outside_tests() if vague.search(path.stem)] == []


def test_limits_carry_their_unit_last() -> None:
    """Every limit has a name, and the name says what it counts."""
    from coordinator_service.core.limits import Limits

    units = ("_max", "_ms", "_bytes", "_events")
    assert [limit for limit in Limits().as_mapping() if not limit.endswith(units)] == []


def test_no_machine_path_and_no_address_of_a_package_host() -> None:
    """The project runs anywhere: what is written down holds on every machine."""
    forbidden = re.compile(rf"{re.escape(str(ROOT))}/|/home/\w|/root/|\"resolved\": *\"http")
    offending = [
        f"{name(path)}: {line.strip()}"
        for path in tracked("*.py", "*.md", "*.toml", "*.proto", "*.yaml", "*.json", "*.txt", "Makefile", ".ci/*")
        if path != Path(__file__)
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert offending == []
