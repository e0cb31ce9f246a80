"""How much of a package's code the tests would miss: `make mutate PACKAGE=ledger`.

Each wrong change of `tools/mutants.py` is made in a copy of the repository, and the tests that run the changed function
are run until one fails. A change that no test notices survives: a missing test, or code that does not matter.

Which tests run which function is measured first, on the unchanged copy; tests that fail there are left out. What a test
runs in another process is not seen, so a change that only such a test would notice counts as survived: the score is a
floor. A function is known by its name, wherever it moves and however it changes.
Results are kept as they are made; a second call goes on where the first one stopped, and asks only again about
functions that changed. `--again` asks anew about the survivors, after tests were added.
"""

import argparse
import compileall
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

from tools.mutants import Mutant, mutants
from tools.mutate_fork import KILLED, SURVIVED, TIMEOUT, UNTESTED, ended

OUT = Path("build/mutation")
WALL_SECONDS_MIN = 120.0  # for one mutant, on a busy machine; its processor time is bounded sooner
CPU_SECONDS_MIN = 15  # for one mutant
SLOWER_MAX = 6.0  # times what its tests took on the unchanged code
TESTS_SECONDS_MAX = 20.0  # of a mutant's tests, the quickest first, when --seconds is not given
TEST_SECONDS_MAX = 15.0  # of one test
MEMORY_BYTES_MAX = 4 * 2**30  # of one mutant's process


