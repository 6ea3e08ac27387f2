"""Audit files: what was written holds, and whatever is done to a line is found and named (D9)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from concert import audit
from concert.audit import _lines as lines_of
from concert.v1 import event_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator_service.config import SQLITE_FILE
from coordinator_service.log.codec import split
from coordinator_service.log.extract import extracted, find_extract
from coordinator_service.log.sqlite_archive import SqliteArchive
from tests.replay.histories import NAME, write_history

PAIR = audit.new_key_pair()
KEY = audit.read_private_key(PAIR.private)
PUBLIC = audit.read_public_key(PAIR.public)
OTHER = audit.read_private_key(audit.new_key_pair().private)
PATIENT = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


async def exported(path: Path, first: int | None = None, last: int | None = None) -> list[bytes]:
    """The lines of the log in a SQLite file."""
    archive = SqliteArchive(path)
    try:
        log = await archive.open(NAME)
        extract = await find_extract(log, first, last)
        exported = audit.Range(
            namespace=NAME,
            log_id=extract.log_id,
            first_sequence=extract.first_sequence,
            last_sequence=extract.last_sequence,
            base_hash=extract.base_hash,
        )
        writer = audit.Writer(KEY, exported)
        lines = [writer.header()]
        async for stored in extracted(log, extract):
            lines += writer.commit(split(stored.batch.events), stored.hash)
        return [*lines, writer.trailer()]
    finally:
        await archive.close()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A log with its beginning, and one without."""
    directory = tmp_path_factory.mktemp("logs")
    found = {kind: directory / f"{kind}-{SQLITE_FILE}" for kind in ("whole", "trimmed")}
    for kind, path in found.items():
        asyncio.run(write_history(path, trimmed=kind == "trimmed"))
    return found


@pytest.fixture(scope="module")
def lines(logs: dict[str, Path]) -> list[bytes]:
    """The lines of the whole one."""
    return asyncio.run(exported(logs["whole"]))


def verified(lines: list[bytes]) -> audit.Verified:
    return audit.verify(io.BytesIO(b"".join(lines)), PUBLIC)


def fault(lines: list[bytes]) -> audit.AuditFault:
    with pytest.raises(audit.AuditFault) as caught:
        verified(lines)
    return caught.value


def signed_anew(lines: list[bytes], *, by: object = None) -> list[bytes]:
    """The lines with digests that fit, and the old signature or one by another key: what a forger can do."""
    digest, made = lines_of.DIGEST_BEFORE_FIRST, []
    for line in lines:
        parted = lines_of.parted(line)
        assert parted is not None
        body, _, signature = parted
        digest = lines_of.digest_of(digest, body)
        if signature and by is not None:
            signature = base64.b64encode(by.sign(lines_of.SIGNED_PREFIX + digest)).decode()  # type: ignore[attr-defined]
        made.append(body + lines_of.tail_of(digest, signature))
    return made


