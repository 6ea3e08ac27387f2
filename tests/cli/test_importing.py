"""What the command needs, the client does not."""

from __future__ import annotations

import subprocess
import sys


def test_the_client_is_imported_without_what_only_the_command_needs() -> None:
    """Agents and services that use the library do not pay for a terminal."""
    script = (
        "import sys, concert, concert.agent; print(sorted({'typer', 'rich', 'yaml', 'concert.cli'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
