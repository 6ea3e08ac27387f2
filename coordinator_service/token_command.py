"""`python -m coordinator_service token PRINCIPAL`: makes a bearer token, and prints it, once, and the row for the file
of hashes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from coordinator_service.security.identities import principal_fault
from coordinator_service.security.static_tokens import hash_of, new_token

MADE, MISUSED = 0, 2


def run(arguments: Sequence[str]) -> int:
    """The command; returns its exit code. The row goes to standard error: the token alone can be sent to a file."""
    fault = principal_fault(arguments[0]) if len(arguments) == 1 else "must be given"
    if fault:
        print(f"usage: token PRINCIPAL: the principal {fault}", file=sys.stderr)
        return MISUSED
    token = new_token()
    print(token)
    name = arguments[0].replace("'", "''")
    print(
        f"for the file of --token-hashes-file:\n  - principal: '{name}'\n    sha256: {hash_of(token)}", file=sys.stderr
    )
    return MADE