def edited(line: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    """A line whose members were changed, its digest left."""
    parted = lines_of.parted(line)
    assert parted is not None
    members = lines_of.members_of(parted[0])
    change(members)
    return lines_of.body_of(members) + lines_of.tail_of(parted[1], parted[2])


@pytest.mark.parametrize("kind", ["whole", "trimmed"])
async def test_what_was_written_holds(logs: dict[str, Path], kind: str) -> None:
    """D9: every event is there as canonical JSON and as stored, and the range and both hashes come out."""
    lines = await exported(logs[kind])
    found = verified(lines)
    first, last = found.first_sequence, found.last_sequence
    assert (first > 1) is (kind == "trimmed")
    assert (found.namespace, found.key_id, len(lines)) == (NAME, PAIR.key_id, last - first + 3)
    for sequence, line in enumerate(lines[1:-1], first):
        members = json.loads(line)
        event = event_pb2.Event.FromString(base64.b64decode(members["stored"]))
        assert event.sequence == sequence
        assert lines_of.json_of(event) == members["event"]
        assert members["event"]["sequence"] == str(sequence)


async def test_parts_of_a_log_follow_each_other(logs: dict[str, Path]) -> None:
    """D9: each range is whole commits; the next one begins with the hash that the last one ended with."""
    whole = verified(await exported(logs["whole"]))
    middle = (whole.first_sequence + whole.last_sequence) // 2
    one = verified(await exported(logs["whole"], None, middle))
    other = verified(await exported(logs["whole"], one.last_sequence + 1, None))
    assert one.last_sequence >= middle
    assert (one.first_sequence, other.last_sequence) == (whole.first_sequence, whole.last_sequence)
    assert (one.hash, other.first_sequence) == (other.base_hash, one.last_sequence + 1)
    assert (one.base_hash, other.hash) == (whole.base_hash, whole.hash)


async def test_a_range_within_a_commit_is_rounded_to_it(logs: dict[str, Path]) -> None:
    """D9: the chain is over commits: asked for one event of several, the file has them all."""
    whole = await exported(logs["whole"])
    ends = [number for number, line in enumerate(whole[1:-1], 1) if b'"hash"' in line]
    begin, end = next((a + 1, b) for a, b in itertools.pairwise(ends) if b - a >= 2)
    inner = verified(await exported(logs["whole"], begin + 1, begin + 1))
    assert (inner.first_sequence, inner.last_sequence) == (begin, end)


def test_a_changed_byte_is_named(lines: list[bytes]) -> None:
    """D9: whichever byte of whichever line is changed, that line is named."""

    @PATIENT
    @given(st.integers(0, len(lines) - 1), st.integers(0, 2**20), st.integers(1, 255))
    def change(number: int, position: int, flip: int) -> None:
        line = bytearray(lines[number])
        line[position % len(line)] ^= flip
        changed = [*lines[:number], bytes(line), *lines[number + 1 :]]
        assert fault(changed).line == number + 1

    change()


def test_a_line_that_is_missing_added_or_swapped_is_named(lines: list[bytes]) -> None:
    """D9: the number is that of the first line that is not where it should be."""
    indexes = st.integers(0, len(lines) - 1)

    @PATIENT
    @given(indexes, indexes)
    def shuffle(one: int, other: int) -> None:
        one, other = sorted((one, other))
        removed = [*lines[:one], *lines[one + 1 :]]
        assert fault(removed).line == one + 1
        several = [*lines[:one], *lines[other + 1 :]]
        assert fault(several).line == one + 1
        added = [*lines[:other], lines[one], *lines[other:]]
        assert fault(added).line == (other + 1 if one != other else other + 2)
        if one != other:
            swapped = [*lines]
            swapped[one], swapped[other] = swapped[other], swapped[one]
            assert fault(swapped).line == one + 1

    shuffle()


def test_a_file_that_was_cut_or_continued_is_named(lines: list[bytes]) -> None:
    """D9: at any byte, between lines or within one; and nothing may follow the trailer."""
    whole = b"".join(lines)
    ends = [0]
    for line in lines:
        ends.append(ends[-1] + len(line))

    @PATIENT
    @given(st.integers(0, len(whole) - 1) | st.sampled_from(ends[:-1]))
    def cut(length: int) -> None:
        found = fault([whole[:length]])
        complete = sum(end <= length for end in ends[1:])
        assert found.line == complete + 1

    cut()
    for more in (b"\n", b"{}\n", lines[-1], lines[1]):
        assert fault([*lines, more]).line == len(lines) + 1


def test_lines_from_another_file_are_named(lines: list[bytes], logs: dict[str, Path]) -> None:
    """D9: a line that was signed elsewhere is as foreign as any."""
    other = asyncio.run(exported(logs["trimmed"]))
    spliced = [*lines[:4], other[3], *lines[5:]]
    assert fault(spliced).line == 5
    assert fault([other[0], *lines[1:]]).line == 2


FORGERIES: list[tuple[str, int, Callable[[dict[str, object]], object]]] = [
    ("shown event", 3, lambda m: m["event"].__setitem__("reason", "FORGED")),  # type: ignore[attr-defined]
    ("stored event", 3, lambda m: m.__setitem__("stored", m["stored"][4:] + "AAAA")),  # type: ignore[index]
    ("no base64", 3, lambda m: m.__setitem__("stored", "%%%")),
    ("no event", 3, lambda m: m.__setitem__("event", None)),
    ("a member more", 3, lambda m: m.__setitem__("note", "hello")),
    ("another kind", 3, lambda m: m.__setitem__("kind", "remark")),
    ("header: namespace", 0, lambda m: m.__setitem__("namespace", 7)),
    ("header: key", 0, lambda m: m.__setitem__("keyId", "0" * 64)),
    ("header: range", 0, lambda m: m.__setitem__("firstSequence", "-1")),
    ("header: hash", 0, lambda m: m.__setitem__("baseHash", "zz")),
    ("trailer: count", -1, lambda m: m.__setitem__("events", 1)),
    ("trailer: hash", -1, lambda m: m.__setitem__("hash", "0" * 64)),
]


@pytest.mark.parametrize(("number", "change"), [each[1:] for each in FORGERIES], ids=[each[0] for each in FORGERIES])
def test_a_forger_who_makes_new_digests_is_found(
    lines: list[bytes], number: int, change: Callable[[dict[str, object]], object]
) -> None:
    """D9: what is told twice (JSON and stored bytes, count, hash) betrays the line by itself, digests or none."""
    number %= len(lines)
    forged = [*lines]
    forged[number] = edited(lines[number], change)
    assert fault(forged).line == number + 1
    assert fault(signed_anew(forged)).line == number + 1


def test_a_forger_who_is_consistent_lacks_the_signature(lines: list[bytes]) -> None:
    """D9: with every digest and hash made anew the signature is what does not fit; one by another key is none."""
    header = lines_of.members_of(lines_of.parted(lines[0])[0])  # type: ignore[index]
    shorter = audit.Range(
        namespace=header["namespace"],
        log_id=header["logId"],
        first_sequence=1,
        last_sequence=1,
        base_hash=bytes.fromhex(header["baseHash"]),
    )
    forged_event = event_pb2.Event(log_id=header["logId"], namespace=NAME, sequence=1, principal="nobody")
    for signer in (OTHER, KEY):
        writer = audit.Writer(signer, shorter)
        chain = hashlib.sha256(shorter.base_hash + lines_of.framed([forged_event.SerializeToString()]))
        made = [writer.header(), *writer.commit([forged_event.SerializeToString()], chain.digest()), writer.trailer()]
        if signer is KEY:
            assert verified(made).last_sequence == 1  # only the key makes it hold
            continue
        assert fault(made).line == 1
        pretending = [edited(made[0], lambda m: m.__setitem__("keyId", PAIR.key_id)), *made[1:]]
        found = fault(signed_anew(pretending, by=OTHER))
        assert found.line == len(made)
        assert "signature" in found.what


def test_a_later_format_and_later_fields_are_no_damage(lines: list[bytes]) -> None:
    """D9: what a later version wrote is refused as such."""
    later = signed_anew([edited(lines[0], lambda m: m.__setitem__("format", 2)), *lines[1:]])
    with pytest.raises(audit.AuditTooNew) as caught:
        verified(later)
    assert caught.value.line == 1
    event = event_pb2.Event.FromString(base64.b64decode(json.loads(lines[1])["stored"]) + b"\xc2\x3e\x04news")
    stored = base64.b64encode(event.SerializeToString()).decode()
    with pytest.raises(audit.AuditTooNew) as caught:
        verified(signed_anew([lines[0], edited(lines[1], lambda m: m.__setitem__("stored", stored)), *lines[2:]]))
    assert caught.value.line == 2


@PATIENT
@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([b"{}\n", b"\n", b"[" * 5000, b'{"kind":"header"}\n']), max_size=4
    )
)
def test_bytes_that_are_no_audit_file_are_refused(chunks: list[bytes]) -> None:
    """Bad input: whatever the bytes, a line is named, and nothing else is raised; with digests that fit, too."""
    fault([b"".join(chunks)])
    digest, made = lines_of.DIGEST_BEFORE_FIRST, []
    for body in chunks:
        digest = lines_of.digest_of(digest, body)
        made.append(body + lines_of.tail_of(digest))
    fault(made)


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Bad input: text that is no key, a key of another algorithm, the wrong half."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    bare = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for bad in (b"", b"no key", PAIR.public, pem, bare):
        with pytest.raises(audit.KeyUnusable):
            audit.read_private_key(bad)
    for bad in (b"", b"no key", PAIR.private, public):
        with pytest.raises(audit.KeyUnusable):
            audit.read_public_key(bad)
