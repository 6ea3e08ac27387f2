"""Which tests may run side by side, where several processes run them (`make test JOBS=2`), and how long they may take.

The tests of a module stay together, so that what they share is started once. Those that build a client of another
language all stay together, because each builds in one place; they take longest, and begin first. Those that simulate
worlds share nothing, take long too, and come next.

An example of Hypothesis may take as long as it takes: no test depends on the speed of the machine.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("concert", deadline=None)
settings.load_profile("concert")

LANGUAGES: Final = (
    "tests/conformance/",
    "tests/clients_go/",
    "tests/clients/test_java.py",
    "tests/clients/test_typescript.py",
    "tests/e2e/test_polyglot_demo.py",
)
SIMULATED: Final = "tests/simulation/"


@pytest.hookimpl(tryfirst=True)  # before xdist puts the groups into the names
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each test a group that has none, and has those that take longest run first."""
    items.sort(key=lambda item: (not item.nodeid.startswith(LANGUAGES), not item.nodeid.startswith(SIMULATED)))
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Without their groups two Maven builds meet in one directory: rather no test than that."""
    if session.config.getoption("loadgroup", default=False):
        strays = [item.nodeid for item in session.items if "@" not in item.nodeid]
        if strays:
            raise pytest.UsageError(f"pytest-xdist knows no group of {strays[0]} and of {len(strays) - 1} more")


def _group(item: pytest.Item) -> str:
    if item.nodeid.startswith(LANGUAGES):
        return "languages"
    if item.nodeid.startswith(SIMULATED):
        return item.name.replace("[", "-").removesuffix("]")
    return item.nodeid.partition("::")[0]
