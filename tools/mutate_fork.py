"""Tests run in a fork of the process that has collected them: what `make mutate` measures and asks with."""

import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from select import select
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

KILLED, SURVIVED, TIMEOUT, UNTESTED = "killed", "survived", "timeout", "untested"
WALL_SECONDS = 300.0  # for one fork on a busy machine; only one that waits for nothing gets there
REASON_CHARS_MAX = 200  # of what a failing test says
NOT_IN_PLACE = 77  # exit status of a child that could not be prepared


def pytest_configure() -> None:
    """Generate the same examples each time, and do not make failing ones small: one failure is enough."""
    phases = (Phase.explicit, Phase.generate, Phase.target)
    everything = list(HealthCheck)
    settings.register_profile(
        "mutate", deadline=None, database=None, derandomize=True, phases=phases, suppress_health_check=everything
    )
    settings.load_profile("mutate")


def asked(prepare: Callable[[], object], items: Sequence[pytest.Item], cpu_seconds: int) -> tuple[str | None, str, str]:
    """Run tests in a fork until one fails.

    Args:
        prepare: called in the fork first; where it raises ValueError, nothing is run.
        items: the tests.
        cpu_seconds: bound of the fork's own processor time.

    Returns:
        What became of them, None where `prepare` refused; the first test that failed, and why, empty if none said.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _run(prepare, items, cpu_seconds, write)
        except BaseException:  # noqa: BLE001 - whatever a mutant does, it ends here
            os._exit(1)
    os.close(write)
    status = ended(child, WALL_SECONDS, NOT_IN_PLACE)
    with os.fdopen(read, encoding="utf-8", errors="replace") as pipe:
        failed, _, reason = pipe.read().partition("\n")
    return status, failed, reason


def _run(prepare: Callable[[], object], items: Sequence[pytest.Item], cpu_seconds: int, answer: int) -> NoReturn:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    try:
        prepare()
    except ValueError:
        os._exit(NOT_IN_PLACE)
    for at, item in enumerate(items):
        following = items[at + 1] if at + 1 < len(items) else None
        for report in runtestprotocol(item, log=False, nextitem=following):
            if report.outcome != "passed":
                said = getattr(getattr(report.longrepr, "reprcrash", None), "message", report.longrepr)
                reason = " ".join(f"{report.when} {report.outcome}: {said}".split())[:REASON_CHARS_MAX]
                os.write(answer, f"{item.nodeid}\n{reason}".encode(errors="replace"))
                os._exit(1)
    os._exit(0)


def ended(child: int, seconds: float, unknown: int | None = None) -> str | None:
    """What became of a mutant whose process is `child`; it is killed with all it started.

    Args:
        child: a process that ends with 0 when its tests pass.
        seconds: of waiting.
        unknown: an exit status that says nothing of the mutant, for which the answer is None.
    """
    watched = os.pidfd_open(child)
    done, _, _ = select([watched], [], [], seconds)
    os.close(watched)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not done or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return TIMEOUT
    if unknown is not None and os.waitstatus_to_exitcode(status) == unknown:
        return None
    return SURVIVED if status == 0 else KILLED
