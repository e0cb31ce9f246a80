"""Which functions each test runs, and how long it takes: what `make mutate` measures first, on the unchanged code.

A pytest plugin. The tests are collected once, and each runs in a fork of its own, as it will run when it is asked about
a mutant. So what a fixture of a whole module runs counts for each test that needs it, not only for the first, no thread
of an earlier test is in the way, and a test that can only pass after another one is left out.

What is known is kept: measured anew is a test that did not pass, or whose file has changed.
"""

import gc
import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable, Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tools.mutants import functions
from tools.mutate_fork import SURVIVED, asked, pytest_configure

__all__ = ["TRACED", "pytest_configure", "pytest_fixture_setup", "pytest_runtestloop", "whose"]

TRACED = "OPTR_MUTATE_TRACED"  # names the file to write
CPU_SECONDS_MAX = 60  # of one test, watched

_told: list[int] = []  # in a fork: the file to which it tells what it does


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Write `tests`, what is known by test; `failed`, why by test; `modules`, what was imported of others.

    Of a test: `file`, its digest; `seconds`; `shared`, seconds by fixture of a module or more, besides; `ran`, places.
    """
    path = Path(os.environ[TRACED])
    own = {one.name for one in Path.cwd().iterdir() if one.is_dir()} | {"conftest"}
    modules = sorted(name for name in sys.modules if name.split(".")[0] not in own)
    before = json.loads(path.read_text(encoding="utf-8"))["tests"] if path.exists() else {}
    tests: dict[str, object] = {}
    failed: dict[str, str] = {}
    gc.collect()
    gc.freeze()
    for file, items in groupby(session.items, lambda item: item.path):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        for item in items:
            fact, reason = before.get(item.nodeid), ""
            if fact is None or fact["file"] != digest:
                fact, reason = _measured(item, digest)
            if reason:
                failed[item.nodeid] = reason
            else:
                tests[item.nodeid] = fact
        seen = {"tests": {**before, **tests}, "failed": failed, "modules": modules}
        path.write_text(json.dumps(seen), encoding="utf-8")
    path.write_text(json.dumps({**seen, "tests": tests}), encoding="utf-8")
    return True


def _measured(item: pytest.Item, digest: str) -> tuple[dict[str, object], str]:
    """What is to know of a test; why it does not pass, or nothing."""
    with tempfile.TemporaryFile() as told:
        began = _cpu_seconds()
        status, _, reason = asked(partial(_watch, told.fileno()), [item], CPU_SECONDS_MAX)
        seconds = _cpu_seconds() - began
        told.seek(0)
        lines = set(told.read().decode().splitlines())
    fixtures = dict(line.split("\t")[1:] for line in lines if line.startswith("\t"))
    shared = {name: float(spent) for name, spent in fixtures.items()}
    ran = whose(line for line in lines if not line.startswith("\t"))
    own = round(max(0.0, seconds - sum(shared.values())), 3)
    fact = {"file": digest, "seconds": own, "shared": shared, "ran": ran}
    return fact, "" if status == SURVIVED else reason or str(status)


def _watch(told: int) -> None:
    """Write each place once, when it is first called: in any thread, and in processes that are forked from here."""
    root = f"{Path.cwd()}/"
    known = set()

    def called(frame: object, _: str, __: object) -> None:
        code = getattr(frame, "f_code", None)
        if code is not None and code not in known:
            known.add(code)
            place = f"{code.co_filename}:{code.co_firstlineno}\n"
            if place.startswith(root) and not place.startswith(f"{root}tests/"):
                os.write(told, place.removeprefix(root).encode())

    _told.append(told)
    threading.settrace(called)
    sys.settrace(called)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """Tell how long a fixture took that is made once for several tests."""
    began = _cpu_seconds()
    made = yield
    if _told and fixturedef.scope != "function":
        os.write(_told[0], f"\t{fixturedef.baseid}::{fixturedef.argname}\t{_cpu_seconds() - began:.3f}\n".encode())
    return made


def _cpu_seconds() -> float:
    """Of this process and those it waited for: what a busy machine does not stretch."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def whose(ran: Iterable[str]) -> list[str]:
    """Places `module:line` as `module:function`; of code that is no function's, such as a lambda, the module alone."""
    places = [place.rpartition(":") for place in ran]
    return sorted({f"{module}:{_names(module).get(int(line), '')}" for module, _, line in places})


@cache
def _names(module: str) -> Mapping[int, str]:
    return functions(Path(module).read_bytes())
