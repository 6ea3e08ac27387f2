"""What callers are told when something breaks: whoever waits is told something, whatever it was."""

from __future__ import annotations

import logging

from coordinator_service.core.rejections import Fault, Rejection, Unavailable
from coordinator_service.log.base import LogError

_log = logging.getLogger(__name__)


def rejection_of(failure: Exception, asked: str) -> Rejection:
    """A rejection as it is; a failure of the log as UNAVAILABLE; anything else as INTERNAL. The last two are in the
    coordinator's log, with what was asked."""
    if isinstance(failure, Rejection):
        return failure
    if isinstance(failure, LogError):
        _log.error("the log failed in answering %s: %s", asked, failure)
        return Unavailable("the log cannot be read or written")
    _log.error("a fault in answering %s", asked, exc_info=failure)
    return Fault("a fault of the coordinator; it is in its log")
