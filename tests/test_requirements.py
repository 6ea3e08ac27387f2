"""What is installed beside Concert installs wherever Concert does."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.specifiers import SpecifierSet

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
PINNED = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", CONSTRAINTS.read_text(), re.MULTILINE))


def test_every_version_that_is_pinned_installs_on_the_first_python_3_11() -> None:
    """Debian 12 has Python 3.11.2: a package that wants a later patch release would end `make setup` there."""
    installed = {each.metadata["Name"].lower(): each for each in importlib.metadata.distributions()}
    wants = {
        name: installed[name.lower()].metadata["Requires-Python"]
        for name in PINNED
        if name.lower() in installed and installed[name.lower()].version == PINNED[name]
    }
    assert len(wants) > 50
    assert {name: wanted for name, wanted in wants.items() if wanted and "3.11.0" not in SpecifierSet(wanted)} == {}
