"""Audit files: a range of a log as signed JSON lines that prove themselves (docs/audit.md has the format).

`Writer` makes the lines, `verify` checks them with nothing but a public key. Neither needs a coordinator:

    with open("june.jsonl", "rb") as file:
        verified = verify(file, read_public_key(Path("audit.pem.pub").read_bytes()))
"""

from __future__ import annotations

from concert.audit._keys import KeyPair, KeyUnusable, key_id, new_key_pair, read_private_key, read_public_key
from concert.audit._lines import FORMAT
from concert.audit._verify import AuditFault, AuditTooNew, Verified, verify
from concert.audit._writer import NotJson, Range, Writer

__all__ = [
    "FORMAT",
    "AuditFault",
    "AuditTooNew",
    "KeyPair",
    "KeyUnusable",
    "NotJson",
    "Range",
    "Verified",
    "Writer",
    "key_id",
    "new_key_pair",
    "read_private_key",
    "read_public_key",
    "verify",
]
