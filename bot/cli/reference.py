"""docs/cli.md: `python -m bot.cli.reference` prints it, made from the commands themselves."""

import sys
from collections.abc import Iterable
from typing import Any

from typer.main import get_command

from bot.cli.app import build
from bot.cli.fields import tables
from bot.exit_codes import MEANINGS
from execution.result import RunResult
from ledger.verify import Verification
from scoring.selection import Selection

PAGE = """# The command line

<!-- Made by `python -m bot.cli.reference`; change bot/cli/ and bot/exit_codes.py, not this page. -->

Standard output carries the result and nothing else; progress, notes and errors go to standard error. `--json` prints
one object with a `version`. `NO_COLOR` is honoured. `optr --install-completion` sets up your shell.

## Exit statuses

| Status | Name | When |
|---|---|---|
{statuses}

All other statuses are reserved.

{commands}
## JSON

One object on one line, ASCII only. New fields may come under the same `version`; a change of meaning gets a new one.
A command that ends with status 2 or 130 writes none.

### `optr execute --json`, `optr demo --json`

{run}

### `optr score --json`

`version`, which is 1, and then:

{selection}

### `optr verify-ledger --json`

`version`, which is 1, and then:

{verification}

## Stored results

`optr score` reads files that hold one result or a list of them, with these fields and no others:

| Field | Holds |
|---|---|
| `agent` | the agent's name |
| `output` | what it answered, any JSON; `error` in it when it failed |
| `admissible` | true or false |
| `ttvEstimate` | time to value in whole milliseconds; null only when not admissible |
| `invariants` | names |
| `executionTime` | whole milliseconds |
| `hash` | 64 hex digits |
| `timestamp` | milliseconds since the epoch |
"""


def page() -> str:
    """The whole page."""
    statuses = "\n".join(f"| {code.value} | {code.name.lower()} | {meaning} |" for code, meaning in MEANINGS.items())
    return PAGE.format(
        statuses=statuses,
        commands="".join(_commands()),
        run=tables(RunResult),
        selection=tables(Selection),
        verification=tables(Verification),
    )


def _commands() -> Iterable[str]:
    for name, command in all_commands(get_command(build())):
        meaning = (command.help or "").split("\n\n")
        rows = "\n".join(_parameter(parameter) for parameter in command.params if parameter.name != "help")
        examples = "\n".join(command.epilog.split("\n\n")[1:])
        said = "\n\n".join(" ".join(paragraph.split()) for paragraph in meaning)
        yield f"## `optr {name}`\n\n{said}\n\n"
        yield f"| Option | Default | Meaning |\n|---|---|---|\n{rows}\n\n```sh\n{examples}\n```\n\n"


def all_commands(group: Any, before: str = "") -> Iterable[tuple[str, Any]]:
    """Every command that does something, by all the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _parameter(parameter: object) -> str:
    """One row; typer's own parameter classes are private, so their public members are read by name."""
    is_flag = getattr(parameter, "is_bool_flag", False)
    metavar = getattr(parameter, "metavar", None) or ("" if is_flag else "TEXT")
    names: list[str] = getattr(parameter, "opts", [])
    written = metavar if not names[0].startswith("-") else f"{names[0]} {metavar}".strip()
    default = getattr(parameter, "default", None)
    shown = "required" if getattr(parameter, "required", False) else f"`{default}`" if default else "none"
    return f"| `{written}` | {'off' if is_flag else shown} | {getattr(parameter, 'help', '')} |"


if __name__ == "__main__":
    sys.stdout.write(page())
