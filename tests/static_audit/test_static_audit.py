"""Our Python stays as bandit wants it, or says why not; and what the other tools tell is read as it is meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.static_audit import __main__ as command
from tests.static_audit.tools import Audited, advisories, bandit, unexplained, vulnerable_packages

FINDING = {"test_id": "B602", "filename": "./a/b.py", "line_number": 3, "issue_text": "a shell"}


def test_our_python_has_nothing_that_is_not_explained() -> None:
    """Whatever bandit finds is mended, or has its reason in pyproject.toml."""
    assert bandit() == Audited("bandit")


def test_an_explanation_is_of_one_test_in_one_file_and_goes_with_it() -> None:
    """Nothing else is let through, and no reason outlives what it was for."""
    told: dict[str, Any] = {"errors": [], "results": [FINDING]}
    assert unexplained(told, {"B602 a/b.py": "it is fixed text"}).findings == []
    assert unexplained(told, {}).findings == ["./a/b.py:3: B602 a shell"]
    stale = unexplained({"errors": [], "results": []}, {"B602 a/b.py": "gone"})
    assert stale.findings == ["pyproject.toml: B602 a/b.py: explained, and not found"]
    unread = {"errors": [{"filename": "c.py", "reason": "syntax error"}], "results": []}
    assert unexplained(unread, {}).findings == ["c.py: syntax error"]


def test_packages_that_no_database_knows_are_not_taken_for_sound() -> None:
    """pip-audit ends well where it could not ask."""
    sound = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "not found"}
    ill = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
    assert vulnerable_packages({"dependencies": [sound]}) == Audited("pip-audit")
    found = vulnerable_packages({"dependencies": [sound, skipped, ill]})
    assert found.findings == ["c 2: PYSEC-1, fixed in 3"]
    assert "1 of 3" in found.not_audited


def test_a_registry_without_advisories_is_not_taken_for_none() -> None:
    """npm audit tells an error as JSON, too."""
    assert advisories({"vulnerabilities": {}}) == Audited("npm audit")
    ill = {"vulnerabilities": {"x": {"name": "x", "range": "<2", "severity": "high"}}}
    assert advisories(ill).findings == ["x <2: high"]
    assert "405" in advisories({"message": "405 Method Not Allowed"}).not_audited


@pytest.mark.parametrize(
    ("audited", "strict", "code"),
    [
        (Audited("t"), True, 0),
        (Audited("t", ["ill"]), False, 1),
        (Audited("t", [], "out of reach"), False, 0),
        (Audited("t", [], "out of reach"), True, 1),
    ],
)
def test_the_exit_code_says_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], audited: Audited, strict: bool, code: int
) -> None:
    """What could not be looked at is said plainly, and fails where that is asked for."""
    for name in ("bandit", "pip_audit", "govulncheck", "npm_audit"):
        monkeypatch.setattr(command, name, lambda: audited)
    assert command.main(["--strict"] if strict else []) == code
    assert ("NOT AUDITED: out of reach" in capsys.readouterr().out) is bool(audited.not_audited)
