"""What takes bytes and nothing else: each target makes an input and says what may become of it.

`check` raises when something is wrong. What a parser may raise is what its docstring says, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from concert import audit
from concert.cli.run_file import RunFile, RunFileFaulty
from concert.v1 import event_pb2, run_pb2, session_service_pb2
from google.protobuf.message import DecodeError

from coordinator_service import access_file, token_file
from coordinator_service.cluster import encoding
from coordinator_service.cluster.messages import Garbled, messages_of
from coordinator_service.core.rejections import InvalidField, Unauthenticated
from coordinator_service.core.specs import Policy
from coordinator_service.log.base import LogCorrupt
from coordinator_service.log.codec import decode_event, encode_event, frame, join, split
from coordinator_service.log.packing import pack, unpack
from coordinator_service.policy_file import parse
from coordinator_service.rpc.dispatch import FRAMES, OPERATIONS, Scope, read_keep_alive
from coordinator_service.rpc.history import read_list_token
from coordinator_service.rpc.page_tokens import read_number_token, read_token, write_token
from coordinator_service.rpc.validation import Faults, usable_traceparent
from coordinator_service.security import json_web_tokens
from coordinator_service.security.certificate_identity import identity_of_certificate
from coordinator_service.security.identities import principal_fault
from coordinator_service.security.jwt_rules import JwtRules
from coordinator_service.security.key_set import KeysUnusable, read_key_set
from coordinator_service.security.roles import Role
from coordinator_service.snapshots import decode_folds, encode_tables
from coordinator_service.telemetry.trace_ids import is_sampled
from coordinator_service.yaml_nodes import FileFault
from tests.fuzz.material import Material
from tests.fuzz.mutations import mutated

CORPUS = Path(__file__).parent / "corpus"
SCOPE = Scope(namespace="default", log_id="log-1", principal="alice", session_id=7)
SEQUENCE_MAX = 2**64 - 1
SNAPSHOT_HEAD_BYTES = 33
"""Its format, and a SHA-256."""


@dataclass(frozen=True, slots=True)
class Target:
    """name is its folder in the corpus, too."""

    name: str
    make: Callable[[Random], bytes]
    check: Callable[[bytes], None]


@cache
def corpus(name: str) -> tuple[bytes, ...]:
    """The inputs that are kept for a target, in the order of their names."""
    return tuple(path.read_bytes() for path in sorted((CORPUS / name).glob("*")))


def from_corpus(name: str) -> Callable[[Random], bytes]:
    """Makes inputs from those that are kept, joined and made worse."""

    def make(chance: Random) -> bytes:
        seeds = corpus(name)
        content = chance.choice(seeds)
        if chance.random() < 0.2:
            other = chance.choice(seeds)
            content = content[: chance.randint(0, len(content))] + other[chance.randint(0, len(other)) :]
        return mutated(chance, content)

    return make


def worse(chance: Random, encoded: bytes) -> bytes:
    """Half of them stay as they are."""
    return encoded if chance.random() < 0.5 else mutated(chance, encoded)


# The log's codecs.


def make_event(chance: Random) -> bytes:
    """An event of any type."""
    return worse(chance, Material(chance).message(event_pb2.Event).SerializeToString())


def check_event(encoded: bytes) -> None:
    """It is an event that is written again as it was read, or corrupt."""
    try:
        event = decode_event(encoded)
    except LogCorrupt:
        return
    again = encode_event(event, namespace="n", log_id="log")
    assert decode_event(again) == event or b"\x7f" in encoded, "an event changes when it is written again"


def make_batch(chance: Random) -> bytes:
    """Some events, framed."""
    events = [Material(chance).message(event_pb2.Event).SerializeToString() for _ in range(chance.randint(0, 3))]
    return worse(chance, join(map(frame, events)))


def check_batch(encoded: bytes) -> None:
    """It comes apart into what is joined to the same, or is corrupt. Lengths may be written longer than needed."""
    try:
        found = split(encoded)
    except LogCorrupt:
        return
    assert split(join(map(frame, found))) == found


def make_snapshot(chance: Random) -> bytes:
    """One whose digest fits in spite of what is in it; or does not."""
    whole = chance.choice(corpus("snapshot"))
    if chance.random() < 0.2:
        return mutated(chance, whole)
    head, encoded = whole[:1], mutated(chance, whole[SNAPSHOT_HEAD_BYTES:])
    return head + hashlib.sha256(encoded).digest() + encoded


def check_snapshot(encoded: bytes) -> None:
    """It is folds that are written again, or corrupt; what is packed and unpacked comes back, and noise does not."""
    try:
        folds = decode_folds(encoded)
    except LogCorrupt:
        pass
    else:
        decode_folds(encode_tables(folds.tables, folds.metrics))
    assert unpack(pack(encoded)) == encoded
    assert unpack(encoded) == b""


# What clients hand back.


def make_token(chance: Random) -> bytes:
    """A page token, good or bad."""
    numbers = [str(chance.choice((0, 1, 7, 2**63, 2**64 - 1, 2**64, 10**19, 10**20))) for _ in range(3)]
    position = ",".join([*numbers, chance.choice(("", "log-1", "a,b"))])
    return worse(chance, write_token(chance.choice(("events", "agents", "locks")), position).encode())


def check_token(encoded: bytes) -> None:
    """It is a position that a log can have, or a fault of the field page_token."""
    token = encoded.decode(errors="replace")
    for read in (
        lambda faults: read_token(faults, "agents", token),
        lambda faults: read_number_token(faults, "locks", token),
        lambda faults: read_list_token(faults, token),
    ):
        faults = Faults()
        found = read(faults)
        assert all(field == "page_token" for field, _ in faults)
        if isinstance(found, int):
            assert 0 <= found <= SEQUENCE_MAX, found
        elif found is not None and not isinstance(found, str):
            assert max(found.after, found.until, found.sequence) <= SEQUENCE_MAX, found


def check_traceparent(encoded: bytes) -> None:
    """It is usable as it is, or not at all."""
    text = encoded.decode(errors="replace")
    usable = usable_traceparent(text)
    assert usable in ("", text)
    assert not usable or isinstance(is_sampled(usable), bool)


def make_request(chance: Random) -> bytes:
    """A frame of a session: one command."""
    message = session_service_pb2.ClientMessage()
    Material(chance).refill(message.command)
    return worse(chance, message.SerializeToString())


def check_request(encoded: bytes) -> None:
    """Its request, and the same bytes as any other request, becomes a command or names the fields at fault."""
    try:
        asked = session_service_pb2.ClientMessage.FromString(encoded).command
    except DecodeError:
        return
    name = asked.WhichOneof("request")
    if name == "keep_alive":
        _prepared(lambda: read_keep_alive(asked.keep_alive))
    elif name:
        _prepared(lambda: FRAMES[name].prepare(getattr(asked, name), SCOPE, asked.traceparent))
    for operation in OPERATIONS:
        if operation.service and operation.method != "KeepAlive":
            try:
                request = operation.request.FromString(encoded)
            except DecodeError:
                continue
            _prepared(lambda operation=operation, request=request: operation.prepare(request, SCOPE))


def _prepared(prepare: Callable[[], object]) -> None:
    try:
        prepare()
    except InvalidField as refusal:
        assert refusal.violations
        assert all(field and fault for field, fault in refusal.violations)


# What replicas say to each other.


def make_word(chance: Random) -> bytes:
    """A word and its name."""
    name = chance.choice((*encoding._COMMANDS, *encoding._ANSWERS, *encoding._REJECTIONS, "Unheard"))
    content: object = {
        each: chance.choice((0, -1, "", "a", [], {}, None, 1.5)) for each in ("key", "run_id", "message")
    }
    return worse(chance, name.encode() + b"\x00" + msgspec.msgpack.encode(content))


def check_word(encoded: bytes) -> None:
    """It is understood or unspoken."""
    name, _, content = encoded.partition(b"\x00")
    for read in (encoding.command_from_bytes, encoding.answer_from_bytes, encoding.rejection_from_bytes):
        try:
            read(name.decode(errors="replace"), content)
        except encoding.Unspoken:
            continue
    try:
        messages_of(content)
    except Garbled:
        pass


# Files.


def check_policy_file(content: bytes) -> None:
    """It is policies, or one line that says what is wrong."""
    try:
        file = parse(content)
    except FileFault as fault:
        assert "\n" not in str(fault)
        return
    assert any(isinstance(each, Policy) and each.name == "default" for each in file.policies)


def check_run_file(content: bytes) -> None:
    """It is a run that can be sent, or lines of faults with their places."""
    try:
        file = RunFile("run.yaml", content.decode(errors="replace"))
    except RunFileFaulty as faulty:
        assert all(line.startswith(("run.yaml:", "and ")) for line in str(faulty).splitlines())
        return
    assert run_pb2.RunSpec.FromString(file.spec.SerializeToString()) == file.spec or b"nan" in content.lower()


def check_access_file(content: bytes) -> None:
    """It is grants and limits that can be looked up, or one line that says what is wrong."""
    try:
        table = access_file.parse((content,))
    except FileFault as fault:
        assert "\n" not in str(fault)
        return
    for principal in ("alice", "jwt:ops-1", "*"):
        found = table.access(principal, "blog")
        assert found.role is Role.KNOWN or any(found.role is each.role for each in table.grants)
        assert found.role <= table.highest(principal)
        table.limits_of(principal)


def check_token_file(content: bytes) -> None:
    """It is hashes with their principals, or one line that says what is wrong and repeats nothing of them."""
    try:
        table = token_file.parse((content,))
    except FileFault as fault:
        assert "\n" not in str(fault)
        assert _SECRET_HASH not in str(fault)
        return
    assert table.find("concert_made-up") is None
    for hashed, token in table.by_hash.items():
        assert len(hashed) == 64
        assert not principal_fault(token.principal)


# What callers prove themselves with.


def make_jwt(chance: Random) -> bytes:
    """A token of the issuer, or one whose parts were exchanged, signed by others, made worse."""
    header = {"alg": chance.choice(_ALGORITHMS), "typ": "JWT", "kid": chance.choice(("fuzz", "", "x" * 300, 7, None))}
    if chance.random() < 0.1:
        header["crit"] = ["b64"]
    claims = {name: chance.choice(values) for name, values in _CLAIMS.items() if chance.random() < 0.95}
    parts = [worse(chance, msgspec.json.encode(each)) for each in (header, claims)] + [chance.randbytes(64)]
    token = ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts).encode()
    if chance.random() < 0.3:
        signed = chance.choice(corpus("jwt")).split(b".")
        token = b".".join(
            mine if chance.random() < 0.3 else theirs for mine, theirs in zip(token.split(b"."), signed, strict=False)
        )
    return worse(chance, token)


def check_jwt(encoded: bytes) -> None:
    """None of these was signed by this key, whatever it says: UNAUTHENTICATED, and nothing of it in the reason."""
    token = encoded.decode(errors="replace")
    try:
        json_web_tokens.verify(token, _KEYS, _RULES)
    except Unauthenticated as refusal:
        assert not any(len(part) > 8 and part in refusal.message for part in token.split("."))
        return
    raise AssertionError("a token that nobody signed is believed")


def check_key_set(content: bytes) -> None:
    """It is public keys, or what is wrong with it."""
    try:
        keys = read_key_set(content)
    except KeysUnusable:
        return
    assert keys.by_id
    assert all(each.algorithms for each in keys.by_id.values())


def make_certificate(chance: Random) -> bytes:
    """One in PEM whose bytes, or whose text, were made worse."""
    whole = chance.choice(corpus("certificate"))
    if chance.random() < 0.3:
        return mutated(chance, whole)
    lines = whole.strip().splitlines()
    inner = mutated(chance, base64.b64decode(b"".join(lines[1:-1])))
    return b"\n".join((lines[0], base64.encodebytes(inner).strip(), lines[-1], b""))


def check_certificate(pem: bytes) -> None:
    """It names a principal that may be one, or nobody. TLS has verified what really comes; this has to bear more."""
    try:
        found = identity_of_certificate(pem)
    except Unauthenticated:
        return
    assert not principal_fault(found.principal)


_SECRET_HASH: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ALGORITHMS: Final = ("ES256", "ES256", "RS256", "none", "HS256", "EdDSA", "ES512", 7, None)
_CLAIMS: Final[dict[str, tuple[object, ...]]] = {
    "iss": ("fuzz", "another", 7, None),
    "aud": ("concert", ["concert", "x"], [], {}, None),
    "sub": ("alice", "", "a\nb", "x" * 600, 7, None, ["alice"]),
    "exp": (4_000_000_000, 1, "later", -1, 1e999, 10**30, None),
    "nbf": (1, 4_000_000_000, "now"),
}
_RULES: Final = JwtRules(issuer="fuzz", audience="concert")
_KEYS: Final = read_key_set((CORPUS / "key_set" / "of-the-issuer.json").read_bytes())
_PUBLIC = audit.read_public_key(audit.new_key_pair().public)


def check_audit_file(content: bytes) -> None:
    """None of these was signed by this key: a line is named."""
    try:
        audit.verify(io.BytesIO(content), _PUBLIC)
    except audit.AuditFault as fault:
        assert fault.line >= 1
        return
    raise AssertionError("a file that nobody signed holds")


TARGETS = (
    Target("event", make_event, check_event),
    Target("batch", make_batch, check_batch),
    Target("snapshot", make_snapshot, check_snapshot),
    Target("page_token", make_token, check_token),
    Target("traceparent", from_corpus("traceparent"), check_traceparent),
    Target("request", make_request, check_request),
    Target("replica_word", make_word, check_word),
    Target("policy_file", from_corpus("policy_file"), check_policy_file),
    Target("run_file", from_corpus("run_file"), check_run_file),
    Target("access_file", from_corpus("access_file"), check_access_file),
    Target("token_file", from_corpus("token_file"), check_token_file),
    Target("jwt", make_jwt, check_jwt),
    Target("key_set", from_corpus("key_set"), check_key_set),
    Target("certificate", make_certificate, check_certificate),
    Target("audit_file", from_corpus("audit_file"), check_audit_file),
)
