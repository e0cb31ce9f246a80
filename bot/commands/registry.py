"""The closed vocabulary, in the order that help shows it."""

from collections.abc import Mapping
from types import MappingProxyType

from bot.commands import (
    approve,
    budget,
    cancel,
    compare,
    correct,
    explain,
    help,  # noqa: A004 - the command's own name
    ok_to_run,
    pause,
    pick,
    plan,
    reject,
    rerun,
    resume,
    revoke,
    run,
    status,
    verify,
)
from bot.commands.declaration import Command

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        module.COMMAND.name: module.COMMAND
        for module in (
            help,
            status,
            plan,
            explain,
            compare,
            budget,
            verify,
            run,
            approve,
            reject,
            correct,
            pick,
            cancel,
            rerun,
            ok_to_run,
            pause,
            resume,
            revoke,
        )
    }
)
