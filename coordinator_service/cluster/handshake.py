"""How two replicas come to know that they are of one cluster: each proves that it knows the secret, neither says it.

    asks                            answers
    Hello(challenge)          ->
                              <-    Hello(challenge, proofs of "answers")
    Proof(proofs of "asks")   ->

A proof is HMAC-SHA-256, by a secret, over which side speaks and both hellos: it holds for this link and this side
alone, so one that was overheard proves nothing. Nothing is asked or answered before. A cluster may have several secrets
while one replaces another: a proof by any that both know will do. Who has none has the empty one.

It says who is there when the link begins; that nobody reads or changes what follows is for the wire to see to.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from coordinator_service.cluster.messages import VERSION, Garbled, Hello, Message, Proof, frame_of, messages_of
from coordinator_service.cluster.wire import Wire, WireLost

CHALLENGE_BYTES: Final = 32
HANDSHAKE_SECONDS_MAX: Final = 10.0
"""A wire on which nothing is proven for so long is closed."""
PROOFS_MAX: Final = 16
UNPROVEN: Final = "it does not know the secret of this cluster"

_encode = msgspec.msgpack.Encoder().encode


class Stranger(WireLost):
    """The other end is no replica of this cluster; says what it calls itself, and why it is none."""

    def __init__(self, replica_id: str, why: str) -> None:
        super().__init__(why)
        self.replica_id = replica_id


class ClusterSecret:
    """What only replicas of one cluster know: one secret, or several while one replaces another."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._keys = tuple(each.encode() for each in known) or (b"",)

    def prove(self, side: str, asks: Hello, answers: Hello) -> tuple[bytes, ...]:
        """That this end knows it, as the side that `asks` or that `answers`."""
        spoken = _encode((side, *((each.replica_id, each.holder, each.challenge) for each in (asks, answers))))
        return tuple(hmac.digest(key, spoken, "sha256") for key in self._keys)

    def is_proven(self, proofs: tuple[bytes, ...], side: str, asks: Hello, answers: Hello) -> bool:
        """Whether one of the proofs is by a secret that is known here; each comparison takes the same time."""
        own = self.prove(side, asks, answers)
        return any(hmac.compare_digest(each, proof) for each in own for proof in proofs[:PROOFS_MAX])


@dataclass(frozen=True, slots=True)
class Identity:
    """What a replica says of itself, and what it proves it with."""

    replica_id: str
    holder: str
    """Replica.holder: it changes when the process does."""
    secret: ClusterSecret

    def hello(self) -> Hello:
        """The first word on a new wire."""
        return Hello(VERSION, self.replica_id, self.holder, secrets.token_bytes(CHALLENGE_BYTES))


async def greet(wire: Wire, here: Identity, peer_id: str) -> None:
    """The side that asks one replica and no other. Raises WireLost, Stranger."""
    asks = here.hello()
    await wire.write(frame_of([asks]))
    answers = await _hear(wire)
    if not isinstance(answers, Hello) or answers.version != VERSION:
        raise WireLost("it speaks another version")
    if answers.replica_id != peer_id:
        raise Stranger(answers.replica_id, f"{answers.replica_id} answers at its address")
    if not here.secret.is_proven(answers.proofs, "answers", asks, answers):
        raise Stranger(answers.replica_id, UNPROVEN)
    await wire.write(frame_of([Proof(here.secret.prove("asks", asks, answers))]))


async def receive(wire: Wire, here: Identity) -> None:
    """The side that answers whoever proves that it may ask. Raises WireLost, Stranger."""
    asks = await _hear(wire)
    if not isinstance(asks, Hello):
        raise Stranger("", "it does not say who it is")
    answers = here.hello()
    if asks.version != VERSION:
        await wire.write(frame_of([answers]))
        raise WireLost(f"it speaks version {asks.version}")
    proofs = here.secret.prove("answers", asks, answers)
    await wire.write(frame_of([msgspec.structs.replace(answers, proofs=proofs)]))
    proof = await _hear(wire)
    if not isinstance(proof, Proof) or not here.secret.is_proven(proof.proofs, "asks", asks, answers):
        raise Stranger(asks.replica_id, UNPROVEN)


async def _hear(wire: Wire) -> Message:
    """One message, in a frame of its own. Raises WireLost."""
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS_MAX):
            (message,) = messages_of(await wire.read())
    except TimeoutError:
        raise WireLost("it says nothing") from None
    except (Garbled, ValueError) as fault:
        raise WireLost(f"it says what is not understood: {fault}") from None
    return message
