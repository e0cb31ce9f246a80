"""The command `optr`."""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run `optr` with this process's arguments and exit with a status of `bot.exit_codes`."""
    from bot.cli.app import run  # noqa: PLC0415 - completion and `--version` must not wait for more than they use

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no ✓ must not stop a run
    sys.exit(run(sys.argv[1:]))
