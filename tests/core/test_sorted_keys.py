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
        earlier = [key for key in expected if key < start]
        assert list(keys.starting_at(start)) == [key for key in expected if key >= start]
        assert list(keys.before(start)) == earlier[::-1]
        assert keys.count_before(start) == len(earlier)
        assert (start in keys, bool(keys)) == (start in expected, bool(expected))
        assert (keys.first(), keys.last()) == ((expected[0], expected[-1]) if expected else (None, None))
