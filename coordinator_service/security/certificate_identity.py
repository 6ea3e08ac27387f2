"""Whom a certificate names."""

from __future__ import annotations

from typing import Final

from cryptography import x509

from coordinator_service.core.rejections import Unauthenticated
from coordinator_service.security.identities import Identity, principal_fault

_SPIFFE: Final = "spiffe://"


def identity_of_certificate(pem: bytes) -> Identity:
    """Whom a certificate names, which TLS has verified: its URI (a SPIFFE id, or any), else its first DNS name. The
    common name names nobody. Raises Unauthenticated."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise Unauthenticated("the certificate has no subject alternative name", needed=_NAMED) from None
    except Exception:  # whatever a certificate makes of the parser, it is the certificate's fault
        raise Unauthenticated("the certificate cannot be read", needed=_NAMED) from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) > 1:  # an X.509-SVID has exactly one, and of several none is the one
        raise Unauthenticated("the certificate has more than one URI", needed=_NAMED)
    principal = next(iter(uris or names.get_values_for_type(x509.DNSName)), "")
    fault = principal_fault(principal)
    if not fault and principal.startswith(_SPIFFE):
        fault = _spiffe_fault(principal)
    if fault:
        raise Unauthenticated(f"the name in the certificate {fault}", needed=_NAMED)
    return Identity(
        principal=principal,
        source="certificate",
        expires_at_seconds=certificate.not_valid_after_utc.timestamp(),
    )


_NAMED: Final = {"credential": "a certificate with one URI or a DNS name"}


def _spiffe_fault(spiffe_id: str) -> str:
    """SPIFFE-ID, section 2: a trust domain and a path, no query, fragment, port or empty segment."""
    domain, _, path = spiffe_id.removeprefix(_SPIFFE).partition("/")
    lower = domain.isascii() and domain and all(each.islower() or each.isdigit() or each in "._-" for each in domain)
    segments = path.split("/") if path else []
    whole = all(each not in ("", ".", "..") and not set(each) & set("?#%") for each in segments)
    return "" if lower and whole and path else "is no SPIFFE id of a workload"
