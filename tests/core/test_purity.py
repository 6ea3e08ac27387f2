"""The core reads nothing but its arguments."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import coordinator_service.core as core

FOLDER = Path(core.__path__[0])
FORBIDDEN = {"asyncio", "google", "grpc", "opentelemetry", "os", "random", "sqlite3", "time", "uuid"}
NEEDED = {
    "__future__",
    "bisect",
    "collections",
    "coordinator_service",
    "dataclasses",
    "enum",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "msgspec",
    "typing",
    "zlib",
}
"""All that the core needs of the world: containers, arithmetic, digests."""
IMPURE_CALLS = {"open", "print", "input", "id", "hash", "exec", "eval", "globals", "__import__"}


def sources() -> list[Path]:
    """The files of the core."""
    return sorted(FOLDER.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module or ""


def test_the_core_imports_itself_and_pure_parts_of_the_standard_library() -> None:
    """D1: no clock, randomness, disk, socket, concurrency, wire format or telemetry can reach a decision."""
    found = {name for path in sources() for name in imported(ast.parse(path.read_text()))}
    roots = {name.partition(".")[0] for name in found}
    assert roots & FORBIDDEN == set()
    assert roots <= NEEDED
    assert {root for root in roots - {"coordinator_service", "msgspec"} if root not in sys.stdlib_module_names} == set()
    own = {name for name in found if name.startswith("coordinator_service")}
    assert {name for name in own if not name.startswith("coordinator_service.core")} == set()


def test_the_core_calls_nothing_that_differs_from_run_to_run() -> None:
    """D1: a fold gives the same state on any machine."""
    called = {
        f"{path.name}: {node.func.id}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    }
    assert called == set()


def test_the_core_never_waits() -> None:
    """D1: a decision is a function, not a process."""
    waiting = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    assert [
        path.name for path in sources() if any(isinstance(n, waiting) for n in ast.walk(ast.parse(path.read_text())))
    ] == []


def test_nothing_is_decided_in_the_order_of_a_set() -> None:
    """D1: sets are asked for membership, never walked where the order could show in an event.

    The order of a set of strings differs from process to process. A loop over one may only build another set.
    """
    walked = [
        f"{path.name}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Set | ast.SetComp))
        or (
            isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and getattr(node.iter.func, "id", "") == "set"
        )
    ]
    assert walked == []
