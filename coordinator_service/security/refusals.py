"""Refusals: how many calls and commands were refused, by why. Of one replica, since it started."""

from __future__ import annotations

from typing import Final

from coordinator_service.core.rejections import LimitReached, PermissionDenied, Rejection, Unauthenticated
from coordinator_service.security.quotas import OF_PRINCIPAL, RATE

UNAUTHENTICATED: Final = "unauthenticated"
PERMISSION_DENIED: Final = "permission_denied"
RATE_EXCEEDED: Final = "rate"
QUOTA_EXCEEDED: Final = "quota"
REASONS: Final = (UNAUTHENTICATED, PERMISSION_DENIED, RATE_EXCEEDED, QUOTA_EXCEEDED)


class Refusals:
    """By reason: all of REASONS are there from the start, and no others ever."""

    def __init__(self) -> None:
        self.by_reason: dict[str, int] = dict.fromkeys(REASONS, 0)

    def count(self, rejection: Rejection) -> None:
        """One more, where the caller is why: not known, not allowed, or asking for more than its share."""
        reason = _reason_of(rejection)
        if reason:
            self.by_reason[reason] += 1


def _reason_of(rejection: Rejection) -> str:
    if isinstance(rejection, Unauthenticated):
        return UNAUTHENTICATED
    if isinstance(rejection, PermissionDenied):
        return PERMISSION_DENIED
    if isinstance(rejection, LimitReached) and rejection.subject.startswith(OF_PRINCIPAL):
        return RATE_EXCEEDED if rejection.subject == RATE else QUOTA_EXCEEDED
    return ""
