"""Landlock and seccomp: the fallback where no user namespace may be made. Nothing but a Linux kernel (5.13) is needed.

It is narrower than bubblewrap in what it hides and in what it leaves usable; a maintainer should know both.

- Files outside are unreadable and unwritable, yet their names and sizes can be asked for by name, and when OPTR does
  not run as root a command may change modes and times of files that its own user owns: Landlock does not mediate them.
- No socket can be made at all, loopback included, and no shared memory or semaphore by name: tests that need them fail.
- The workspace stands at its host path, not at /workspace.

Kernel interface: https://docs.kernel.org/userspace-api/landlock.html
"""

import asyncio
import contextlib
import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from execution.records import Command, CommandResult
from execution.sandbox import SandboxError, process, seccomp
from execution.sandbox.disposal import dispose
from execution.sandbox.identity import ROOT_UID, SANDBOX_GID, SANDBOX_UID, hand_over, require_reachable
from execution.sandbox.memory import in_memory
from execution.sandbox.toolchain import search_path

LAUNCHER = Path(__file__).with_name("launcher.py")
STATUS_BYTES_MAX = 65_536

_CREATE_RULESET, _VERSION_FLAG = 444, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_RIGHTS_SINCE_5 = (1 << 16) - 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_TCP_BIND_AND_CONNECT = 0b11  # since ABI 4
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # since ABI 6
_ABI_REFER, _ABI_TRUNCATE, _ABI_TCP, _ABI_SCOPE = 2, 3, 4, 6

_READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust", "/etc/hosts"),
    *("/etc/nsswitch.conf", "/dev/random", "/dev/urandom"),
    # Of /proc only what says nothing about other processes.
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/version", "/proc/filesystems"),
    "/sys/devices/system/cpu",
)
_WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")


def abi_version() -> int:
    """The kernel's Landlock ABI; 0 when there is none or it is switched off."""
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


class Landlock:
    """Runs commands under Landlock, seccomp and resource limits; as nobody when we are root, as ourselves otherwise."""

    name = "landlock"

    async def run(self, command: Command) -> CommandResult:
        """See `execution.ports.Sandbox`. A signal's exit code is 128 + its number, as in a shell."""
        with contextlib.ExitStack() as stack:
            private = stack.enter_context(_private_directory())
            for path in (command.workspace, private, *command.read_only):
                require_reachable(path)
            specification = stack.enter_context(in_memory(json.dumps(_specification(command, private)).encode()))
            control, leash = stack.enter_context(_pipe())
            status_out, status_in = stack.enter_context(_pipe())
            argv = [sys.executable, "-I", "-S", str(LAUNCHER), str(specification), str(control), str(status_in)]
            descriptors = [specification, control, status_in]
            result = await process.run(_spawn(command, argv, descriptors, leash))
            os.set_blocking(status_out, False)
            return _judged(result, _status(status_out))


def _spawn(command: Command, argv: list[str], descriptors: list[int], leash: int) -> process.Spawn:
    def end(_: asyncio.subprocess.Process) -> None:
        """Ask the supervisor, by the end of its control pipe: killing it would orphan what it watches."""
        os.write(leash, b"end")

    return process.Spawn(
        argv=argv,
        env={},
        stdin=command.stdin,
        pass_fds=descriptors,
        wall_seconds=command.limits.wall_seconds,
        output_bytes=command.limits.output_bytes,
        end=end,
    )


def _specification(command: Command, private: Path) -> dict[str, Any]:
    abi = abi_version()
    if abi == 0:
        raise SandboxError(
            "this kernel has no Landlock (Linux 5.13 or newer with `landlock` among its security modules)"
        )
    root = os.geteuid() == ROOT_UID
    program = seccomp.bare(
        os.uname().machine,
        may_signal=abi >= _ABI_SCOPE,
        may_truncate=abi >= _ABI_TRUNCATE,
        network=command.network,
    )
    limits = command.limits
    return {
        "files": _RIGHTS_BY_ABI.get(abi, _RIGHTS_SINCE_5),
        "network": _TCP_BIND_AND_CONNECT if abi >= _ABI_TCP and not command.network else 0,
        "scoped": _ABSTRACT_SOCKETS_AND_SIGNALS if abi >= _ABI_SCOPE else 0,
        "ruleset_size": 24 if abi >= _ABI_SCOPE else 16 if abi >= _ABI_TCP else 8,
        "rules": list(_rules(command, private, _RIGHTS_BY_ABI.get(abi, _RIGHTS_SINCE_5))),
        "uid": SANDBOX_UID if root else None,
        "gid": SANDBOX_GID if root else None,
        "limits": {"memory": limits.memory_bytes, "file": limits.file_bytes, "processes": limits.processes},
        "seccomp": program.hex(),
        "cwd": str(command.workspace),
        "argv": list(command.argv),
        "env": _environment(command, private),
    }


def _rules(command: Command, private: Path, everything: int) -> Iterator[tuple[str, int]]:
    read = _READ_FILE | _READ_DIR | _EXECUTE
    network = [Path("/etc/resolv.conf")] if command.network else []
    for path in (*map(Path, _READABLE), *command.read_only, *network):
        if path.exists():
            yield str(path), read if path.is_dir() else read & _OF_FILES
    for device in _WRITABLE_DEVICES:
        yield device, (_READ_FILE | _WRITE_FILE)
    yield str(command.workspace), everything
    yield str(private), everything


def _environment(command: Command, private: Path) -> dict[str, str]:
    return {
        "PATH": search_path(command.read_only),
        "HOME": str(private / "home"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(private / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_NOSYSTEM": "1",  # git takes an unreadable file for a broken one, an absent one for none
        "GIT_ATTR_NOSYSTEM": "1",
        **command.env,
    }


def _judged(result: CommandResult, status: dict[str, Any]) -> CommandResult:
    if result.timed_out or result.exit_code == process.NOT_EXECUTABLE:
        return result
    if "exit" not in status:
        raise SandboxError(f"landlock could not start the command: {status.get('error', 'the launcher died')}")
    return result.model_copy(update={"exit_code": status["exit"]})


def _status(descriptor: int) -> dict[str, Any]:
    try:
        decoded: dict[str, Any] = json.loads(os.read(descriptor, STATUS_BYTES_MAX) or b"{}")
    except BlockingIOError:
        return {}
    return decoded


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    """A home and a temporary directory for one command."""
    root = Path(tempfile.mkdtemp(prefix="optr-home-"))
    try:
        for name in ("home", "tmp"):
            (root / name).mkdir()
        hand_over(root)
        yield root
    finally:
        dispose(root)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)
