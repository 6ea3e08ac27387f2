"""Every rule of docs/semantics.md has a test that names it, and every reason word is written there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from coordinator_service.core import reasons

ROOT = Path(__file__).resolve().parent.parent
SEMANTICS = ROOT / "docs" / "semantics.md"
RULE = re.compile(r"\b([DEARLSPMTX]\d{1,2})\b")


def rules() -> list[str]:
    """The ids of the rules, in the order of the document."""
    return re.findall(r"^- \*\*([A-Z]\d{1,2})\*\*", SEMANTICS.read_text(), flags=re.MULTILINE)


def invariants() -> list[int]:
    """Their numbers, likewise."""
    listed = SEMANTICS.read_text().partition("\n## Invariants")[2]
    return [int(number) for number in re.findall(r"^(\d+)\. ", listed, flags=re.MULTILINE)]


def named(docstring: str) -> set[str]:
    """The rule ids that a docstring names; "A1 to A3" names what lies between."""
    found = set(RULE.findall(docstring))
    for letter, first, last in re.findall(r"\b([A-Z])(\d{1,2}) (?:to|through) \1(\d{1,2})\b", docstring):
        found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return found


def claims() -> Iterator[tuple[Path, str, str]]:
    """Every test under tests/: its file, its name, and its docstring. A class of tests is one of them."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds) and node.name.lower().startswith("test"):
                yield path, node.name, ast.get_docstring(node) or ""


def test_every_rule_has_a_test_that_names_it() -> None:
    """The way from a rule to its proof is one search."""
    proved = {rule for _, _, docstring in claims() for rule in named(docstring)}
    assert [rule for rule in rules() if rule not in proved] == []


def test_every_invariant_has_a_test_that_names_it() -> None:
    """By its number: the simulator holds every world to all of them."""
    said = " ".join(docstring for _, _, docstring in claims())
    proved = {int(number) for number in re.findall(r"\binvariants? (\d+)", said)}
    for first, last in re.findall(r"\binvariants (\d+) to (\d+)", said):
        proved |= set(range(int(first), int(last) + 1))
    assert [number for number in invariants() if number not in proved] == []


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    """A typing error in an id would prove nothing and look like proof."""
    known = set(rules())
    unknown = [
        f"{path.name}: {name} names {rule}"
        for path, name, docstring in claims()
        for rule in sorted(named(docstring) - known)
    ]
    assert unknown == []


def test_rules_and_invariants_are_numbered_without_gaps() -> None:
    """One id, one rule, and none has got lost."""
    for letter in sorted({rule[0] for rule in rules()}):
        numbers = [int(rule[1:]) for rule in rules() if rule[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter
    assert len(rules()) > 60
    assert invariants() == list(range(1, 13))


def test_the_document_lists_exactly_the_reasons_there_are() -> None:
    """Event.reason is a word that a reader can look up; core/reasons.py and the document agree on all of them."""
    table = SEMANTICS.read_text().partition("## Reasons")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([A-Z_]+)` \|", table, flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {value for name, value in vars(reasons).items() if name.isupper()}


def test_every_reason_is_given_somewhere() -> None:
    """A word that no decision uses explains nothing."""
    sources = [path for path in (ROOT / "coordinator_service").rglob("*.py") if path.name != "reasons.py"]
    text = "\n".join(path.read_text() for path in sources)
    unused = [
        name
        for name in vars(reasons)
        if name.isupper() and not re.search(rf"\breasons\.{name}\b|import.*\b{name}\b", text)
    ]
    assert unused == []
