"""A model of losing power: which contents of a disk POSIX allows after calls that were or were not synced.

The real calls of each durable write are recorded. Then, for every moment between two calls and every subset of the
effects that were not synced by then, the disk is put together as it might be found.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger import durable


@dataclass(frozen=True)
class Effect:
    """Something a crash may undo: a name set or removed in a directory, or a file's content."""

    directory: Path | None
    file: int | None
    names: Mapping[str, int | None] = field(default_factory=dict)
    content: bytes = b""


class Recorder(durable.Disk):
    """The real disk, with a log of effects and of what made them durable."""

    def __init__(self) -> None:
        self.log: list[Effect | tuple[str, Any]] = []
        self.files: dict[Path, int] = {}
        self.handles: dict[int, Path] = {}
        self.numbers = itertools.count(1)

    def create(self, path: Path, mode: int) -> int:
        handle = super().create(path, mode)
        self.files[path] = next(self.numbers)
        self.handles[handle] = path
        self.log.append(Effect(path.parent, None, {path.name: self.files[path]}))
        return handle

    def open_directory(self, path: Path) -> int:
        handle = super().open_directory(path)
        self.handles[handle] = path
        return handle

    def write(self, handle: int, data: bytes) -> None:
        super().write(handle, data)
        self.log.append(Effect(None, self.files[self.handles[handle]], content=data))

    def sync(self, handle: int) -> None:
        super().sync(handle)
        path = self.handles[handle]
        self.log.append(("directory", path) if path not in self.files else ("file", self.files[path]))

    def close(self, handle: int) -> None:
        super().close(handle)
        del self.handles[handle]

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self.files[target] = self.files[source]
        self.log.append(Effect(target.parent, None, {target.name: self.files[source]}))

    def replace(self, source: Path, target: Path) -> None:
        if source.is_dir():
            self._move(source, target)
            return
        super().replace(source, target)
        self.files[target] = self.files.pop(source)
        self.log.append(Effect(target.parent, None, {target.name: self.files[target], source.name: None}))

    def _move(self, source: Path, target: Path) -> None:
        """A directory takes the names in it along; both of its own change at once or not at all."""
        if target.parent != source.parent:
            raise NotImplementedError("the model knows directories that stay in theirs")
        super().replace(source, target)
        names: dict[str, int | None] = {source.name: None, target.name: -1}
        for path in [path for path in self.files if path.parent == source]:
            number = self.files[target / path.name] = self.files.pop(path)
            names |= {f"{source.name}/{path.name}": None, f"{target.name}/{path.name}": number}
        self.log.append(Effect(target.parent, None, names))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        if self.files.pop(path, None) is not None:
            self.log.append(Effect(path.parent, None, {path.name: None}))

    def mkdir(self, path: Path, mode: int) -> None:
        super().mkdir(path, mode)
        self.log.append(Effect(path.parent, None, {path.name: -1}))


def states(log: list[Any], targets: Collection[Path]) -> Iterator[dict[Path, bytes | None]]:
    """Yield what may bear the names of `targets` when power is lost at the end of `log`."""
    pending: list[Effect] = []
    settled: list[Effect] = []
    for step in log:
        if isinstance(step, Effect):
            pending.append(step)
            continue
        kind, what = step
        done = [one for one in pending if what == (one.directory if kind == "directory" else one.file)]
        settled += done
        pending = [one for one in pending if one not in done]
    for fates in itertools.product((None, 0.5, 1.0), repeat=len(pending)):
        if any(fate == 0.5 and one.file is None for fate, one in zip(fates, pending, strict=True)):
            continue  # only content can be torn
        kept = [(one, 1.0) for one in settled]
        kept += [(one, fate) for one, fate in zip(pending, fates, strict=True) if fate is not None]
        yield {target: found(kept, target) for target in targets}


def disks(log: list[Any], target: Path) -> Iterator[tuple[bool, bytes | None]]:
    """Yield whether the whole log ran, and what bears the name of `target` after each possible crash."""
    for end in range(len(log) + 1):
        for state in states(log[:end], [target]):
            yield end == len(log), state[target]


def found(kept: list[tuple[Effect, float]], target: Path) -> bytes | None:
    names: dict[Path, int | None] = {}
    contents: dict[int, bytes] = {}
    for effect, share in kept:
        if effect.file is not None:
            contents[effect.file] = effect.content[: int(len(effect.content) * share)]
        for name, file in effect.names.items():
            names[(effect.directory or Path()) / name] = file
    above = [one for one in target.parents if names.get(one, -1) is None]
    file = names.get(target)
    return None if above or file is None else contents.get(file, b"")


class Killed(BaseException):
    """The process is no more: none of its own handlers may do anything on the disk."""


class Mortal(Recorder):
    """A recorder of one process after the other: each dies before one of its calls, as `spare` says.

    What it began under a name that nobody reads is not counted: to die there is to die before that file's sync.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def hold(self, path: Path) -> None:
        """Take a file that is there, and durable, into the record."""
        number = self.files[path] = next(self.numbers)
        self.log += [Effect(None, number, content=path.read_bytes()), Effect(path.parent, None, {path.name: number})]
        self.log += [("file", number), ("directory", path.parent)]

    def spare(self, calls: int | None) -> None:
        """Let the next process make so many calls that count; None: as many as it wants."""
        self.left = calls

    def _live(self) -> None:
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1

    def sync(self, handle: int) -> None:
        self._live()
        super().sync(handle)

    def link(self, source: Path, target: Path) -> None:
        self._live()
        super().link(source, target)

    def replace(self, source: Path, target: Path) -> None:
        self._live()
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._live()
        super().unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        self._live()
        super().mkdir(path, mode)
