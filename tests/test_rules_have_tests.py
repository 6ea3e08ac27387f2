"""Every rule of docs/semantics.md that is in force has a test that names it, and every reason word is written there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from coordinator_service.core import reasons

ROOT = Path(__file__).resolve().parent.parent
SEMANTICS = ROOT / "docs" / "semantics.md"
PROVED_ELSEWHERE_SOON: set[str] = set()
"""Rules whose tests are on their way. Nothing may stay here."""

RULE = re.compile(r"\b([DEARLSPMTX]\d{1,2})\b")


def rules() -> list[str]:
    """The ids of the rules in force, in the order of the document."""
    in_force = SEMANTICS.read_text().partition("## Not yet")[0]
    return re.findall(r"^- \*\*([A-Z]\d{1,2})\*\*", in_force, flags=re.MULTILINE)


def later_rules() -> list[str]:
    """The ids of those that are not."""
    return re.findall(
        r"^- \*\*([A-Z]\d{1,2})\*\*", SEMANTICS.read_text().partition("## Not yet")[2], flags=re.MULTILINE
    )


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


def test_every_rule_in_force_has_a_test_that_names_it() -> None:
    """The way from a rule to its proof is one search."""
    proved = {rule for _, _, docstring in claims() for rule in named(docstring)}
    assert [rule for rule in rules() if rule not in proved | PROVED_ELSEWHERE_SOON] == []
    assert sorted(PROVED_ELSEWHERE_SOON & proved) == [], "these are proved now: take them off the list"


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    """A typing error in an id would prove nothing and look like proof."""
    known = {*rules(), *later_rules()}
    unknown = [
        f"{path.name}: {name} names {rule}"
        for path, name, docstring in claims()
        for rule in sorted(named(docstring) - known)
    ]
    assert unknown == []


def test_rule_ids_are_unique() -> None:
    """One id, one rule."""
    ids = [*rules(), *later_rules()]
    assert len(ids) > 50
    assert sorted(set(ids)) == sorted(ids)


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
