"""Bubblewrap: every namespace unshared, a file system made of what is named here, nothing else of the host."""

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from execution.records import Command, CommandResult
from execution.sandbox import SandboxError, process, seccomp
from execution.sandbox.identity import ROOT_UID, SANDBOX_GID, SANDBOX_UID, require_reachable, sandbox_ids
from execution.sandbox.memory import in_memory
from execution.sandbox.toolchain import search_path

TMP_BYTES = 1 * 2**30
HOME_BYTES = 256 * 2**20
SHARED_MEMORY_BYTES = 256 * 2**20
WORKSPACE = "/workspace"
HOME = "/home/agent"
STATUS_BYTES_MAX = 65_536

# The host's, where they exist: the linker's cache (or /usr/local/lib is not found), names for programs, trust anchors.
_READ_ONLY_ETC = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
)
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv"),
    *("--cap-drop", "ALL", "--hostname", "sandbox", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"),
)


class Bubblewrap:
    """Runs commands under `bwrap` 0.8 or newer; as nobody when we are root, as ourselves otherwise."""

    name = "bubblewrap"

    async def run(self, command: Command) -> CommandResult:
        """See `execution.ports.Sandbox`. A signal's exit code is 128 + its number, as in a shell."""
        for path in (command.workspace, *command.read_only):
            require_reachable(path)
        status_out, status_in = os.pipe()
        os.set_blocking(status_out, False)
        try:
            with contextlib.ExitStack() as stack:
                files = {where: stack.enter_context(in_memory(content)) for where, content in _generated().items()}
                program = stack.enter_context(in_memory(seccomp.namespaced(os.uname().machine)))
                words = [*_arguments(command, files), "--seccomp", str(program), "--json-status-fd", str(status_in)]
                # By descriptor: the first process inside is bwrap, and its command line would name the host's paths.
                options = stack.enter_context(in_memory(b"".join(os.fsencode(word) + b"\0" for word in words)))
                argv = [*_wrapper(), "--args", str(options), "--", *_limited(command)]
                descriptors = [*files.values(), program, options, status_in]
                result = await process.run(_spawn(command, argv, descriptors))
            _require_started(result, _status(status_out))
            return result
        finally:
            os.close(status_in)
            os.close(status_out)


def _spawn(command: Command, argv: list[str], descriptors: list[int]) -> process.Spawn:
    return process.Spawn(
        argv=argv,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        stdin=command.stdin,
        pass_fds=descriptors,
        wall_seconds=command.limits.wall_seconds,
        output_bytes=command.limits.output_bytes,
        end=_end,
    )


def _end(running: asyncio.subprocess.Process) -> None:
    """Kill bwrap: its death takes the PID namespace's first process along, and the kernel then kills all the rest."""
    with contextlib.suppress(ProcessLookupError):
        running.kill()


def _wrapper() -> list[str]:
    """What makes us nobody first: as root, bwrap would map root to root and process limits would not bind."""
    if os.geteuid() != ROOT_UID:
        return ["bwrap"]
    drop = ["--reuid", str(SANDBOX_UID), "--regid", str(SANDBOX_GID), "--clear-groups", "--no-new-privs"]
    return ["setpriv", *drop, "--", "bwrap"]


def _arguments(command: Command, files: dict[str, int]) -> list[str]:
    words = [*_ISOLATION, *_top_level()]
    words += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--symlink", "/tmp", "/var/tmp"]  # noqa: S108  # inside: fresh
    words += ["--size", str(HOME_BYTES), "--tmpfs", HOME, "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
    words += [word for path in _READ_ONLY_ETC for word in ("--ro-bind-try", path, path)]
    for where, descriptor in files.items():
        words += ["--perms", "0444", "--ro-bind-data", str(descriptor), where]
    for path in command.read_only:
        words += ["--ro-bind", str(path), str(path)]
    words += ["--bind", str(command.workspace), WORKSPACE, "--chdir", WORKSPACE]
    if command.network:
        words += ["--share-net", "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf"]
    for name, value in _environment(command).items():
        words += ["--setenv", name, value]
    # What holds the mounts together is memory too: read-only, so that only the sized parts can grow.
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/"]


def _top_level() -> Iterator[str]:
    """/bin and its like: links into /usr as the host has them, or its directories where /usr is not merged."""
    for name in _TOP:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))


def _environment(command: Command) -> dict[str, str]:
    return {
        "PATH": search_path(command.read_only),
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108  # the sandbox's own
        "PYTHONDONTWRITEBYTECODE": "1",
        **command.env,
    }


def _limited(command: Command) -> list[str]:
    """Limits are set inside, where processes are counted per sandbox and not per uid of the whole host."""
    limits = command.limits
    return [
        "prlimit",
        f"--as={limits.memory_bytes}",
        f"--fsize={limits.file_bytes}",
        f"--nproc={limits.processes}",
        "--core=0",
        "--",
        *command.argv,
    ]


def _generated() -> dict[str, bytes]:
    uid, gid = sandbox_ids()
    return {
        "/etc/passwd": f"agent:x:{uid}:{gid}:agent:{HOME}:/bin/sh\n".encode(),
        "/etc/group": f"agent:x:{gid}:\n".encode(),
        "/etc/hosts": b"127.0.0.1 localhost sandbox\n::1 localhost\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
    }


def _status(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, STATUS_BYTES_MAX)
    except BlockingIOError:
        return b""


def _require_started(result: CommandResult, status: bytes) -> None:
    """Tell bwrap's failure from the command's: only a command that ran has an exit code on the status descriptor."""
    if result.timed_out or result.exit_code == process.NOT_EXECUTABLE:
        return
    if not any("exit-code" in json.loads(line) for line in status.splitlines()):
        words = result.output.decode(errors="replace").strip()[:500]
        raise SandboxError(f"bubblewrap could not start the command: {words or 'no explanation given'}")
