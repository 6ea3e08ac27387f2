"""Where spans go: the OTLP endpoint, and what is said to it, as the standard OTEL_* variables say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import grpc
from opentelemetry.sdk import environment_variables as otel
from opentelemetry.util.re import parse_env_headers

TIMEOUT_SECONDS_DEFAULT = 10.0
_TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"
_COMPRESSION = {
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
    "none": grpc.Compression.NoCompression,
}


class CollectorFault(Exception):  # noqa: N818 (it says what is wrong)
    """A variable says what cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """An OTLP gRPC endpoint. target is HOST:PORT; credentials None means without TLS."""

    target: str
    credentials: grpc.ChannelCredentials | None = None
    headers: tuple[tuple[str, str], ...] = ()
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT
    compression: grpc.Compression = field(default=grpc.Compression.NoCompression)

    def channel(self) -> grpc.aio.Channel:
        """A new channel; it connects when it is first used."""
        options = (("grpc.max_send_message_length", -1), ("grpc.max_reconnect_backoff_ms", 10_000))
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.target, options, self.compression)
        return grpc.aio.secure_channel(self.target, self.credentials, options, self.compression)


def collector_from(environment: Mapping[str, str] = os.environ) -> Collector | None:
    """The endpoint that is configured; None when there is none, or when tracing is switched off. The variables for
    traces go before those for everything. Raises CollectorFault."""

    def given(traces: str, everything: str) -> str:
        return (environment.get(traces) or environment.get(everything) or "").strip()

    endpoint = given(otel.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, otel.OTEL_EXPORTER_OTLP_ENDPOINT)
    if not endpoint or is_disabled(environment):
        return None
    parsed = urlparse(endpoint if "://" in endpoint else f"//{endpoint}")
    if not parsed.netloc:
        raise CollectorFault(f"{otel.OTEL_EXPORTER_OTLP_ENDPOINT}: {endpoint!r} is no endpoint")
    protocol = given(otel.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, otel.OTEL_EXPORTER_OTLP_PROTOCOL).lower()
    if protocol not in ("", "grpc"):
        raise CollectorFault(
            f"{otel.OTEL_EXPORTER_OTLP_PROTOCOL}: {protocol!r} is not spoken here, only grpc, which collectors take"
            " on port 4317 as a rule"
        )
    insecure = given(otel.OTEL_EXPORTER_OTLP_TRACES_INSECURE, otel.OTEL_EXPORTER_OTLP_INSECURE).lower()
    plain = parsed.scheme != "https" and (insecure == "true" if insecure else parsed.scheme == "http")
    return Collector(
        target=parsed.netloc,
        credentials=None if plain else _credentials(given),
        headers=tuple(
            parse_env_headers(
                given(otel.OTEL_EXPORTER_OTLP_TRACES_HEADERS, otel.OTEL_EXPORTER_OTLP_HEADERS), liberal=True
            ).items()
        ),
        timeout_seconds=_timeout(given(otel.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, otel.OTEL_EXPORTER_OTLP_TIMEOUT)),
        compression=_compression(
            given(otel.OTEL_EXPORTER_OTLP_TRACES_COMPRESSION, otel.OTEL_EXPORTER_OTLP_COMPRESSION)
        ),
    )


def is_disabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER=none switches tracing off."""
    off = environment.get(otel.OTEL_SDK_DISABLED, "").strip().lower() == "true"
    return off or environment.get(_TRACES_EXPORTER, "").strip().lower() == "none"


def _timeout(text: str) -> float:
    """In seconds, as the SDK for Python reads it."""
    try:
        seconds = float(text) if text else TIMEOUT_SECONDS_DEFAULT
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise CollectorFault(f"{otel.OTEL_EXPORTER_OTLP_TIMEOUT}: {text!r} is no number of seconds")
    return seconds


def _compression(text: str) -> grpc.Compression:
    try:
        return _COMPRESSION[text.lower() or "none"]
    except KeyError:
        raise CollectorFault(
            f"{otel.OTEL_EXPORTER_OTLP_COMPRESSION}: {text!r} is none of {', '.join(_COMPRESSION)}"
        ) from None


def _credentials(given: object) -> grpc.ChannelCredentials:
    assert callable(given)
    pairs = (
        (otel.OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE, otel.OTEL_EXPORTER_OTLP_CERTIFICATE),
        (otel.OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY, otel.OTEL_EXPORTER_OTLP_CLIENT_KEY),
        (otel.OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE, otel.OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE),
    )
    read: list[bytes | None] = []
    for traces, everything in pairs:
        path = given(traces, everything)
        try:
            read.append(Path(path).read_bytes() if path else None)
        except OSError as error:
            raise CollectorFault(f"{everything}: {error}") from None
    return grpc.ssl_channel_credentials(*read)
