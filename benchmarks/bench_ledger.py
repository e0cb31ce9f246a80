"""The ledger's costs, side by side on one machine in one run; only the ratios mean something.

    python -m benchmarks.bench_ledger

OPTR_BENCH_SIZES (1000,100000,1000000): entries that exist already. OPTR_BENCH_ROUNDS (30): appends measured at each.
Asks GitPython's index API for the same commits, `openssl speed` for the floor of verification, and `git fsck`.
"""

import hashlib
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import git

from benchmarks import bulk
from ledger.group import ENTRIES_MAX
from ledger.keys import Signer
from ledger.request import Request
from ledger.sequencer import Sequencer
from ledger.verify import Manner, verify_branch, verify_stream

FILES = 6  # files of one run in the comparison with GitPython
FILE_BYTES = 840
BASE = 1000  # entries that exist in the comparison with GitPython
BASE_ROUNDS = 20
APPEND_RATIO_MAX = 1.5
DURABLE_RATIO_MIN = 50
VERIFY_RATIO_MAX = 4.5
PARALLEL_RATIO_MIN = 1.6
VERIFY_ROUNDS = 3
SAMPLE = 10_000  # lines
NODE_BYTES = 65  # hashed for an inner node of the tree: a prefix and two hashes


@dataclass
class Place:
    """A ledger that is appended to."""

    size: int
    made: bulk.Ledger
    sequencer: Sequencer
    next: int

    def append(self) -> None:
        """One line with one file, by the sequencer that is warm."""
        number, self.next = self.next, self.next + 1
        path = f"datalake/workflows/issue-{number % bulk.WORKFLOWS}/plan-{number}.md"
        self.sequencer.append([bulk.draft(number)], {path: b"plan"})

    def reopen(self) -> None:
        """One line by a new sequencer."""
        self.sequencer = Sequencer(self.made.git_dir, self.made.signer, self.made.store)
        self.append()


def row(what: str, value: str, bar: str = "") -> None:
    """Print one line of the table: what, the ratio, and the bar it should meet."""
    print(f"{what:<66} {value:>14}  {bar}", flush=True)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that `action` took."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def spent(action: Callable[[], object]) -> float:
    """Processor seconds, ours and git's: on a shared machine they are steadier than the clock."""

    def now() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, kinds))

    start = now()
    action()
    return now() - start


def bench_append(places: list[Place], rounds: int) -> None:
    """Append to each ledger in turn, so that the machine's moods meet all of them alike."""
    for title, action in (("warm", Place.append), ("new process", Place.reopen)):
        clocks: dict[int, list[float]] = {place.size: [] for place in places}
        cpus: dict[int, list[float]] = {place.size: [] for place in places}
        for _ in range(rounds):
            for place in places:
                begun = time.perf_counter()
                cpus[place.size].append(spent(partial(action, place)))
                clocks[place.size].append(time.perf_counter() - begun)
        first = places[0].size
        for size, taken in clocks.items():
            middle = statistics.median(taken) / statistics.median(clocks[first])
            work = statistics.median(cpus[size]) / statistics.median(cpus[first])
            bar = f"<= {APPEND_RATIO_MAX}" if size != first else ""
            row(f"append, {title}, {size:,} entries: time / time at {first:,}", f"{middle:.2f}", bar)
            row(f"append, {title}, {size:,} entries: processor / at {first:,}", f"{work:.2f}", bar)


