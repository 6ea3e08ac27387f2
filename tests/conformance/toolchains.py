"""Which languages are tested here: those whose toolchain is there, or all of them where CI says so."""

from __future__ import annotations

import os

import pytest

from clients.conformance.driver import Language

ALL_REQUIRED = os.environ.get("CONCERT_REQUIRE_ALL_LANGUAGES") == "1"

_made: set[str] = set()


def present(language: Language) -> Language:
    """The language; skips the test when its toolchain is missing, fails it when all are required."""
    missing = language.missing()
    if missing and not ALL_REQUIRED:
        pytest.skip(f"{language.name} is left out: {', '.join(missing)} is not here")
    assert not missing, f"{language.name} needs {', '.join(missing)}, and CONCERT_REQUIRE_ALL_LANGUAGES is set"
    return language


def made(language: Language) -> Language:
    """The language, its driver built, if it is present."""
    present(language)
    if language.key not in _made:
        language.make()
        _made.add(language.key)
    return language


def note_made(language: Language) -> None:
    """Its driver was built as part of something larger."""
    _made.add(language.key)
