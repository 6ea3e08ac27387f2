"""The account of the local provider: which credentials it knows, and what proves the ownership of a domain."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from agent_service.faults import CredentialsRefused, OwnershipNotProven
from agent_service.files import secret_file, write_atomically
from agent_service.infrastructure.zone import Zone

CHALLENGE_PREFIX = "_concert-challenge."


class Account:
    """Keeps the digest of the token that is accepted, and the secret that ownership challenges derive from."""

    def __init__(self, directory: Path, zone: Zone) -> None:
        self.directory = directory
        self.token_file = directory / "token"
        self._digest_file = directory / "token.sha256"
        self._secret_file = directory / "challenge-secret"
        self._zone = zone

    def open(self) -> None:
        """Creates the account when there is none: a token for its owner, of which the provider keeps the digest."""
        token = secret_file(self.token_file)
        if not self._digest_file.exists():
            write_atomically(self._digest_file, hashlib.sha256(token.encode()).hexdigest().encode(), mode=0o600)
        secret_file(self._secret_file)

    def check_token(self, token: str) -> None:
        """Raises CredentialsRefused unless `token` is the account's."""
        if not self._digest_file.exists():
            raise CredentialsRefused(f"there is no account in {self.directory}; open one with `agent_service claim`")
        digest = hashlib.sha256(token.encode()).hexdigest()
        if not hmac.compare_digest(digest, self._digest_file.read_text().strip()):
            raise CredentialsRefused("the provider does not know this token")

    def challenge(self, domain: str) -> str:
        """What the owner of `domain` has to publish. Derived, so that one domain's proof is no proof for another."""
        secret = secret_file(self._secret_file).encode()
        return hmac.new(secret, domain.encode(), hashlib.sha256).hexdigest()

    def claim(self, domain: str) -> None:
        """Publishes the proof in the zone: what an owner does by hand at their registrar."""
        self._zone.put_text(CHALLENGE_PREFIX + domain, self.challenge(domain))

    def check_ownership(self, domain: str, proof: str | None) -> None:
        """Raises OwnershipNotProven unless `proof`, or without one the zone's text record, is the challenge."""
        expected = self.challenge(domain)
        if proof is not None:
            if not hmac.compare_digest(proof, expected):
                raise OwnershipNotProven(
                    f"the ownership token given for {domain} is not the one it was challenged with"
                )
        elif not self._zone.text_is(CHALLENGE_PREFIX + domain, expected):
            raise OwnershipNotProven(
                f"the text record {CHALLENGE_PREFIX}{domain} does not hold the challenge; publish it with "
                f"`agent_service claim {domain}`"
            )
