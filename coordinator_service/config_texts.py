"""What the texts of settings have to look like: each returns what it was given, or raises ValueError saying why not."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from coordinator_service.log.redis_durability import durability_from
from coordinator_service.rpc.validation import name_fault
from coordinator_service.security.jwt_rules import ALGORITHMS

SECRET_CHARACTERS_MIN = 16
SECRETS_MAX = 8
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")


def address(text: str) -> str:
    """HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:7420")
    return text


def replica_id(text: str) -> str:
    """A name."""
    fault = name_fault(text)
    if fault:
        raise ValueError(fault)
    return text


def redis_url(url: SecretStr) -> SecretStr:
    """Where a Redis is."""
    from coordinator_service.log.redis_servers import servers_from

    servers_from(url.get_secret_value(), timeout_seconds=1)
    return url


def redis_prefix(text: str) -> str:
    """What keys begin with."""
    if not text or "{" in text or "}" in text or not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII without braces")
    return text


def redis_durability(text: str) -> str:
    """A condition of redis_durability."""
    durability_from(text, 0)
    return text


def secret_file(path: Path) -> Path:
    """A file of cluster secrets."""
    secrets_of(text_of(path))
    return path


def text_of(path: Path) -> str:
    """What is in a file."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise ValueError(f"cannot be read: {getattr(fault, 'strerror', None) or 'it is no text'}") from None


def secret(text: SecretStr) -> SecretStr:
    """Cluster secrets, or none."""
    if text.get_secret_value():
        secrets_of(text.get_secret_value())
    return text


def secrets_of(text: str) -> list[str]:
    """The secrets in a text."""
    secrets = text.split()
    if not secrets or min(map(len, secrets)) < SECRET_CHARACTERS_MIN or len(secrets) > SECRETS_MAX:
        raise ValueError(
            f"must hold a secret of at least {SECRET_CHARACTERS_MIN} characters, or up to {SECRETS_MAX} of them, with"
            " space between"
        )
    return secrets


def algorithms(text: str) -> str:
    """Names of algorithms with commas between them."""
    unknown = [each for each in text.split(",") if each not in ALGORITHMS]
    if unknown:
        raise ValueError(f"must be some of {', '.join(ALGORITHMS)}")
    return text


def key_source(text: str) -> str:
    """A file, or an address that nobody on the way can change the answer of."""
    found = urlsplit(text)
    if found.scheme == "http" and not is_loopback(found.netloc if found.port else f"{found.netloc}:0"):
        raise ValueError("must be https, or a file: whoever can change the keys can be anybody")
    return text


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT is reached from this machine alone."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def hosts(text: str) -> str:
    """Names of machines with commas between them, without ports; or none."""
    for each in filter(None, text.split(",")):
        if not _HOST.fullmatch(each):
            raise ValueError("must be names of machines, without ports, with commas between them")
    return text.lower()


def trace_url(text: str) -> str:
    """An address with a place for the id."""
    if urlsplit(text).scheme not in ("http", "https") or "{trace_id}" not in text:
        raise ValueError("must be an http or https address with {trace_id} in place of the id")
    return text
