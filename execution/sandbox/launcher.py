"""The Landlock sandbox's launcher, a script for `python -I -S launcher.py SPEC CONTROL STATUS`: standard library only.

It supervises: a child restricts itself and becomes the command; this process, unrestricted and outside the child's
reach, waits for the command's end or for the control pipe's, then kills every descendant, daemons included, because it
has made itself their reaper. When OPTR dies the control pipe closes, so nothing outlives it.

SPEC, CONTROL and STATUS are descriptor numbers: JSON as written by `landlock.py`; a pipe whose end means "kill"; where
one JSON object is reported: {"exit": n}, {"killed": true} or {"error": "…"}.
"""

# ruff: noqa: PTH116, PTH123, PTH208
# No pathlib: every sandboxed command would pay for its import.

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
from typing import Any, NoReturn

_SET_PDEATHSIG, _SET_SUBREAPER, _SET_NO_NEW_PRIVS, _SET_SECCOMP = 1, 36, 38, 22
_FILTER_MODE = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_RULE_PATH_BENEATH = 1
_NOT_FOUND, _NOT_EXECUTABLE, _BY_SIGNAL = 127, 126, 128
_FREEZE_ROUNDS = 50
_libc = ctypes.CDLL(None, use_errno=True)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, *arguments: Any) -> None:
    words: list[Any] = [ctypes.c_ulong(argument) if isinstance(argument, int) else argument for argument in arguments]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    _checked(_libc.prctl(option, *words), f"prctl {option}")


def _ruleset(spec: dict[str, Any]) -> int:
    """A Landlock ruleset made while we may still open everything; it binds only when the child restricts itself."""
    handled = _Ruleset(spec["files"], spec["network"], spec["scoped"])
    size = ctypes.c_size_t(spec["ruleset_size"])
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(handled), size, 0), "landlock_create_ruleset")
    for path, allowed in spec["rules"]:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = _PathBeneath(allowed, descriptor)
        _checked(
            _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0), f"landlock_add_rule {path}"
        )
        os.close(descriptor)
    return ruleset


def _become_nobody(spec: dict[str, Any]) -> None:
    if spec["uid"] is not None:
        os.setgroups([])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])


def _tasks_of(uid: int) -> int:
    """Threads that the uid has now: the kernel counts them all, so the limit is what there is plus what is granted."""
    count = 0
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == uid:
                count += len(os.listdir(f"/proc/{entry}/task"))
    return count


def _limit(spec: dict[str, Any]) -> None:
    limits = dict(spec["limits"])
    processes = limits.pop("processes") + _tasks_of(os.getuid())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in (("RLIMIT_NPROC", processes), ("RLIMIT_FSIZE", limits["file"]), ("RLIMIT_AS", limits["memory"])):
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))


def _restrict(spec: dict[str, Any]) -> None:
    """Everything that narrows this process, in the order in which each step is still possible."""
    os.setsid()
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    os.umask(0o022)
    ruleset = _ruleset(spec)
    os.chdir(spec["cwd"])
    _become_nobody(spec)
    _limit(spec)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)  # changing uid cleared it
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    program = bytes.fromhex(spec["seccomp"])
    _prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(_Program(len(program) // 8, program)))


def _child(spec: dict[str, Any], trouble: int) -> NoReturn:
    """Restrict, then become the command. Trouble on the way goes to a pipe that a successful exec closes."""
    try:
        _restrict(spec)
    except Exception as error:  # noqa: BLE001  # whatever it is, the command must not run
        os.write(trouble, str(error).encode())
        os._exit(1)
    for name in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(name, signal.SIG_DFL)
    try:
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606  # no shell is the point
    except OSError as error:
        os.write(2, f"{spec['argv'][0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)


def _descendants() -> list[tuple[int, bytes]]:
    """Living processes below this one, as (pid, state)."""
    parents: dict[int, int] = {}
    states: dict[int, bytes] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
            parents[int(entry)], states[int(entry)] = int(parent), state
    found: list[int] = []
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
        found += frontier
    return [(pid, states[pid]) for pid in found if states[pid] not in (b"Z", b"X")]


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_all() -> None:
    """Freeze before killing: a frozen process cannot fork, and it keeps its place in the process limit meanwhile."""
    while _descendants():
        for _ in range(_FREEZE_ROUNDS):
            running = [pid for pid, state in _descendants() if state != b"T"]
            if not running:
                break
            _signal_all(running, signal.SIGSTOP)
        _signal_all([pid for pid, _ in _descendants()], signal.SIGKILL)
        _reap()


def _exit_code(status: int) -> int:
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else _BY_SIGNAL + os.WTERMSIG(status)


def _supervise(spec: dict[str, Any], control: int) -> dict[str, Any]:
    """Run the child and report how it ended; None stands for killed on request."""
    trouble, trouble_in = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(control)
        os.close(trouble)
        _child(spec, trouble_in)
    os.close(trouble_in)
    for standard in (0, 1, 2):
        os.close(standard)  # or the reader would never see the output's end
    if words := os.read(trouble, 2000):
        return {"error": words.decode(errors="replace")}
    handle = os.pidfd_open(pid)
    ready, _, _ = select.select([handle, control], [], [])
    if control in ready and handle not in ready:
        return {"killed": True}
    return {"exit": _exit_code(os.waitpid(pid, 0)[1])}


def main() -> None:
    """Read the specification, supervise, clean up, report."""
    spec_fd, control, status = map(int, sys.argv[1:4])
    with os.fdopen(spec_fd, "rb") as file:
        spec = json.load(file)
    for descriptor in (control, status):
        os.set_inheritable(descriptor, False)  # noqa: FBT003  # the name of a builtin's only argument
    _prctl(_SET_SUBREAPER, 1)
    try:
        outcome = _supervise(spec, control)
    except Exception as error:  # noqa: BLE001  # reported, not raised: nobody reads our standard error
        outcome = {"error": str(error)}
    _end_all()
    _reap()
    os.write(status, json.dumps(outcome).encode())


if __name__ == "__main__":
    main()
