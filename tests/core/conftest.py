"""Namespaces that are verified when a test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from coordinator_service.core.limits import Limits
from tests.core.driver import Namespace

OpenNamespace: TypeAlias = Callable[[Limits], Namespace]


@pytest.fixture
def open_namespace() -> Iterator[OpenNamespace]:
    """Makes namespaces with other limits."""
    made: list[Namespace] = []

    def make(limits: Limits) -> Namespace:
        made.append(Namespace(limits))
        return made[-1]

    yield make
    for each in made:
        each.verify()


@pytest.fixture
def namespace(open_namespace: OpenNamespace) -> Namespace:
    """A namespace with the usual limits."""
    return open_namespace(Limits())
