"""Standard output carries the result and nothing else; everything for people goes to standard error."""

import errno
import json
import os
import sys
from pathlib import Path

from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible


def say(line: str) -> None:
    """Tell the person at the terminal; never part of the result. What could steer the terminal is dropped."""
    sys.stderr.write(f"{visible(line)}\n")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Write the result; a reader that has gone away (`| head`) changes nothing about how the command ends."""
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at exit


def emit_json(value: object) -> None:
    """Write the result as one line of JSON, ASCII only, so that no text in it can steer a terminal."""
    emit(json.dumps(value, ensure_ascii=True))


def complain(text: str) -> None:
    """Write an error; its first word is red on a terminal, unless NO_COLOR is set. It may quote hostile text."""
    from rich.console import Console  # noqa: PLC0415 - only errors pay for it
    from rich.text import Text  # noqa: PLC0415

    shown = Text(visible(text))
    shown.highlight_regex(r"^error:", "bold red")
    Console(stderr=True, highlight=False, soft_wrap=True).print(shown)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a person asked for, whole or not at all.

    Raises:
        OptrError: it cannot be written, and why.
    """
    from ledger import durable  # noqa: PLC0415 - `--help` must not wait for it

    try:
        durable.replace(path, content, 0o666)
    except OSError as error:
        raise cannot_write(error, path) from None


def cannot_write(error: OSError, path: Path) -> OptrError:
    """What to tell a person whose file cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    remedy = "Make room there, or name another place" if full else "Check that the directory exists and who may use it"
    code = ExitCode.INFRASTRUCTURE if full else ExitCode.USAGE
    return OptrError(f"it cannot be written: {error.strerror}", where=str(path), remedy=remedy, code=code)
