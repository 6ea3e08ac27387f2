"""`python -m coordinator_service token PRINCIPAL`: makes a bearer token, and prints it, once, and the row for the file
of hashes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from coordinator_service.security.identities import principal_fault
from coordinator_service.security.static_tokens import hash_of, new_token


def run(arguments: Sequence[str]) -> int:
    """The command; returns its exit code, or exits with 2. The row goes to standard error, so that the token alone can
    be sent to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m coordinator_service token",
        description="Makes a bearer token, and the row for the file of hashes.",
    )
    parser.add_argument("principal", help="whom the token stands for, as the access file names it")
    name = parser.parse_args(arguments).principal
    if fault := principal_fault(name):
        parser.error(f"the principal {fault}")
    token = new_token()
    print(token)
    quoted = name.replace("'", "''")
    row = f"  - principal: '{quoted}'\n    sha256: {hash_of(token)}"
    print(f"for the file of --token-hashes-file:\n{row}", file=sys.stderr)
    return 0
