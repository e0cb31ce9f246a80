"""No sandbox at all, for an operator who says so: a machine or container made for one run and thrown away after it.

What stays: the unprivileged uid when we are root, the cleared environment, a home of the command's own, the limits on
memory, file size, wall clock and output, and that its process group dies with it. What is gone: everything that keeps
a hostile command from this user's files, from the network and from outliving its group. It is never chosen by itself;
a run that used it says so in its ledger line, its check run and its warnings.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from execution.records import Command, CommandResult
from execution.sandbox import process
from execution.sandbox.disposal import dispose
from execution.sandbox.identity import ROOT_UID, SANDBOX_GID, SANDBOX_UID, hand_over, require_reachable
from execution.sandbox.toolchain import search_path

NAME = "none"
WARNING = (
    "No sandbox: the operator set OPTR_SANDBOX=none, so agents' and checks' commands could reach whatever the user who "
    "ran OPTR could reach, the network included."
)


class Unconfined:
    """Runs commands as they are; as nobody when we are root, as ourselves otherwise."""

    name = NAME

    async def run(self, command: Command) -> CommandResult:
        """See `execution.ports.Sandbox`. A signal's exit code is 128 + its number, as in a shell."""
        with _home() as home:
            for path in (command.workspace, home):
                require_reachable(path)
            result = await process.run(
                process.Spawn(
                    argv=["env", "-C", str(command.workspace), *_dropping(), *_limited(command)],
                    env=_environment(command, home),
                    stdin=command.stdin,
                    pass_fds=(),
                    wall_seconds=command.limits.wall_seconds,
                    output_bytes=command.limits.output_bytes,
                    end=_end,
                )
            )
        code = result.exit_code
        return result if code is None or code >= 0 else result.model_copy(update={"exit_code": 128 - code})


def _end(running: asyncio.subprocess.Process) -> None:
    """Kill the process group; what left it goes on, which no kernel interface without a sandbox could prevent."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def _dropping() -> list[str]:
    if os.geteuid() != ROOT_UID:
        return []
    drop = ["--reuid", str(SANDBOX_UID), "--regid", str(SANDBOX_GID), "--clear-groups", "--no-new-privs"]
    return ["setpriv", *drop, "--"]


def _limited(command: Command) -> list[str]:
    limits = command.limits
    if sys.platform != "linux":  # prlimit is Linux's own; elsewhere only clock and output are bounded
        return list(command.argv)
    bounds = [f"--as={limits.memory_bytes}", f"--fsize={limits.file_bytes}", "--core=0"]
    return ["prlimit", *bounds, "--", *command.argv]


def _environment(command: Command, home: Path) -> dict[str, str]:
    return {
        "PATH": search_path(command.read_only),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        **command.env,
    }


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A home and temporary directory for one command."""
    root = Path(tempfile.mkdtemp(prefix="optr-home-"))
    try:
        hand_over(root)
        yield root
    finally:
        dispose(root)
