"""Standard output carries the result and nothing else; everything for people goes to standard error."""

import json
import os
import sys

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
