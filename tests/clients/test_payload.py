from __future__ import annotations

import math
from typing import Any

import pytest
from concert._limits import JSON_DEPTH_MAX, PAYLOAD_BYTES_MAX
from concert._payload import clip, clip_start, from_payload, to_payload
from concert.errors import InvalidArgument, InvalidPayload
from concert.v1 import payload_pb2
from hypothesis import given
from hypothesis import strategies as st

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def nested(levels: int) -> Any:
    value: Any = "leaf"
    for _ in range(levels):
        value = [value]
    return value


@given(JSON_VALUES)
def test_json_comes_back_as_it_went(value: Any) -> None:
    """A JSON value survives the way into a Payload, over the wire, and out again."""
    sent = to_payload(value).SerializeToString()
    assert from_payload(payload_pb2.Payload.FromString(sent)) == value


def test_whole_numbers_come_back_as_int() -> None:
    """JSON numbers are doubles; what is whole is an int again, so that it can be an index."""
    back = from_payload(to_payload([3, 3.5, -0.0, True]))
    assert [type(each) for each in back] == [int, float, int, bool]


def test_bytes_and_payloads_pass_as_they_are() -> None:
    """Bytes travel as data with their content type, and a ready-made Payload is not wrapped again."""
    payload = to_payload(b"\x00\xff", "image/png")
    assert (payload.data, payload.content_type, from_payload(payload)) == (b"\x00\xff", "image/png", b"\x00\xff")
    assert to_payload(payload) is payload


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": -math.inf},
        2**53 + 1,
        {1: "a"},
        {"a": object()},
        {"a": b"bytes"},
        "\ud800",
        {"\ud800": 1},
        nested(JSON_DEPTH_MAX + 1),
    ],
)
def test_what_json_does_not_have_is_refused(value: Any) -> None:
    """NaN, infinity, large integers, other types, surrogates, deep nesting: InvalidPayload, before it is
    sent.
    """
    with pytest.raises(InvalidPayload) as refused:
        to_payload(value)
    assert isinstance(refused.value, InvalidArgument)
    assert isinstance(refused.value, ValueError)


def test_the_limits_themselves_are_allowed() -> None:
    """28 levels and exactly 1 MiB pass; a byte more does not."""
    assert from_payload(to_payload(nested(JSON_DEPTH_MAX))) == nested(JSON_DEPTH_MAX)
    overhead = to_payload(b"x" * (PAYLOAD_BYTES_MAX - 100)).ByteSize() - (PAYLOAD_BYTES_MAX - 100)
    assert to_payload(b"x" * (PAYLOAD_BYTES_MAX - overhead)).ByteSize() == PAYLOAD_BYTES_MAX
    with pytest.raises(InvalidPayload, match="over the limit"):
        to_payload(b"x" * (PAYLOAD_BYTES_MAX - overhead + 1))


@given(st.text(), st.integers(3, 40))
def test_clipped_text_fits(text: str, bytes_max: int) -> None:
    """Whatever is cut, from either end, stays valid text within the limit; what fits is not touched."""
    for cut in (clip(text, bytes_max), clip_start(text, bytes_max)):
        assert len(cut.encode()) <= bytes_max
    if len(text.encode(errors="replace")) <= bytes_max:
        assert clip(text, bytes_max) == clip_start(text, bytes_max) == text.encode(errors="replace").decode()
