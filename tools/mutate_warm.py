"""Mutants of functions, tried without importing anything anew: the quick part of `make mutate`.

A pytest plugin. The tests are collected once; for each mutant the process forks, the child gives the changed function
its new code and runs the tests that run it until one fails. What cannot be changed in place (a default, a constant, a
function made elsewhere) is left to the thorough way of `tools/mutate.py`, which writes the module and imports it. A
value computed at import stays as it was: such a mutant may survive here and be noticed there, not the other way.
"""

import gc
import inspect
import json
import os
import resource
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from tools.mutants import Mutant
from tools.mutate import SURVIVED, Results, ended, tests_of

JOB = "OPTR_MUTATE_JOB"  # names the file that says what to try, see `pytest_runtestloop`
CPU_SECONDS_MIN = 10  # for one mutant
SLOWER_MAX = 6.0  # times what its tests took on the unchanged code
WALL_SECONDS = 300.0  # for one mutant on a busy machine; only one that waits for nothing gets there
NOT_IN_PLACE = 77  # exit status of a child that could not make the change

Swap = tuple[FunctionType, CodeType]


def pytest_configure() -> None:
    """Generate the same examples each time, and do not make failing ones small: one failure is enough."""
    phases = (Phase.explicit, Phase.generate, Phase.target)
    everything = list(HealthCheck)
    settings.register_profile(
        "mutate", deadline=None, database=None, derandomize=True, phases=phases, suppress_health_check=everything
    )
    settings.load_profile("mutate")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Try each mutant of the job file: `wanted`, the mutants; `tests`, what runs what; `results`, where to write."""
    job = json.loads(Path(os.environ[JOB]).read_text(encoding="utf-8"))
    items = {item.nodeid: item for item in session.items}
    gc.collect()
    functions = functions_by_file()
    gc.freeze()
    tests, trusted = dict(job["tests"]), set[str]()
    results = Results(Path(job["results"]))
    for mutant in (Mutant(**one) for one in job["wanted"]):
        swaps = list(swaps_of(mutant, functions))
        while swaps:
            chosen, seconds = tests_of(mutant, tests, job["seconds"])
            chosen = [name for name in chosen if name in items]
            if not chosen:
                break
            status, failed = _ask(swaps, [items[name] for name in chosen], seconds)
            if failed and failed not in trusted:
                if _ask([], [items[failed]], tests[failed]["seconds"])[0] != SURVIVED:
                    del tests[failed]  # it fails on the unchanged code too, and says nothing
                    continue
                trusted.add(failed)
            if status is not None:
                results.add(mutant, status)
            break
    return True


def functions_by_file() -> dict[str, list[FunctionType]]:
    """All there are, by file."""
    found: dict[str, list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType):
            found.setdefault(one.__code__.co_filename, []).append(one)
    return found


def _ask(swaps: Sequence[Swap], items: Sequence[pytest.Item], seconds: float) -> tuple[str | None, str]:
    """What becomes of the tests with the changes made, and the first one that fails; no status if none can be made."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _run(swaps, items, max(CPU_SECONDS_MIN, round(seconds * SLOWER_MAX)), write)
        except BaseException:  # noqa: BLE001 - whatever a mutant does, it ends here
            os._exit(1)
    os.close(write)
    status = ended(child, WALL_SECONDS, NOT_IN_PLACE)
    with os.fdopen(read, encoding="utf-8") as pipe:
        return status, pipe.read()


def swaps_of(mutant: Mutant, functions: Mapping[str, Sequence[FunctionType]]) -> Iterator[Swap]:
    """The functions whose code the mutant changes, with the new code."""
    path = Path(mutant.module).resolve()
    source = path.read_bytes()
    lines = "\n" * (mutant.was.count("\n") - mutant.becomes.count("\n"))  # so that nothing behind it moves
    padded = f"{mutant.becomes[:-1]}{lines})" if mutant.becomes.endswith(")") else f"{mutant.becomes}{lines}"
    changed = source[: mutant.start] + padded.encode() + source[mutant.end :]
    before, after = (_codes(compile(text, str(path), "exec", dont_inherit=True)) for text in (source, changed))
    for old, new in zip(before, after, strict=True):
        if old != new:
            yield from ((one, new) for one in functions.get(str(path), ()) if one.__code__ == old)


def _codes(module: CodeType) -> list[CodeType]:
    """Of the functions of a module and its classes, in order; what stands inside a function belongs to it."""
    found: list[CodeType] = []
    for code in (const for const in module.co_consts if isinstance(const, CodeType)):
        found += [code] if code.co_flags & inspect.CO_OPTIMIZED else _codes(code)
    return found


def _run(swaps: Sequence[Swap], items: Sequence[pytest.Item], cpu_seconds: int, answer: int) -> NoReturn:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    try:
        for function, code in swaps:
            function.__code__ = code
    except ValueError:
        os._exit(NOT_IN_PLACE)
    for at, item in enumerate(items):
        following = items[at + 1] if at + 1 < len(items) else None
        reports = runtestprotocol(item, log=False, nextitem=following)
        if any(report.outcome != "passed" for report in reports):
            os.write(answer, item.nodeid.encode())
            os._exit(1)
    os._exit(0)
