"""The command `optr`."""

import sys


def main() -> None:
    """Run `optr` with this process's arguments and exit with a status of `bot.exit_codes`."""
    from bot.cli.app import run  # noqa: PLC0415 - completion and `--version` must not wait for more than they use

    sys.exit(run(sys.argv[1:]))
