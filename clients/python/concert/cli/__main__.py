"""`concert`, also as `python -m concert.cli`."""

import sys

from concert.cli.root import app


def main() -> None:
    """The command."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding does not have is shown as an escape.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app(prog_name="concert")


if __name__ == "__main__":
    main()
