"""A container per command, by an engine that speaks docker's command line: docker, podman or nerdctl.

For operators who have an engine and an image with the toolchain of their checks, and no user namespaces for
bubblewrap. The image is the operator's, never a repository's, and is never pulled here.
Options: https://docs.docker.com/reference/cli/docker/container/run/
"""

import asyncio
import contextlib
import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

from execution.records import Command, CommandResult
from execution.sandbox import SandboxError, process
from execution.sandbox.bubblewrap import HOME, HOME_BYTES, SHARED_MEMORY_BYTES, TMP_BYTES, WORKSPACE
from execution.sandbox.identity import sandbox_ids
from execution.sandbox.toolchain import SYSTEM_PATH

NAME_PREFIX = "optr-"
NAME_BYTES = 8
ENGINE_SECONDS_MAX = 30.0  # for asking the engine about a container, and for removing it
MESSAGE_CHARS_MAX = 500
_ENGINES = frozenset({"docker", "podman", "nerdctl"})
_ENDED = frozenset({"exited", "stopped"})
# What the engine's client needs to find its server and its own configuration; nothing of OPTR's.
_CLIENT_VARIABLES = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "CONTAINER_HOST", "XDG_RUNTIME_DIR")
# https://github.com/distribution/reference: what could be read as an option or a shell's word is not a name.
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}")


class Container:
    """Runs each command in a new container that is removed after it.

    Args:
        image: what to run in; must be there and hold `prlimit` and the checks' toolchain.
        engine: the engine's command.

    Raises:
        SandboxError: at construction, when either is not a name.
    """

    name = "container"

    def __init__(self, image: str, engine: str) -> None:
        if engine not in _ENGINES:
            raise SandboxError(f"OPTR_CONTAINER_ENGINE is {engine[:80]!r}; choose {', '.join(sorted(_ENGINES))}")
        if _IMAGE.fullmatch(image) is None:
            raise SandboxError(f"OPTR_SANDBOX_IMAGE is {image[:80]!r}, which names no image")
        self._image = image
        self._engine = engine

    async def run(self, command: Command) -> CommandResult:
        """See `execution.ports.Sandbox`. A signal's exit code is 128 + its number, as in a shell."""
        name = NAME_PREFIX + secrets.token_hex(NAME_BYTES)
        try:
            result = await process.run(self._spawn(command, name))
            if result.timed_out:
                return result
            return result.model_copy(update={"exit_code": await self._exit_code(name, result)})
        finally:
            await asyncio.shield(asyncio.to_thread(self._remove, name))

    def _spawn(self, command: Command, name: str) -> process.Spawn:
        def end(_: asyncio.subprocess.Process) -> None:
            """Kill the container: killing the engine's client alone would leave it running."""
            self._remove(name)

        return process.Spawn(
            argv=[self._engine, "run", *arguments(command, name), self._image, *_limited(command)],
            env={**_client_environment(), **_carried(command)},
            stdin=command.stdin,
            pass_fds=(),
            wall_seconds=command.limits.wall_seconds,
            output_bytes=command.limits.output_bytes,
            end=end,
        )

    async def _exit_code(self, name: str, result: CommandResult) -> int:
        """The command's own: the client's 125 may be either's, so the engine is asked.

        Raises:
            SandboxError: the container never ran.
        """
        asked = await asyncio.to_thread(
            self._ask, "inspect", "--type", "container", "--format", "{{json .State}}", name
        )
        words = result.output.decode(errors="replace").strip()[:MESSAGE_CHARS_MAX]
        try:
            state: dict[str, Any] = json.loads(asked.stdout)
            code, ended, trouble = int(state["ExitCode"]), state["Status"] in _ENDED, str(state.get("Error") or "")
        except (ValueError, KeyError, TypeError):
            raise SandboxError(
                f"{self._engine} could not start the command: {words or 'no explanation given'}"
            ) from None
        if trouble or not ended:
            raise SandboxError(f"{self._engine} could not run the command: {(trouble or words)[:MESSAGE_CHARS_MAX]}")
        return code

    def _remove(self, name: str) -> None:
        """Kill and remove; what was never created needs no removing."""
        with contextlib.suppress(SandboxError):
            self._ask("rm", "--force", "--volumes", name)

    def _ask(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [self._engine, *words],
                env=_client_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ENGINE_SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxError(f"{self._engine} does not answer: {error}") from error


def arguments(command: Command, name: str) -> list[str]:
    """The options of `run` that make the walls.

    Raises:
        SandboxError: a path cannot be written as a mount.
    """
    uid, gid = sandbox_ids()
    limits = command.limits
    words = ["--name", name, "--interactive", "--init", "--pull", "never", "--log-driver", "none"]
    words += ["--network", "bridge" if command.network else "none", "--hostname", "sandbox", "--ipc", "private"]
    words += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", f"{uid}:{gid}"]
    words += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    words += ["--pids-limit", str(limits.processes), "--shm-size", str(SHARED_MEMORY_BYTES)]
    words += ["--ulimit", f"fsize={limits.file_bytes}:{limits.file_bytes}", "--ulimit", "core=0:0"]
    words += ["--tmpfs", f"/tmp:rw,exec,nosuid,nodev,mode=1777,size={TMP_BYTES}"]  # noqa: S108 - the container's own
    words += ["--tmpfs", f"{HOME}:rw,exec,nosuid,nodev,mode=0700,uid={uid},gid={gid},size={HOME_BYTES}"]
    words += ["--mount", _mount(command.workspace, WORKSPACE), "--workdir", WORKSPACE]
    for path in command.read_only:
        words += ["--mount", _mount(path, str(path)) + ",readonly"]
    for variable, value in {**_OWN_ENVIRONMENT, **command.env}.items():
        words += ["--env", f"{variable}={value}" if _steers_the_client(variable) else variable]
    return [*words, "--entrypoint", "prlimit"]  # the image's own entry point would run before the limits


def _mount(source: Path, target: str) -> str:
    if any(letter in f"{source}{target}" for letter in ',"\n'):
        raise SandboxError(f"the path {str(source)!r} cannot be mounted: it holds a comma, a quote or a line feed")
    return f"type=bind,source={source},target={target}"


def _limited(command: Command) -> list[str]:
    return [f"--as={command.limits.memory_bytes}", "--core=0", "--", *command.argv]


_OWN_ENVIRONMENT = {
    "PATH": SYSTEM_PATH,
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - the container's own
    "PYTHONDONTWRITEBYTECODE": "1",
}


def _carried(command: Command) -> dict[str, str]:
    """Values travel by the client's environment: a command line is readable by everybody, and these may be keys."""
    whole = {**_OWN_ENVIRONMENT, **command.env}
    return {variable: value for variable, value in whole.items() if not _steers_the_client(variable)}


def _steers_the_client(variable: str) -> bool:
    return variable in _CLIENT_VARIABLES or variable.startswith(("DOCKER_", "CONTAINER", "LD_"))


def _client_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _CLIENT_VARIABLES if name in os.environ}
