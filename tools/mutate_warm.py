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
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tools.mutants import Mutant
from tools.mutate import Results, tests_of
from tools.mutate_fork import SURVIVED, asked, pytest_configure

__all__ = ["functions_by_file", "pytest_configure", "pytest_runtestloop", "swaps_of"]

JOB = "OPTR_MUTATE_JOB"  # names the file that says what to try, see `pytest_runtestloop`
CPU_SECONDS_MIN = 10  # for one mutant
SLOWER_MAX = 6.0  # times what its tests took on the unchanged code

Swap = tuple[FunctionType, CodeType]


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
            status, failed, _ = _ask(swaps, [items[name] for name in chosen], seconds)
            if failed and failed not in trusted:
                alone, _, reason = _ask([], [items[failed]], tests[failed]["seconds"])
                if alone != SURVIVED:
                    print(f"left out, it fails on the unchanged code: {failed}: {alone} {reason}", flush=True)
                    del tests[failed]
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


def _ask(swaps: Sequence[Swap], items: Sequence[pytest.Item], seconds: float) -> tuple[str | None, str, str]:
    return asked(partial(_swap, swaps), items, max(CPU_SECONDS_MIN, round(seconds * SLOWER_MAX)))


def _swap(swaps: Sequence[Swap]) -> None:
    for function, code in swaps:
        function.__code__ = code


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
