"""Keys in order, against a sorted list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core import sorted_keys
from coordinator_service.core.sorted_keys import SortedKeys

KEYS = st.text("ab/", max_size=4)


@given(st.lists(KEYS, unique=True), st.lists(KEYS), KEYS)
def test_keys_are_those_of_a_sorted_list(initial: list[str], toggled: list[str], start: str) -> None:
    """S1: whatever is put in and taken out, order and ranges are those of a sorted list."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_keys, "CHUNK_KEYS_MAX", 4)
        keys, expected = SortedKeys(initial), sorted(initial)
        for key in toggled:
            if key in expected:
                keys.remove(key)
                expected.remove(key)
            else:
                keys.add(key)
                expected = sorted([*expected, key])
            assert list(keys) == expected
        assert list(keys.starting_at(start)) == [key for key in expected if key >= start]
