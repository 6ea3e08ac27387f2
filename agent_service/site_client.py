"""A visitor of the site: resolves its name through the zone and trusts the site's authority, nothing else."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agent_service.infrastructure.zone import Zone
from agent_service.site import Site

REQUEST_SECONDS_MAX = 10.0


class ZoneResolver(AbstractResolver):
    """Resolves names through a zone file. 443 and 80 become the ports at which the site listens."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError for a name that the zone does not hold."""
        del family
        record = self._zone.read().sites.get(host)
        if record is None:
            raise OSError(f"the zone does not know {host}")
        actual = {443: record.https_port, 80: record.http_port}.get(port, port)
        return [
            ResolveResult(
                hostname=host,
                host=record.address,
                port=actual,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


def trust(authority_file: str) -> ssl.SSLContext:
    """A client's TLS that accepts certificates of that authority and of no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority_file)
    return context


def open_site(site: Site, *, fresh_connections: bool = False, connections_max: int = 16) -> aiohttp.ClientSession:
    """A session for the site. With fresh_connections each request pays for its own TLS handshake."""
    connector = aiohttp.TCPConnector(
        resolver=ZoneResolver(Zone(Path(site.dns.zone_file))),
        use_dns_cache=False,
        ssl=trust(site.certificate.authority_file),
        limit=connections_max,
        force_close=fresh_connections,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX),
        trust_env=False,
        auto_decompress=False,
    )