def main() -> int:
    """Parse the command line, run, print the score and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="a package at the root, such as ledger")
    parser.add_argument("--tests", nargs="*", help="test paths; tests/<package> when not given")
    parser.add_argument(
        "--only", nargs="*", default=[""], help="modules whose path contains one of these, in this order"
    )
    parser.add_argument("--sample", type=int, help="only so many, drawn evenly, the same each time; more add to fewer")
    parser.add_argument(
        "--draw", default="", help="any word: another sample of the same size, for tests not made for it"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="ask again about survivors")
    parser.add_argument("--cold", action="store_true", help="import everything anew for each mutant: slow, thorough")
    parser.add_argument("--warm", action="store_true", help="leave out what cannot be tried in place")
    parser.add_argument("--seconds", type=float, default=TESTS_SECONDS_MAX, help="of tests for one mutant")
    parser.add_argument("--report", action="store_true", help="only print what is known")
    given = parser.parse_args()
    os.nice(10)
    found = [mutant for path in _modules(given.package, given.only) for mutant in mutants(str(path), path.read_bytes())]
    if given.sample is not None:  # ids are digests: the smallest of them are as good as drawn by lot
        found = sorted(found, key=lambda one: _lot(given.draw, one))[: given.sample]
    results = Results(OUT / f"{given.package}.jsonl")
    if not given.report:
        wanted = [one for one in found if results.open(one, again=given.again)]
        if wanted:
            _run(given.package, given.tests or [f"tests/{given.package}"], wanted, results, given)
    _report(sorted(found, key=lambda one: (one.module, one.line)), results.load())
    return 0


def _lot(draw: str, mutant: Mutant) -> str:
    return hashlib.sha256(f"{draw} {mutant.id}".encode()).hexdigest() if draw else mutant.id


def _modules(package: str, only: Sequence[str]) -> list[Path]:
    paths = sorted(Path(package).rglob("*.py"))
    return list(dict.fromkeys(path for part in only for path in paths if part in str(path)))


class Results:
    """What became of each mutant, one line of JSON each, appended as it is known; the newest line counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known = self.load()

    def load(self) -> dict[str, str]:
        """Status by mutant id."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return {line["id"]: line["status"] for line in map(json.loads, lines)}

    def mark(self) -> int:
        """Where the next result will be written."""
        return self.path.stat().st_size if self.path.exists() else 0

    def written(self, mark: int) -> set[str]:
        """The ids of the results written since."""
        if not self.path.exists():
            return set()
        return {json.loads(line)["id"] for line in self.path.read_bytes()[mark:].splitlines()}

    def open(self, mutant: Mutant, *, again: bool) -> bool:
        """Whether the mutant has to be tried."""
        status = self._known.get(mutant.id)
        return status is None or (again and status in {SURVIVED, UNTESTED})

    def add(self, mutant: Mutant, status: str) -> None:
        """Write one result; a single short append, so that several processes may."""
        line = json.dumps({"id": mutant.id, "status": status, "at": f"{mutant.module}:{mutant.line}"})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _run(
    package: str, tests: Sequence[str], wanted: Sequence[Mutant], results: Results, given: argparse.Namespace
) -> None:
    traced = OUT / f"{package}.ran.json"
    with tempfile.TemporaryDirectory(prefix="optr-mutate-") as directory:
        trees = [_copy(Path(directory) / str(at)) for at in range(given.jobs)]
        print(f"measuring which of {' '.join(tests)} runs what", flush=True)
        _pytest("tools.mutate_trace", trees[0], tests, {"OPTR_MUTATE_TRACED": str(traced.resolve())})
        known = json.loads(traced.read_text(encoding="utf-8"))
        for name, reason in known["failed"].items():
            print(f"left out, it fails on the unchanged copy: {name}: {reason}")
        if not given.cold:
            print(f"{len(wanted)} mutants, those of functions are tried in place", flush=True)
            tried = _warm(
                trees[0],
                tests,
                {"wanted": [asdict(one) for one in wanted], "tests": known["tests"], "seconds": given.seconds},
                results,
            )
            wanted = [] if given.warm else [one for one in wanted if one.id not in tried]
        if not wanted:
            return
        _preload(known["modules"])
        for tree in trees:  # by hash, as a mutant may be as long as the original and made in the same second
            compileall.compile_dir(tree, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        print(f"{len(wanted)} mutants to try, {given.jobs} at a time", flush=True)
        workers = [
            multiprocessing.get_context("fork").Process(
                target=_work, args=(tree, wanted[at :: given.jobs], known["tests"], given.seconds, results)
            )
            for at, tree in enumerate(trees)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


_OPTIONS = ["-q", "--no-header", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]


def _warm(tree: Path, tests: Sequence[str], job: Mapping[str, object], results: Results) -> set[str]:
    """Try what can be tried in place, see `tools/mutate_warm.py`; the ids of those."""
    mark = results.mark()
    path = tree / ".job.json"
    path.write_text(json.dumps({**job, "results": str(results.path.resolve())}), encoding="utf-8")
    _pytest("tools.mutate_warm", tree, tests, {"OPTR_MUTATE_JOB": str(path)})
    return results.written(mark)


def _pytest(plugin: str, tree: Path, tests: Sequence[str], environ: Mapping[str, str]) -> None:
    options = [*_OPTIONS, "-s", "-p", plugin, "--basetemp", str(tree / ".basetemp")]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    subprocess.run(command, cwd=tree, env={**os.environ, **environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False)


def _copy(tree: Path) -> Path:
    """What git has of the working tree, as it stands, without its history; node modules are not needed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if Path(name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, tree / name)
    return tree


def _preload(modules: Iterable[str]) -> None:
    """Import what the tests import of others, once, so that each mutant starts from there."""
    for name in modules:
        with suppress(Exception):
            __import__(name)


def _work(
    tree: Path, wanted: Sequence[Mutant], tests: Mapping[str, dict[str, Any]], seconds_max: float, results: Results
) -> None:
    results.path = results.path.resolve()
    os.chdir(tree)
    for mutant in wanted:
        chosen, seconds = tests_of(mutant, tests, seconds_max)
        path = tree / mutant.module
        source = path.read_bytes()
        path.write_bytes(mutant.apply(source))
        try:
            status = _judge(tree, chosen, seconds) if chosen else UNTESTED
        finally:
            path.write_bytes(source)
        results.add(mutant, status)


