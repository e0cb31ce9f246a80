"""One child process: fed, read within a bound, and killed when its time is up."""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from execution.records import CommandResult
from execution.sandbox import SandboxError

READ_BYTES = 65_536
GRACE_SECONDS = 30.0  # from the kill until the pipes must be closed: hundreds of forks die slowly on a busy machine
NOT_EXECUTABLE = 126  # the shell's exit status for a command that exists but cannot be run


@dataclass(frozen=True)
class Spawn:
    """What to start and how.

    Attributes:
        argv: the wrapper and its arguments.
        env: the wrapper's whole environment.
        stdin: bytes for standard input.
        pass_fds: descriptors that the wrapper inherits under the same numbers.
        wall_seconds: killed after this long.
        output_bytes: output kept.
        end: kills the whole tree, given the wrapper's process.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: bytes
    pass_fds: Sequence[int]
    wall_seconds: float
    output_bytes: int
    end: Callable[[asyncio.subprocess.Process], None]


class Clipped:
    """The first and the last bytes of a stream; what lay between is counted and dropped."""

    def __init__(self, limit: int) -> None:
        self._head_max = limit // 2
        self._tail_max = limit - limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._seen = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._seen += len(chunk)
        room = self._head_max - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        del self._tail[: max(0, len(self._tail) - self._tail_max)]

    @property
    def truncated(self) -> bool:
        """Whether anything was dropped."""
        return self._seen > len(self._head) + len(self._tail)

    def value(self) -> bytes:
        """What was kept, never more than the limit."""
        return bytes(self._head + self._tail)


async def run(spawn: Spawn) -> CommandResult:
    """Run to the end or to the wall clock. Cancelling the caller kills the tree too.

    The exit code is the wrapper's; None when our clock ended it.

    Raises:
        SandboxError: the wrapper could not be started, or did not die when killed.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        process = await _start(spawn)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.E2BIG:
            raise SandboxError(f"cannot start {spawn.argv[0]}: {error}") from error
        return CommandResult(exit_code=NOT_EXECUTABLE, output=f"cannot run this command: {error}\n".encode())
    output = Clipped(spawn.output_bytes)
    finished = await _within(
        spawn.wall_seconds, _converse(process, spawn.stdin, output), end=lambda: spawn.end(process)
    )
    return CommandResult(
        exit_code=process.returncode if finished else None,
        output=output.value(),
        timed_out=not finished,
        truncated=output.truncated,
        duration_ms=round((clock() - started) * 1000),
    )


async def _start(spawn: Spawn) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *spawn.argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(spawn.env),
        pass_fds=tuple(spawn.pass_fds),
        start_new_session=True,
    )


async def _converse(process: asyncio.subprocess.Process, stdin: bytes, output: Clipped) -> None:
    await asyncio.gather(_feed(process, stdin), _read(process, output), process.wait())


async def _feed(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    pipe = process.stdin
    if pipe is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the command need not read
        pipe.write(stdin)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()


async def _read(process: asyncio.subprocess.Process, output: Clipped) -> None:
    while process.stdout is not None and (chunk := await process.stdout.read(READ_BYTES)):
        output.add(chunk)


async def _within(seconds: float, work: Coroutine[None, None, None], end: Callable[[], None]) -> bool:
    """Whether `work` finished by itself in time; whatever happens, it is over when this returns or raises."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        end()
        await asyncio.wait({task}, timeout=GRACE_SECONDS)
        raise
    if not done:
        end()
        await asyncio.wait({task}, timeout=GRACE_SECONDS)
    if not task.done():
        task.cancel()
        raise SandboxError(f"a command outlived its kill by {GRACE_SECONDS:g} s")
    task.result()
    return bool(done)
