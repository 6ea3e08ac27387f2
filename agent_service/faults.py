"""What can go wrong in an agent's work, as types that a failure report can name.

Permanent                      trying again without a change outside cannot help
├── CredentialsRefused         the provider does not know the credentials
├── OwnershipNotProven         the domain's ownership challenge is missing or wrong
├── SourceNotAccessible        a content source is missing, empty or unreadable
├── ContentInvalid             a post is broken; names every problem found
├── StaleFenceRefused          a later holder of the lock has already written
├── ConfigurationNotInEffect   something was configured and the site does not behave so
└── QualityNotMet              the site is up and below the thresholds asked for
"""

from __future__ import annotations

from concert.agent import NotRetryable


class Permanent(NotRetryable):
    """Trying again without a change outside cannot help."""


class CredentialsRefused(Permanent):
    """The provider does not know the credentials."""


class OwnershipNotProven(Permanent):
    """The domain's ownership challenge is missing or wrong."""


class SourceNotAccessible(Permanent):
    """A content source is missing, empty or unreadable."""


class ContentInvalid(Permanent):
    """A post is broken. The text names every problem found."""


class StaleFenceRefused(Permanent):
    """A later holder of the lock has already written: this one must not."""


class ConfigurationNotInEffect(Permanent):
    """Something was configured and the site does not behave so."""


class QualityNotMet(Permanent):
    """The site is up and below the thresholds asked for."""
