"""What the agents hand each other: the infrastructure of a site, and each agent's result, as typed values."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class BucketPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where uploads go."""

    name: str
    directory: str


class CertificatePlace(msgspec.Struct, frozen=True, kw_only=True):
    """The site's certificate. The key stays with the distribution and is not named here."""

    authority_file: str
    names: list[str]
    not_after: str
    fingerprint_sha256: str
    renewed: bool


class DistributionPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the site is served, and where its behaviour is set. The admin token is in a file, not in here."""

    address: str
    https_port: int
    http_port: int
    admin_port: int
    admin_token_file: str


class DnsPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The zone that names the site."""

    zone_file: str
    changed: bool


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The infrastructure agent's result: everything the other agents need to reach the site."""

    domain: str
    provider: str
    url: str
    local_url: str
    bucket: BucketPlace
    certificate: CertificatePlace
    distribution: DistributionPlace
    dns: DnsPlace
    step_seconds: dict[str, float]


class SecurityRequirements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a deployment asks of the security agent."""

    ssl_redirect: bool = True
    security_headers: bool = True
    access_control: bool = True


class QualityThresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a deployment asks of the site once it is up."""

    min_security_score: float = 0.9
    max_load_time_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_security_score <= 1:
            raise ValueError("min_security_score lies between 0 and 1")
        if not self.max_load_time_seconds > 0:
            raise ValueError("max_load_time_seconds is more than 0")


class PublishedPath(msgspec.Struct, frozen=True, kw_only=True):
    """One path of the release, as it was uploaded."""

    sha256: str
    size_bytes: int
    content_type: str


class ImageSavings(msgspec.Struct, frozen=True, kw_only=True):
    """What optimisation did, measured. A visitor on a wide screen loads the largest variant of each image."""

    images: int
    variants: int
    original_bytes: int
    largest_webp_bytes: int
    largest_fallback_bytes: int
    saved_fraction: float


class ContentResult(msgspec.Struct, frozen=True, kw_only=True):
    """The content agent's result."""

    release: int
    posts: int
    sources: dict[str, int]
    pages: list[str]
    paths: dict[str, PublishedPath]
    optimization: ImageSavings
    warnings: list[str]
    uploaded_bytes: int


class Finding(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Something that is wrong. Severity: critical, high, medium or low."""

    severity: str
    check: str
    where: str
    what: str


class SecurityResult(msgspec.Struct, frozen=True, kw_only=True):
    """The security agent's result."""

    deployment_id: str
    security_score: float
    configured: dict[str, bool]
    checks: dict[str, bool]
    findings: list[Finding]
    settings_revision: int


class LoadTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to load a page with everything on it, over fresh TLS connections."""

    pages: int
    median_seconds: float
    slowest_seconds: float
    slowest_page: str
    bytes: int


class QualityResult(msgspec.Struct, frozen=True, kw_only=True):
    """The quality assurance agent's result."""

    quality_score: float
    security_score: float
    checks_run: int
    checks_passed: int
    by_area: dict[str, dict[str, int]]
    issues_found: list[Finding]
    load_times: LoadTimes
    passed: bool


def read(value: Any, kind: type[T], what: str) -> T:
    """A typed value from JSON. Raises ValueError naming the field at fault."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what}: {error}") from error


def written(value: msgspec.Struct) -> Any:
    """A typed value as JSON."""
    return msgspec.to_builtins(value)