def files_of(number: int) -> dict[str, bytes]:
    """Return one run's files, as a recorded run has them."""
    start = f"datalake/workflows/run-{number // 1000}-{number % 1000}"
    return {f"{start}/{name}.json": (b"%d" % number) * (FILE_BYTES // 4) for name in range(FILES)}


def bench_durable(directory: Path) -> None:
    """Durable appends per second, alone and in groups, against GitPython's index API doing the same."""
    theirs = _gitpython(directory / "theirs")
    made = bulk.write(directory / "ours", BASE)
    sequencer = Sequencer(made.git_dir, made.signer, made.store)
    sequencer.append([bulk.draft(BASE)], {})
    numbers = iter(range(BASE + 1, 10**9))

    def request() -> Request:
        number = next(numbers)
        draft = bulk.draft(number)
        name = f"run-{number // 1000}-{number % 1000}"
        return Request.of([type(draft)(**{**vars(draft), "workflow": name})], files_of(number))

    alone = BASE_ROUNDS / timed(lambda: [sequencer.append_all([request()]) for _ in range(BASE_ROUNDS)])
    groups = 6
    batches = [[request() for _ in range(ENTRIES_MAX)] for _ in range(groups)]
    grouped = groups * ENTRIES_MAX / timed(lambda: [sequencer.append_all(batch) for batch in batches])
    row("appends per second, alone (fsynced) / GitPython's index API", f"{alone / theirs:.1f}")
    bar = f">= {DURABLE_RATIO_MIN}"
    row(
        f"appends per second, groups of {ENTRIES_MAX} (fsynced) / GitPython's index API", f"{grouped / theirs:.1f}", bar
    )


def _gitpython(directory: Path) -> float:
    """Commits per second with six files and one line each, after BASE runs; GitPython syncs nothing."""
    repository = git.Repo.init(directory)
    ledger = directory / "datalake" / "ledger.jsonl"
    ledger.parent.mkdir()
    lines = list(bulk.lines(BASE + BASE_ROUNDS, Signer(bulk.ORIGIN, bytes(32)).vkey))

    def add(number: int) -> None:
        with ledger.open("ab") as file:
            file.write(lines[number] + b"\n")
        paths = [str(ledger)]
        for name, content in files_of(number).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            paths.append(str(path))
        repository.index.add(paths)

    for number in range(BASE):
        with ledger.open("ab") as file:
            file.write(lines[number] + b"\n")
        for name, content in files_of(number).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    subprocess.run(["git", "-C", str(directory), "add", "-A"], check=True)
    who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run(["git", "-C", str(directory), *who, "commit", "-q", "-m", "base"], check=True)
    actor = git.Actor("bench", "bench@localhost")

    def commit(number: int) -> None:
        add(number)
        repository.index.commit("audit", author=actor, committer=actor)

    begun = time.perf_counter()
    for number in range(BASE_ROUNDS):
        commit(BASE + number)
    return BASE_ROUNDS / (time.perf_counter() - begun)


def bench_verify(place: Place) -> None:
    """Verification of the largest ledger against what hashing its bytes costs at least, and against git fsck."""
    count, key = place.next, str(place.made.signer.vkey)
    lines = list(islice(bulk.lines(SAMPLE + 1, place.made.signer.vkey), 1, None))
    length = sum(map(len, lines)) // len(lines)
    times: dict[int, list[float]] = {1: [], 2: []}
    work: list[float] = []
    for _ in range(VERIFY_ROUNDS):  # in turn, so that the machine's moods meet both alike
        for cores, taken in times.items():
            with pinned(cores):
                work.append(spent(lambda jobs=cores, taken=taken: taken.append(_verify(place, key, jobs))))
    one = statistics.median(work[::2])
    with pinned(1):
        floor = count * length / _openssl(length)
        asked = 2 * floor + count * NODE_BYTES / _openssl(NODE_BYTES)
        alone = _alone(place)
        hashing = spent(lambda: [_hash_twice(line) for line in lines]) / SAMPLE * count
        reading = spent(lambda: _read(place.made.git_dir))
        command = ["git", f"--git-dir={place.made.git_dir}", "fsck", "--no-dangling", "--no-progress"]
        fsck = spent(lambda: subprocess.run(command, check=True, capture_output=True))
    faster = statistics.median(alone / shared for alone, shared in zip(*times.values(), strict=True))
    # openssl counts processor seconds, so what is held against it is counted so, too.
    bar = f"<= {VERIFY_RATIO_MAX}"
    row(f"verification of {count:,} lines, one core: processor / openssl's floor", f"{one / floor:.1f}", bar)
    row("  in openssl's time for all SHA-256 that the format asks for", f"{one / asked:.1f}")
    row("  of which git, reading the same objects: processor / floor", f"{reading / floor:.1f}")
    row("  of which hashlib, each line's leaf and own hash: processor / floor", f"{hashing / floor:.1f}")
    row(
        f"the {count:,} lines alone, from a file, one core: processor / openssl's floor",
        f"{alone * count / place.size / floor:.1f}",
    )
    row(
        "  in openssl's time for all SHA-256 that the format asks for", f"{alone * count / place.size / asked:.1f}", bar
    )
    row("verification, time on one core / time on two", f"{faster:.2f}", f">= {PARALLEL_RATIO_MIN}")
    row("git fsck of the same branch / verification: processor", f"{fsck / one:.2f}")
    row("verification per line, one core: processor", f"{one / count * 1e6:.1f} us")


@contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Let this process, and git below it, use so many cores and no more."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _hash_twice(line: bytes) -> None:
    hashlib.sha256(line).digest()
    hashlib.sha256(line).digest()


def _read(git_dir: Path) -> None:
    listing = ["git", f"--git-dir={git_dir}", "ls-tree", "-r", "--format=%(objectname)", "refs/heads/datalake"]
    objects = subprocess.run(listing, check=True, capture_output=True).stdout
    command = ["git", f"--git-dir={git_dir}", "cat-file", "--batch"]
    subprocess.run(command, check=True, input=objects, stdout=subprocess.DEVNULL)


def _verify(place: Place, key: str, jobs: int) -> float:
    def run() -> None:
        found = verify_branch(place.made.git_dir, trusted=key, manner=Manner(jobs))
        if found.problem is not None or found.entries != place.next:
            raise SystemExit(f"the ledger does not verify: {found}")

    return timed(run)


def _alone(place: Place) -> float:
    """Processor seconds for the lines without git, tiles and tree head, as `optr verify-ledger - < FILE` reads them."""
    with tempfile.TemporaryFile() as file:
        file.writelines(line + b"\n" for line in bulk.lines(place.size, place.made.signer.vkey))
        file.seek(0)
        found = []
        taken = spent(lambda: found.append(verify_stream("lines", file)))
    if found[0].problem is not None or found[0].entries != place.size:
        raise SystemExit(f"the lines do not verify: {found[0]}")
    return taken


def _openssl(length: int) -> float:
    """Bytes per second that one core hashes in blocks as long as a line."""
    command = ["openssl", "speed", "-seconds", "2", "-bytes", str(length), "-evp", "sha256"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.split()[-1].removesuffix("k")) * 1000


def main() -> None:
    """Run everything and print the table."""
    sizes = [int(size) for size in os.environ.get("OPTR_BENCH_SIZES", "1000,100000,1000000").split(",")]
    rounds = int(os.environ.get("OPTR_BENCH_ROUNDS", "30"))
    row("what", "ratio", "bar")
    with tempfile.TemporaryDirectory(prefix="optr-bench-") as name:
        root = Path(name)
        for directory in ("theirs", "ours", *map(str, sizes)):
            (root / directory).mkdir()
        bench_durable(root)
        places = []
        for size in sizes:
            made = bulk.write(root / str(size), size)
            place = Place(size, made, Sequencer(made.git_dir, made.signer, made.store), size)
            seconds = timed(place.append)
            row(f"first append without an index, {size:,} entries", f"{seconds / size * 1e6:.0f} us/line")
            places.append(place)
        bench_append(places, rounds)
        bench_verify(places[-1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        row("memory at the peak, everything above", f"{peak} MiB")


if __name__ == "__main__":
    main()
