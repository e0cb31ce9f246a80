"""`python -m bot.commands` prints docs/commands.md."""

import sys

from bot.commands.page import page
from bot.commands.registry import COMMANDS

if __name__ == "__main__":
    sys.stdout.write(page(COMMANDS))
