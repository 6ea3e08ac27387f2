from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core.histogram import BOUNDS_NS, Histogram
from tests.core.driver import seconds

TIMES = st.lists(st.integers(0, seconds(20_000)), min_size=1, max_size=50)


def filled(times: list[int]) -> Histogram:
    """A histogram of these."""
    histogram = Histogram()
    for each in times:
        histogram.add(each)
    return histogram


def test_the_bounds_are_those_that_the_contract_names() -> None:
    """M2: 0.1 ms to 10 000 s, six to a power of ten, rising."""
    assert BOUNDS_NS[:7] == (100_000, 150_000, 200_000, 300_000, 500_000, 700_000, 1_000_000)
    assert BOUNDS_NS[-1] == seconds(10_000)
    assert list(BOUNDS_NS) == sorted(set(BOUNDS_NS))


@given(TIMES, st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_right_bucket(times: list[int], quantile: float) -> None:
    """M2: the same bucket as the exact quantile (of some definition of it), and never beyond the longest."""
    histogram = filled(times)
    found = histogram.quantile_ns(quantile)
    assert found is not None
    assert found <= max(times)
    rank = quantile * len(times)
    exact = sorted(times)[max(0, -(-int(rank * 1_000_000) // 1_000_000) - 1)]
    bucket = bisect_left(BOUNDS_NS, exact)
    lower = BOUNDS_NS[bucket - 1] if bucket else 0
    assert lower <= found <= (BOUNDS_NS[bucket] if bucket < len(BOUNDS_NS) else max(times))


@given(TIMES, TIMES)
def test_two_joined_are_one_of_both(one: list[int], other: list[int]) -> None:
    """M2: histograms of several agents or replicas can be added up."""
    joined = filled(one)
    joined.join(filled(other))
    both = filled(one + other)
    assert (joined.count, joined.sum_ns, joined.max_ns) == (both.count, both.sum_ns, both.max_ns)
    assert joined.buckets == both.buckets
    assert joined.mean_ns == sum(one + other) // len(one + other)


def test_nothing_counted_says_nothing() -> None:
    """M2: no mean and no quantile of nothing."""
    assert (Histogram().mean_ns, Histogram().quantile_ns(0.5)) == (None, None)
