"""Which files an adviser is shown, read and written through the sandbox only.

What is shown leaves for a third party, so the least goes: files that the request or the checks name, whole or not at
all, within bounds. Links, submodules and binary files never go.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from execution.agents.loop import SHELL_ENV
from execution.ports import Sandbox
from execution.records import Command, CommandLimits, CommandResult

FILES_MAX = 12
FILE_BYTES_MAX = 60_000
SHOWN_BYTES_MAX = 120_000
LISTING_BYTES_MAX = 4 * 2**20
BASENAME_CHARACTERS_MIN = 4  # `a.c` in a sentence is more often prose than a file
REGULAR_MODES = frozenset({"100644", "100755"})

_NAME = re.compile(r"[\w./@+-]+")
_LIST = ("git", "--no-optional-locks", "ls-files", "--stage", "-z")
_READ = ("cat", "--")
# Fixed text: the path is an argument to it, never part of it.
_WRITE = ("sh", "-c", 'set -eu; test ! -L "$1"; mkdir -p -- "$(dirname -- "$1")"; cat >"$1"', "write")


class SelectionError(RuntimeError):
    """The workspace could not be read or written; the text says what failed."""


@dataclass(frozen=True)
class Shown:
    """What the adviser may see and change.

    Attributes:
        files: text by path, lines ending in a line feed.
        carriage: paths whose lines end in carriage return and line feed, all of them.
        left_out: named paths that do not fit, are binary, or mix line ends.
        known: every path of the tree.
    """

    files: Mapping[str, str]
    carriage: frozenset[str]
    left_out: tuple[str, ...]
    known: frozenset[str]


@dataclass(frozen=True)
class Desk:
    """A workspace as far as an adviser's answers reach: through its sandbox.

    Attributes:
        workspace: host directory.
        sandbox: what runs the commands.
        seconds: wall clock of one command.
    """

    workspace: Path
    sandbox: Sandbox
    seconds: float

    async def show(self, words: str) -> Shown:
        """Read the files that `words` name.

        Raises:
            SelectionError: the tree cannot be listed.
            SandboxError: see ports.Sandbox.
        """
        modes = _modes((await self._run(_LIST, LISTING_BYTES_MAX)).output)
        named = chosen(words, [path for path, mode in modes.items() if mode in REGULAR_MODES])
        files: dict[str, str] = {}
        carriage: set[str] = set()
        left = SHOWN_BYTES_MAX
        for path in named[:FILES_MAX]:
            text = await self._read(path, min(left, FILE_BYTES_MAX))
            if text is None:
                continue
            left -= len(text.encode())
            if "\r\n" in text:
                carriage.add(path)
            files[path] = text.replace("\r\n", "\n")
        left_out = tuple(path for path in named if path not in files)
        return Shown(files, frozenset(carriage), left_out, frozenset(modes))

    async def write(self, path: str, text: str, *, carriage: bool) -> None:
        """Write one file.

        Raises:
            SelectionError: it cannot be written.
            SandboxError: see ports.Sandbox.
        """
        whole = text.replace("\n", "\r\n") if carriage else text
        await self._run((*_WRITE, path), FILE_BYTES_MAX, stdin=whole.encode("utf-8", "replace"))

    async def _read(self, path: str, limit: int) -> str | None:
        result = await self._run((*_READ, path), limit + 1)
        if result.truncated or len(result.output) > limit or b"\0" in result.output:
            return None
        try:
            text = result.output.decode("utf-8")
        except UnicodeDecodeError:
            return None
        mixed = "\r" in text and text.count("\r\n") not in {text.count("\n"), 0}
        return None if mixed or text.count("\r") != text.count("\r\n") else text

    async def _run(self, argv: tuple[str, ...], output_bytes: int, stdin: bytes = b"") -> CommandResult:
        limits = CommandLimits(wall_seconds=self.seconds, output_bytes=output_bytes)
        command = Command(argv=argv, workspace=self.workspace, env=dict(SHELL_ENV), stdin=stdin, limits=limits)
        result = await self.sandbox.run(command)
        if result.exit_code == 0 or result.truncated:
            return result
        ended = "was killed by the clock" if result.timed_out else f"ended with code {result.exit_code}"
        words = " ".join(result.output.decode("utf-8", "replace").split())[:200]
        raise SelectionError(f"`{argv[0]}` in the workspace {ended}{f': {words}' if words else ''}")


def chosen(words: str, paths: Collection[str]) -> list[str]:
    """The paths that `words` name, in order of mention: whole, or by a file name that only one of them has."""
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(PurePosixPath(path).name, []).append(path)
    known = frozenset(paths)
    found: dict[str, None] = {}
    for word in _candidates(words):
        if word in known:
            found[word] = None
        elif "." in word and len(word) >= BASENAME_CHARACTERS_MIN and len(by_name.get(word, [])) == 1:
            found[by_name[word][0]] = None
    return list(found)


def _candidates(words: str) -> Iterable[str]:
    for match in _NAME.finditer(words):
        word = match.group().removeprefix("./")
        yield word
        yield word.rstrip(".-")  # the end of a sentence


def _modes(listing: bytes) -> dict[str, str]:
    """Path to mode of what `git ls-files --stage -z` prints."""
    modes: dict[str, str] = {}
    for entry in listing.decode("utf-8", "replace").split("\0"):
        facts, _, path = entry.partition("\t")
        if path:
            modes[path] = facts.split(" ", 1)[0]
    if not modes and listing:
        raise SelectionError("the workspace's files cannot be listed")
    return modes
