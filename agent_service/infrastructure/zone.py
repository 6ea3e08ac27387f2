"""The DNS map: a zone kept in a file, from a domain to the address and ports that serve it.

Real DNS maps names to addresses and leaves the ports at 80 and 443. On one machine without privileges the ports are
others, so the zone keeps them beside the address, the way an SRV record does.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path

import msgspec

from agent_service.files import Fence, write_atomically

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


class SiteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where a domain is served."""

    address: str
    https_port: int
    http_port: int


class ZoneContent(msgspec.Struct, kw_only=True):
    """What a zone file holds."""

    sites: dict[str, SiteRecord] = {}
    # Text records, for proofs of ownership.
    texts: dict[str, str] = {}


def is_domain_name(domain: str) -> bool:
    """Whether `domain` is a name a certificate and a zone can carry: lower-case labels joined by dots."""
    labels = domain.split(".")
    return len(domain) <= 253 and len(labels) >= 2 and all(_LABEL.fullmatch(label) for label in labels)


class Zone:
    """The zone file. Blocking, and small enough to be called from an event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> ZoneContent:
        """Everything in the zone; empty while there is no file."""
        if not self.path.exists():
            return ZoneContent()
        return msgspec.json.decode(self.path.read_bytes(), type=ZoneContent)

    def point(self, domain: str, record: SiteRecord, fencing_token: int) -> bool:
        """Points `domain` at `record`. Returns whether that changed anything. Raises StaleFenceRefused."""
        with Fence(self.path.parent).writing(fencing_token):
            content = self.read()
            if content.sites.get(domain) == record:
                return False
            content.sites[domain] = record
            self._write(content)
            return True

    def put_text(self, name: str, text: str) -> None:
        """Sets the text record of `name`, which is what the owner of a domain does to prove it."""
        content = self.read()
        content.texts[name] = text
        self._write(content)

    def text_is(self, name: str, expected: str) -> bool:
        """Whether the text record of `name` is `expected`, in constant time."""
        return hmac.compare_digest(self.read().texts.get(name, ""), expected)

    def _write(self, content: ZoneContent) -> None:
        write_atomically(self.path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
