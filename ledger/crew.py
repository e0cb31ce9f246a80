"""Blocks swept in order, by one process or by several.

Worker `i` of `n` sweeps the blocks i, i + n, i + 2n and sends each result into its own pipe, which holds it back when
the reader is slower; the reader takes them in the ledger's order. So the outcome does not depend on who is fast, memory
does not grow with the ledger, and a worker whose reader is gone ends by itself.
"""

import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from ledger.errors import GitError
from ledger.faults import FaultFound
from ledger.layout import segment_path
from ledger.source import DivisibleSource, Source
from ledger.sweep import SEGMENTS, Swept, sweep
from ledger.tiles import WIDTH, bundle_path, tile_path

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
    crew = [_Worker(source, blocks[at::workers]) for at in range(workers)]
    try:
        shares = [worker.results() for worker in crew]
        for number in range(len(blocks)):
            yield next(shares[number % workers])
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """One process and what it sends."""

    def __init__(self, source: DivisibleSource, blocks: range) -> None:
        context = get_context("spawn")  # a fork would copy locks and threads of whoever calls us
        self._source = source.only([path for block in blocks for path in [*_segments(block), *_tiles(block)]])
        self._blocks = blocks
        self._results, results = context.Pipe(duplex=False)
        self._process: SpawnProcess = context.Process(
            target=_work, args=(self._source, blocks, results), daemon=True, name="ledger-sweep"
        )
        self._process.start()
        results.close()

    def results(self) -> Iterator[Swept | None]:
        for done, _ in enumerate(self._blocks):
            try:
                result: Swept | None = self._results.recv()
            except (EOFError, OSError):  # it was killed, as by a machine short of memory
                yield from _sweeps(self._source, self._blocks[done:])
                return
            yield result

    def end(self) -> None:
        self._results.close()
        self._process.terminate()
        self._process.join(JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _work(source: Source, blocks: range, results: Connection) -> None:
    """Be a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the reader ends us
    with suppress(BrokenPipeError), closing(results), closing(_sweeps(source, blocks)) as sweeps:
        for result in sweeps:
            results.send(result)


def _sweeps(source: Source, blocks: range) -> Generator[Swept | None, None, None]:
    """Sweep in this process, from one stream of files; one that cannot be read begins a new stream behind it."""
    done = 0
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