def tests_of(mutant: Mutant, tests: Mapping[str, dict[str, Any]], seconds_max: float) -> tuple[list[str], float]:
    """The tests to run and how long they took: what runs the function; for others, first what runs the module."""
    place = f"{mutant.module}:{mutant.function}"
    near = {name: fact for name, fact in tests.items() if mutant.function and place in fact["ran"]}
    # What stands outside functions, functions that run at import, and those that no test is seen to run: any may.
    asked = near or tests
    beside = {
        name for name, fact in asked.items() if any(str(ran).startswith(f"{mutant.module}:") for ran in fact["ran"])
    }
    chosen: list[str] = []
    total, paid, turns = 0.0, set[str](), Counter[str]()
    order = []
    for name in sorted(asked, key=lambda one: _alone(asked[one])):
        turns[name.partition("[")[0]] += 1  # the same test again, with other parameters, is likely to tell less
        order.append((name not in beside, _alone(asked[name]) * turns[name.partition("[")[0]], name))
    for _, _, name in sorted(order):
        fact = asked[name]
        more = fact["seconds"] + sum(spent for fixture, spent in fact["shared"].items() if fixture not in paid)
        if _alone(fact) <= TEST_SECONDS_MAX and total + more <= seconds_max:
            chosen.append(name)
            paid.update(fact["shared"])
            total += more
    files = [name.partition("::")[0] for name in chosen]  # a file's fixtures are taken down when another's turn comes
    return sorted(chosen, key=lambda name: files.index(name.partition("::")[0])), total


def _alone(fact: Mapping[str, Any]) -> float:
    """Seconds of processor time of a test by itself, with the fixtures that it could share."""
    return float(fact["seconds"] + sum(fact["shared"].values()))


def _judge(tree: Path, tests: Sequence[str], seconds: float) -> str:
    """Run the tests in a process of their own that shares what is imported, and end it with all it started."""
    child = os.fork()
    if child == 0:
        _test(tree, tests, max(CPU_SECONDS_MIN, round(seconds * SLOWER_MAX)))
    status = ended(child, max(WALL_SECONDS_MIN, seconds * SLOWER_MAX))
    shutil.rmtree(tree / ".basetemp", ignore_errors=True)
    return status or KILLED


def _test(tree: Path, tests: Sequence[str], cpu_seconds: int) -> None:
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.environ["PYTHONPATH"] = str(tree)
        sys.path.insert(0, str(tree))
        status = pytest.main([*_OPTIONS, "-x", "--basetemp", str(tree / ".basetemp"), *tests])
    except BaseException:  # noqa: BLE001 - whatever a mutant does, it ends here
        os._exit(1)
    os._exit(int(status))


def _report(found: Sequence[Mutant], status: Mapping[str, str]) -> None:
    known = [one for one in found if one.id in status]
    for mutant in known:
        if status[mutant.id] in {SURVIVED, UNTESTED}:
            where = f"{mutant.module}:{mutant.line}"
            print(f"{status[mutant.id]:9}{where:32}{mutant.scope}: {_short(mutant.was)} -> {_short(mutant.becomes)}")
    for module in sorted({one.module for one in known}):
        print(f"{module:32}{_figures([status[one.id] for one in known if one.module == module])}")
    print(f"{'all':32}{_figures([status[one.id] for one in known])}; {len(found) - len(known)} not tried")


def _figures(statuses: Sequence[str]) -> str:
    count = Counter(statuses)
    noticed = count[KILLED] + count[TIMEOUT]
    score = f"{noticed / len(statuses):.1%}" if statuses else "nothing"
    return f"{score:>8} of {len(statuses)}: {', '.join(f'{number} {word}' for word, number in sorted(count.items()))}"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else f"{plain[:57]}..."  # noqa: PLR2004 - fits a line


if __name__ == "__main__":
    sys.exit(main())
