"""Placement: which replica is to own a namespace, by rendezvous hashing (Thaler and Ravishankar, 1998).

Every replica ranks all of them for a namespace by a hash of both names, and comes to the same order without asking
anybody. When a replica joins or goes, only those namespaces move that it wins or had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from coordinator_service.ownership import Replica


def ranked(namespace: str, replicas: Iterable[Replica]) -> list[Replica]:
    """The replicas in the order in which they are to own a namespace.

    A replica that was restarted keeps its rank by its name; while what is left of its earlier process is still there,
    the later one comes first.
    """
    return sorted(replicas, key=lambda each: (_weight(namespace, each.replica_id), each.incarnation), reverse=True)


def _weight(namespace: str, replica_id: str) -> bytes:
    return hashlib.blake2b(f"{replica_id}\0{namespace}".encode(), digest_size=8).digest()
