"""What the clean room and the orchestration cost, side by side on one machine in one run.

    python -m benchmarks.bench_clean_room

OPTR_BENCH_ROUNDS (15): measurements of each kind; what takes seconds is measured a third as often, at least once.
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bot.local import run_local
from bot.local_request import LocalRequest
from execution.ports import Sandbox
from execution.records import Command
from execution.result import RunResult
from execution.sandbox import SandboxError
from execution.sandbox.bubblewrap import Bubblewrap
from execution.sandbox.disposal import dispose
from execution.sandbox.identity import hand_over
from execution.sandbox.landlock import Landlock
from execution.sandbox.probe import probe
from execution.workspace import discard, prepare

FILES = 10_000
FILE_LINES = 40
WORKSPACES = 4
AGENTS = (1, 4, 16)
SANDBOX_MS_MAX = 15.0
ORCHESTRATION_MS_MAX = 1_000.0
MS = 1_000


def rounds() -> int:
    """How often to measure."""
    return max(1, int(os.environ.get("OPTR_BENCH_ROUNDS", "15")))


def git(directory: Path, *words: str) -> str:
    """Run git as a maintainer would, without the machine's own configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null"}
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    done = subprocess.run(["git", *who, *words], cwd=directory, env=env, check=True, capture_output=True)
    return done.stdout.decode().strip()


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that one call takes."""
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * MS


# --- what a sandbox adds to a command ---------------------------------------------------------------------------------


async def plain_true() -> None:
    """`true`, as any program would start it."""
    process = await asyncio.create_subprocess_exec("true", stdin=-3, stdout=-1, stderr=-2)
    await process.communicate()


async def sandboxes(scratch: Path) -> None:
    """Median time of `true` in each sandbox beside the plain one, taken in turns."""
    room = scratch / "room"
    room.mkdir()
    hand_over(room)
    backends: list[Sandbox] = []
    choice: tuple[Sandbox, ...] = (Bubblewrap(), Landlock())
    for backend in choice:
        try:
            await probe(backend)
            backends.append(backend)
        except SandboxError as error:
            print(f"  {backend.name}: does not work here: {error}")
    command = Command(argv=("true",), workspace=room)
    times: dict[str, list[float]] = {"plain": [], **{backend.name: [] for backend in backends}}
    for _ in range(4 * rounds()):
        times["plain"].append(await timed(plain_true))
        for backend in backends:
            times[backend.name].append(await timed(lambda backend=backend: backend.run(command)))  # type: ignore[misc]
    plain = statistics.median(times.pop("plain"))
    print(f"  plain `true`: {plain:.1f} ms")
    for name, taken in times.items():
        median = statistics.median(taken)
        met = verdict(median - plain, SANDBOX_MS_MAX) if name == "bubblewrap" else ""
        print(f"  {name}: {median:.1f} ms, {median / plain:.1f} times plain, {median - plain:.1f} ms more{met}")


# --- workspaces of a large repository ---------------------------------------------------------------------------------


def large_repository(path: Path) -> str:
    """A repository of FILES small files in 100 directories; returns its commit."""
    for number in range(FILES):
        file = path / f"d{number % 100:02}" / f"f{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{number} line {line}\n" for line in range(FILE_LINES)))
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "base")
    git(path, "repack", "-q", "-a", "-d")
    return git(path, "rev-parse", "HEAD")


async def workspaces(scratch: Path) -> None:
    """Four workspaces, made at once as a run makes them, beside one plain clone, taken in turns."""
    origin = scratch / "origin"
    origin.mkdir()
    commit = large_repository(origin)
    ours, clones = [], []
    for number in range(max(1, rounds() // 3)):
        target = scratch / f"clone{number}"
        started = time.perf_counter()
        git(scratch, "clone", "-q", "--local", str(origin), str(target))
        clones.append((time.perf_counter() - started) * MS)
        started = time.perf_counter()
        made = await asyncio.gather(
            *(asyncio.to_thread(prepare, origin / ".git", commit, scratch) for _ in range(WORKSPACES))
        )
        ours.append((time.perf_counter() - started) * MS)
        for workspace in made:
            discard(workspace)
        dispose(target)
    mine, theirs = statistics.median(ours), statistics.median(clones)
    print(f"  one `git clone --local` of {FILES} files: {theirs:.0f} ms")
    print(f"  {WORKSPACES} workspaces: {mine:.0f} ms, {mine / theirs:.2f} times one clone, {mine / 4:.0f} ms each")


# --- orchestration ----------------------------------------------------------------------------------------------------


def small_repository(path: Path, agents: int) -> None:
    """A repository with command agents that finish at once and one check that does."""
    names = [f"agent-{number}" for number in range(agents)]
    files = {"a.txt": "1\n", ".github/optr.yml": json.dumps({"agents": names, "checks": [{"id": "t", "run": "true"}]})}
    for name in names:
        front = {"name": name, "type": "command", "command": ["sh", "-c", f"echo {name} >> a.txt"]}
        files[f".github/agents/{name}.agent.md"] = f"---\n{json.dumps(front)}\n---\n"
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "base")


def one_run(repo: Path, state: Path, number: int) -> tuple[float, float]:
    """Wall time of a run, and of its slowest agent with its checks, milliseconds; an event loop of its own each."""
    request = LocalRequest(
        repo=repo,
        workflow=f"bench-{number}",
        intent="Change the file",
        constraints=(),
        agents=(),
        state=state,
        environ={"PATH": os.environ["PATH"]},
        on_progress=lambda _line: None,
    )
    started = time.perf_counter()
    result = asyncio.run(run_local(request))
    wall = (time.perf_counter() - started) * MS
    if result.winner is None:
        sys.exit(f"the run has no winner: {result.problem}")
    return wall, slowest(result)


def slowest(result: RunResult) -> float:
    """The longest of agent plus checks; a check that ran once and is recorded for both forms counts once."""
    return float(
        max(
            candidate.execution_ms + sum({check.id: check.duration_ms for check in candidate.checks}.values())
            for candidate in result.candidates
        )
    )


def orchestration(scratch: Path) -> None:
    """What a run costs beyond its slowest agent and that agent's checks, by number of agents."""
    overheads: dict[int, float] = {}
    for agents in AGENTS:
        repo = scratch / f"race{agents}"
        repo.mkdir()
        small_repository(repo, agents)
        if agents == AGENTS[0]:
            one_run(repo, scratch / "state", 0)  # imports and caches, not counted
        before, times = cpu_ms(), max(1, rounds() // 3)
        measured = [one_run(repo, scratch / "state", number + 1) for number in range(times)]
        burned = (cpu_ms() - before) / times
        overheads[agents] = statistics.median(wall - agent for wall, agent in measured)
        wall = statistics.median(wall for wall, _ in measured)
        met = verdict(overheads[agents], ORCHESTRATION_MS_MAX) if agents == WORKSPACES else ""
        spent = f"of it orchestration {overheads[agents]:.0f} ms{met}; {burned:.0f} ms of processor time"
        print(f"  {agents} agents: wall {wall:.0f} ms, {spent}")
    first, last = overheads[AGENTS[0]], overheads[AGENTS[-1]]
    each = (last - first) / (AGENTS[-1] - AGENTS[0])
    print(f"  from {AGENTS[0]} to {AGENTS[-1]} agents: {last / first:.1f} times, {each:.0f} ms for each further agent")


def cpu_ms() -> float:
    """Processor time of this process and of those it has waited for, milliseconds; hardly changed by a busy machine."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) * MS


def verdict(measured: float, target: float) -> str:
    """Whether a target is met, in words."""
    return f" (target under {target:g} ms: {'met' if measured < target else 'missed'})"


def main() -> None:
    """Measure and print."""
    parts: tuple[tuple[str, Callable[[Path], None]], ...] = (
        ("A command in a sandbox", lambda scratch: asyncio.run(sandboxes(scratch))),
        ("Workspaces", lambda scratch: asyncio.run(workspaces(scratch))),
        ("Orchestration, with agents and a check that end at once", orchestration),
    )
    for title, part in parts:
        print(f"\n{title} ({os.cpu_count()} cores)")
        scratch = Path(tempfile.mkdtemp(prefix="optr-bench-"))
        scratch.chmod(0o711)
        try:
            part(scratch)
        finally:
            dispose(scratch)


if __name__ == "__main__":
    main()
