"""A local certificate authority: a real key that signs real leaf certificates, renewed before they expire."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent_service.files import Fence, write_atomically

AUTHORITY_DAYS = 3650
LEAF_DAYS = 90
RENEW_BEFORE_DAYS = 30
# Clocks differ: a certificate is valid from a little before it was made.
BACKDATED = dt.timedelta(minutes=5)


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf certificate on disk."""

    certificate_file: str
    key_file: str
    authority_file: str
    names: list[str]
    not_after: str
    fingerprint_sha256: str
    renewed: bool


class LocalAuthority:
    """Signs certificates for sites. Blocking: callers on an event loop use a thread."""

    def __init__(self, directory: Path) -> None:
        self.authority_file = directory / "authority.pem"
        self._key_file = directory / "authority-key.pem"
        self._directory = directory

    def certificate(self, domain: str, fencing_token: int, *, now: dt.datetime | None = None) -> Certificate:
        """The certificate of `domain`: the one there while it is good for RENEW_BEFORE_DAYS more, else a new one."""
        now = now or dt.datetime.now(dt.UTC)
        directory = self._directory / "issued" / domain
        names = [domain, "localhost", "127.0.0.1"]
        with Fence(self._directory).writing(fencing_token):
            authority_key, authority = self._authority(now)
            kept = self._kept(directory, names, authority, now)
            leaf = kept or self._issue(directory, names, authority_key, authority, now)
        return Certificate(
            certificate_file=str(directory / "certificate.pem"),
            key_file=str(directory / "key.pem"),
            authority_file=str(self.authority_file),
            names=names,
            not_after=leaf.not_valid_after_utc.isoformat(),
            fingerprint_sha256=leaf.fingerprint(hashes.SHA256()).hex(),
            renewed=kept is None,
        )

    def _authority(self, now: dt.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        if self._key_file.exists() and self.authority_file.exists():
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
            authority = x509.load_pem_x509_certificate(self.authority_file.read_bytes())
            if isinstance(key, ec.EllipticCurvePrivateKey) and authority.public_key() == key.public_key():
                return key, authority
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Concert local authority")])
        key_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        authority = (
            _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(key_identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        write_atomically(self._key_file, _key_pem(key), mode=0o600)
        write_atomically(self.authority_file, authority.public_bytes(serialization.Encoding.PEM))
        return key, authority

    def _kept(
        self, directory: Path, names: list[str], authority: x509.Certificate, now: dt.datetime
    ) -> x509.Certificate | None:
        try:
            leaf = x509.load_pem_x509_certificate((directory / "certificate.pem").read_bytes())
            key = serialization.load_pem_private_key((directory / "key.pem").read_bytes(), password=None)
            leaf.verify_directly_issued_by(authority)
        except Exception:  # whatever is wrong with what is there, the repair is a new one
            return None
        covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        good = (
            key.public_key() == leaf.public_key()
            and list(covered) == _alternative_names(names)
            and leaf.not_valid_after_utc - now > dt.timedelta(days=RENEW_BEFORE_DAYS)
        )
        return leaf if good else None

    def _issue(
        self,
        directory: Path,
        names: list[str],
        authority_key: ec.EllipticCurvePrivateKey,
        authority: x509.Certificate,
        now: dt.datetime,
    ) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        authority_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        leaf = (
            _builder(subject, authority.subject, key.public_key(), now, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority_identifier, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        # The key first: a crash between the two leaves a pair that does not match, which the next attempt replaces.
        write_atomically(directory / "key.pem", _key_pem(key), mode=0o600)
        write_atomically(directory / "certificate.pem", leaf.public_bytes(serialization.Encoding.PEM))
        return leaf


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _alternative_names(names: list[str]) -> list[x509.GeneralName]:
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    return alternatives


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
