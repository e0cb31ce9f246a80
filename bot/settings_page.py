"""The settings' table of docs/configuration.md: `python -m bot.settings_page` prints it."""

import sys

from bot.settings_table import TABLE, Setting

HEADER = ("| Variable | Default | Read by | What it does |", "|---|---|---|---|")


def table() -> str:
    """The whole table as Markdown, one row for each setting."""
    return "\n".join([*HEADER, *(_row(setting) for setting in TABLE)]) + "\n"


def _row(setting: Setting) -> str:
    default = "**required**" if setting.required else f"`{setting.default}`" if setting.default else "none"
    meaning = f"{setting.meaning}. Secret." if setting.secret else f"{setting.meaning}."
    return f"| `{setting.variable}` | {default} | {setting.reader} | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(table())
