"""Which functions each test runs, and how long it takes: what `make mutate` measures first, on the unchanged code.

A pytest plugin. The tests are collected once, and each runs in a fork of its own, as it will run when it is asked about
a mutant. So what a fixture of a whole module runs counts for each test that needs it, not only for the first, no thread
of an earlier test is in the way, and a test that can only pass after another one is left out.
"""

import gc
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path

import pytest

from tools.mutants import functions
from tools.mutate_fork import SURVIVED, asked, pytest_configure

__all__ = ["TRACED", "pytest_configure", "pytest_runtestloop", "whose"]

TRACED = "OPTR_MUTATE_TRACED"  # names the file to write
CPU_SECONDS_MAX = 60  # of one test, watched


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Write `tests`, seconds and places by test; `failed`, why by test; `modules`, what was imported of others."""
    tests, failed = {}, {}
    gc.collect()
    gc.freeze()
    for item in session.items:
        fact, reason = _measured(item)
        if reason:
            failed[item.nodeid] = reason
        else:
            tests[item.nodeid] = fact
    own = {path.name for path in Path.cwd().iterdir() if path.is_dir()} | {"conftest"}
    modules = sorted(name for name in sys.modules if name.split(".")[0] not in own)
    seen = {"tests": tests, "failed": failed, "modules": modules}
    Path(os.environ[TRACED]).write_text(json.dumps(seen), encoding="utf-8")
    return True


def _measured(item: pytest.Item) -> tuple[dict[str, object], str]:
    """How long the test takes and what it runs; why it does not pass, or nothing."""
    with tempfile.TemporaryFile() as places:
        began = _cpu_seconds()
        status, _, reason = asked(partial(_watch, places.fileno()), [item], CPU_SECONDS_MAX)
        seconds = round(_cpu_seconds() - began, 3)
        places.seek(0)
        ran = whose(set(places.read().decode().splitlines()))
    return {"seconds": seconds, "ran": ran}, "" if status == SURVIVED else reason or str(status)


def _watch(places: int) -> None:
    """Write each place once, when it is first called: in any thread, and in processes that are forked from here."""
    root = f"{Path.cwd()}/"
    known = set()

    def called(frame: object, _: str, __: object) -> None:
        code = getattr(frame, "f_code", None)
        if code is not None and code not in known:
            known.add(code)
            place = f"{code.co_filename}:{code.co_firstlineno}\n"
            if place.startswith(root) and not place.startswith(f"{root}tests/"):
                os.write(places, place.removeprefix(root).encode())

    threading.settrace(called)
    sys.settrace(called)


def _cpu_seconds() -> float:
    """Of the processes waited for, and of those these waited for: what a busy machine does not stretch."""
    spent = os.times()
    return spent.children_user + spent.children_system


def whose(ran: Iterable[str]) -> list[str]:
    """Places `module:line` as `module:function`; of code that is no function's, such as a lambda, the module alone."""
    places = [place.rpartition(":") for place in ran]
    return sorted({f"{module}:{_names(module).get(int(line), '')}" for module, _, line in places})


@cache
def _names(module: str) -> dict[int, str]:
    return functions(Path(module).read_bytes())
