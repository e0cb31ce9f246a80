"""The commands' table, for `/optr help` and for docs/commands.md."""

from collections.abc import Iterable, Mapping

from bot.commands.declaration import Argument, Command, Place
from bot.names import COMMAND_WORD
from bot.permissions import Permission

HEADER = ("| Command | What it does | Who may | Example |", "|---|---|---|---|")

_WHO = {
    Permission.READ: "everybody who can read the repository",
    Permission.WRITE: "people with write permission",
    Permission.ADMIN: "administrators",
}

PAGE = """# Slash commands

<!-- Made by `python -m bot.commands`; change the declarations in bot/commands/, not this page. -->

Write the command at the beginning of a line, in a new comment on the issue or on OPTR's pull request. One command a
comment. Code blocks, quotes, edited comments and comments by bots are never read as commands. Permission is looked up
at GitHub when the comment arrives; who lacks it gets one polite answer and nothing happens.

{table}
{arguments}"""


def table(commands: Mapping[str, Command]) -> str:
    """One row for each command."""
    return "\n".join([*HEADER, *map(_row, commands.values())])


def page(commands: Mapping[str, Command]) -> str:
    """docs/commands.md, whole."""
    return PAGE.format(table=table(commands), arguments="".join(_arguments(commands.values())))


def _row(command: Command) -> str:
    return f"| `{command.usage}` | {command.meaning} | {_WHO[command.permission]} | `{command.example}` |"


def _arguments(commands: Iterable[Command]) -> Iterable[str]:
    for command in commands:
        if command.arguments:
            lines = [f"- `{_form(argument)}`: {argument.meaning}\n" for argument in command.arguments]
            yield f"\n## `{COMMAND_WORD} {command.name}`\n\n{''.join(lines)}"


def _form(argument: Argument) -> str:
    return f"{argument.name}={argument.form}" if argument.place is Place.NAMED else argument.form
