"""Blocks swept and files hashed in order, by one process or by several.

Worker `i` of `n` does the pieces i, i + n, i + 2n and sends each result into its own pipe, which holds it back when
the reader is slower; the reader takes them in order. So the outcome does not depend on who is fast, memory
does not grow with the ledger, and a worker whose reader is gone ends by itself.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Generic, TypeVar

from ledger.errors import GitError
from ledger.faults import FaultFound
from ledger.layout import segment_path
from ledger.source import DivisibleSource, Source
from ledger.sweep import SEGMENTS, Swept, sweep
from ledger.tiles import WIDTH, bundle_path, tile_path

T = TypeVar("T")
BATCH_FILES = 256  # files whose digests are sent at once
WORKER_BATCHES_MIN = 32  # such batches for each worker
WORKER_BLOCKS_MIN = 64  # blocks for each worker; starting one takes as long as sweeping some tens
JOBS_MAX = 256  # processes
JOIN_S = 5.0  # seconds that a worker is given to end before it is killed


def cores() -> int:
    """Return how many processors this process may use."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, JOBS_MAX)


def swept(source: DivisibleSource, blocks: range, jobs: int) -> Generator[Swept | None, None, None]:
    """Sweep `blocks` (numbers of whole blocks) of `source` and yield the results in order.

    None stands for a block that the strict reading must judge. Close it when you stop early.

    Args:
        source: the ledger's files.
        blocks: which blocks.
        jobs: processes, at least 1; fewer are used where there is too little to do.
    """
    workers = min(jobs, len(blocks) // WORKER_BLOCKS_MIN)
    if workers <= 1:
        yield from _sweeps(source, blocks)
        return
    shares = [blocks[at::workers] for at in range(workers)]
    parts = [source.only([path for block in share for path in [*_segments(block), *_tiles(block)]]) for share in shares]
    yield from _dealt([partial(_sweeps, *work) for work in zip(parts, shares, strict=True)], len(blocks))


def hashed(source: DivisibleSource, paths: Sequence[str], jobs: int) -> Generator[bytes | None, None, None]:
    """Yield the SHA-256 of each file, in order; None for one that cannot be read. Close it when you stop early."""
    batches = [paths[at : at + BATCH_FILES] for at in range(0, len(paths), BATCH_FILES)]
    workers = min(jobs, len(batches) // WORKER_BATCHES_MIN)
    if workers <= 1:
        found = _digests(source, batches)
    else:
        shares = [batches[at::workers] for at in range(workers)]
        parts = [source.only(chain.from_iterable(share)) for share in shares]
        found = _dealt([partial(_digests, *work) for work in zip(parts, shares, strict=True)], len(batches))
    with closing(found):
        for digests in found:
            yield from digests


def _dealt(works: Sequence[Callable[[int], Generator[T, None, None]]], total: int) -> Generator[T, None, None]:
    """Let one process do each of `works`, and take `total` results from them in turn."""
    crew: list[_Worker[T]] = []
    try:
        crew += map(_Worker, works)
        shares = [worker.results() for worker in crew]
        for number in range(total):
            yield next(shares[number % len(shares)])
    finally:
        for worker in crew:
            worker.end()


class _Worker(Generic[T]):
    """One process and what it sends; `work`, given a number, leaves out so many of its results."""

    def __init__(self, work: Callable[[int], Generator[T, None, None]]) -> None:
        context = get_context("spawn")  # a fork would copy locks and threads of whoever calls us
        self._work_here = work
        self._line, line = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_work, args=(line,), daemon=True, name="ledger-verify")
        self._process.start()
        line.close()
        # Not among the arguments: to start a process that dies before it has read a long list of them never ends.
        with suppress(OSError):
            self._line.send(work)

    def results(self) -> Generator[T, None, None]:
        done = 0
        while True:
            try:
                result: T = self._line.recv()
            except (EOFError, OSError):  # it has ended; or was killed, as by a machine short of memory
                yield from self._work_here(done)
                return
            yield result
            done += 1

    def end(self) -> None:
        self._line.close()
        self._process.terminate()
        self._process.join(JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _work(line: Connection) -> None:
    """Be a worker: receive the work, send its results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the reader ends us
    with suppress(EOFError, OSError), closing(line):
        work: Callable[[int], Generator[object, None, None]] = line.recv()
        with closing(work(0)) as found:
            for result in found:
                line.send(result)


def _digests(
    source: Source, batches: Sequence[Sequence[str]], done: int = 0
) -> Generator[list[bytes | None], None, None]:
    for batch in batches[done:]:
        yield list(_each_digest(source, batch))


def _each_digest(source: Source, paths: Sequence[str]) -> Generator[bytes | None, None, None]:
    done = 0
    while done < len(paths):
        try:
            with closing(source.read(paths[done:])) as contents:
                for content in contents:
                    yield hashlib.sha256(content).digest()
                    done += 1
        except (FaultFound, GitError):
            yield None
            done += 1


def _sweeps(source: Source, blocks: range, done: int = 0) -> Generator[Swept | None, None, None]:
    """Sweep in this process, from one stream of files; one that cannot be read begins a new stream behind it."""
    while done < len(blocks):
        try:
            for result in _stream(source, blocks[done:]):
                yield result
                done += 1
        except (FaultFound, GitError):
            yield None
            done += 1


def _stream(source: Source, blocks: Sequence[int]) -> Generator[Swept | None, None, None]:
    there = source.modes()
    plans = [(block, [*_segments(block), *(path for path in _tiles(block) if path in there)]) for block in blocks]
    with closing(source.read(path for _, paths in plans for path in paths)) as contents:
        for block, paths in plans:
            found = list(islice(contents, len(paths)))
            tiles = dict(zip(paths[SEGMENTS:], found[SEGMENTS:], strict=True))
            yield sweep(found[:SEGMENTS], block * WIDTH, tiles)


def _segments(block: int) -> list[str]:
    return [segment_path(block * SEGMENTS + at) for at in range(SEGMENTS)]


def _tiles(block: int) -> tuple[str, str]:
    return tile_path(0, block), bundle_path(block)
