"""What a patch may be: size, paths, modes, protected files. The patch's own words in, violations and warnings out."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal

from pydantic import Field

from governance.globs import is_plain
from governance.patch_format import (
    ABSENT,
    EXECUTABLE,
    SUBMODULE,
    SYMLINK,
    ChangeKind,
    FileChange,
    PatchSyntaxError,
    parse_patch,
)
from governance.protected import LOCKFILES, NEVER, PROTECTED, fold, matched
from governance.record import Record

__all__ = [
    "ChangeKind",
    "FileChange",
    "Finding",
    "PatchCode",
    "PatchJudgement",
    "PatchPolicy",
    "PatchSyntaxError",
    "judge_patch",
    "parse_patch",
    "shown",
]

FINDINGS_MAX = 50  # of each severity; a patch that breaks more rules than this is understood
PATH_SHOWN_MAX = 120  # characters
PATH_BYTES_MAX = 1000
EXPANDED_BYTES_MAX = 64 * 2**20


class PatchCode(StrEnum):
    """Why a patch is refused, or what a reviewer should know of it."""

    EMPTY = "PATCH_EMPTY"
    UNPARSABLE = "PATCH_UNPARSABLE"
    TOO_LARGE = "PATCH_TOO_LARGE"
    TOO_MANY_FILES = "PATCH_TOO_MANY_FILES"
    TRAVERSAL = "PATCH_TRAVERSAL"
    BAD_PATH = "PATCH_BAD_PATH"
    GIT_DIRECTORY = "PATCH_GIT_DIRECTORY"
    SYMLINK = "PATCH_SYMLINK"
    SUBMODULE = "PATCH_SUBMODULE"
    MODE_CHANGE = "PATCH_MODE_CHANGE"
    BINARY = "PATCH_BINARY"
    PATH_COLLISION = "PATCH_PATH_COLLISION"
    PROTECTED = "PATCH_PROTECTED"
    LOCKFILE = "PATCH_LOCKFILE"
    EXECUTABLE = "PATCH_EXECUTABLE"


class PatchPolicy(Record):
    """What a patch may be.

    Attributes:
        files_max: files in one patch.
        bytes_max: bytes of one patch.
        binary: whether binary files are allowed.
        protected: globs beside the built-in ones; without a slash they hold at the root, `**/name` at any depth.
        protected_policy: block refuses; require_approval warns and leaves the decision to people.
    """

    record_kind = "patch-policy"

    files_max: int = Field(default=100, ge=1)
    bytes_max: int = Field(default=1_048_576, ge=1)
    binary: bool = False
    protected: tuple[str, ...] = ()
    protected_policy: Literal["block", "require_approval"] = "block"


class Finding(Record):
    """One thing found: a code and a sentence for people. Paths in it are escaped and cut, not safe for Markdown."""

    record_kind = "patch-finding"

    code: PatchCode
    text: str


class PatchJudgement(Record):
    """What speaks against a patch, and what a reviewer should know of it.

    Attributes:
        violations: any of them makes the candidate inadmissible.
        warnings: none of them does.
    """

    record_kind = "patch-judgement"

    violations: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def judge_patch(
    changes: tuple[FileChange, ...], *, size: int, base_paths: frozenset[str], rules: PatchPolicy
) -> PatchJudgement:
    """Judge a parsed patch.

    Args:
        changes: from `parse_patch`.
        size: the patch's length, bytes.
        base_paths: every path of the base tree.
        rules: what is allowed.
    """
    violations = [*_bulk(changes, size, rules), *_collisions(changes, base_paths)]
    warnings: list[Finding] = []
    for change in changes:
        violations += _path_violations(change.path)
        violations += _shape_violations(change, rules)
        protected = list(_protected(change.path, rules))
        violations += [finding for finding, blocks in protected if blocks]
        warnings += [finding for finding, blocks in protected if not blocks]
        warnings += _shape_warnings(change)
    return PatchJudgement(violations=_few(violations), warnings=_few(warnings))


def _few(findings: list[Finding]) -> tuple[Finding, ...]:
    """The first FINDINGS_MAX at most; the last of them says how many are left out, under the code of the next one."""
    distinct = tuple(dict.fromkeys(findings))
    if len(distinct) <= FINDINGS_MAX:
        return distinct
    kept, left = distinct[: FINDINGS_MAX - 1], distinct[FINDINGS_MAX - 1 :]
    return (*kept, Finding(code=left[0].code, text=f"{len(left)} more findings are left out"))


def shown(path: str) -> str:
    """A path fit for a sentence: controls and invisible characters escaped, cut in the middle when long."""
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in path)
    half = PATH_SHOWN_MAX // 2
    return f"`{text if len(text) <= PATH_SHOWN_MAX else f'{text[:half]}…{text[-half:]}'}`"


def _bulk(changes: tuple[FileChange, ...], size: int, rules: PatchPolicy) -> Iterator[Finding]:
    if not changes:
        yield Finding(code=PatchCode.EMPTY, text="The patch changes nothing.")
    if size > rules.bytes_max:
        yield Finding(
            code=PatchCode.TOO_LARGE, text=f"The patch has {size} bytes; at most {rules.bytes_max} are allowed."
        )
    if (expanded := sum(change.expanded for change in changes)) > EXPANDED_BYTES_MAX:
        text = f"The patch's binary parts would grow to {expanded} bytes; at most {EXPANDED_BYTES_MAX} are allowed."
        yield Finding(code=PatchCode.TOO_LARGE, text=text)
    if (files := len({change.path for change in changes})) > rules.files_max:
        text = f"The patch touches {files} files; at most {rules.files_max} are allowed."
        yield Finding(code=PatchCode.TOO_MANY_FILES, text=text)


def _path_violations(path: str) -> Iterator[Finding]:
    segments = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or any(segment in {"", ".", ".."} for segment in segments) or path[1:2] == ":":
        yield Finding(code=PatchCode.TRAVERSAL, text=f"{shown(path)} does not stay inside the repository.")
    elif not is_plain(path) or len(path.encode()) > PATH_BYTES_MAX:
        text = f"{shown(path)} holds a control character or a backslash, or is longer than {PATH_BYTES_MAX} bytes."
        yield Finding(code=PatchCode.BAD_PATH, text=text)
    if any(segment in {".git", "git~1"} for segment in fold(path.replace("\\", "/")).split("/")):
        text = f"{shown(path)} lies in a git directory, or would on another file system."
        yield Finding(code=PatchCode.GIT_DIRECTORY, text=text)


def _shape_violations(change: FileChange, rules: PatchPolicy) -> Iterator[Finding]:
    modes, name = {change.old_mode, change.new_mode}, shown(change.path)
    if SUBMODULE in modes:
        yield Finding(code=PatchCode.SUBMODULE, text=f"{name} is a submodule; candidates may not touch those.")
    if change.new_mode == SYMLINK:
        yield Finding(
            code=PatchCode.SYMLINK, text=f"{name} is a symbolic link; candidates may not make or change those."
        )
    if change.kind is ChangeKind.MODE:
        text = f"{name} changes its mode from {change.old_mode} to {change.new_mode}."
        yield Finding(code=PatchCode.MODE_CHANGE, text=text)
    if change.binary and not rules.binary and change.kind is not ChangeKind.DELETED:
        text = f"{name} is binary; allow it with `patch.binary: true` in the configuration."
        yield Finding(code=PatchCode.BINARY, text=text)


def _shape_warnings(change: FileChange) -> Iterator[Finding]:
    if change.kind is ChangeKind.ADDED and change.new_mode == EXECUTABLE:
        yield Finding(code=PatchCode.EXECUTABLE, text=f"{shown(change.path)} is a new executable file.")
    if matched(change.path, LOCKFILES):
        yield Finding(
            code=PatchCode.LOCKFILE, text=f"{shown(change.path)} pins dependencies: look at what it brings in."
        )


def _protected(path: str, rules: PatchPolicy) -> Iterator[tuple[Finding, bool]]:
    """The finding, and whether it refuses."""
    if matched(path, NEVER):
        text = f"{shown(path)} is a workflow file, which OPTR has no permission to push."
        yield Finding(code=PatchCode.PROTECTED, text=text), True
    elif (glob := matched(path, (*PROTECTED, *rules.protected))) is not None:
        blocks = rules.protected_policy == "block"
        consequence = "candidates may not change it" if blocks else "a person must approve the change"
        text = f"{shown(path)} is protected (`{glob}`): {consequence}."
        yield Finding(code=PatchCode.PROTECTED, text=text), blocks


def _collisions(changes: tuple[FileChange, ...], base_paths: frozenset[str]) -> Iterator[Finding]:
    """Paths that are two here and one on a file system that folds case or Unicode, their directories included."""
    yield from _repeated(changes)
    added = {change.path for change in changes if change.old_mode == ABSENT}
    deleted = {change.path for change in changes if change.new_mode == ABSENT}
    if not added:
        return
    present = _Spellings((base_paths - deleted) | added)
    for path in sorted(added):
        for spelling in _prefixes(path):
            if (other := present.other_than(spelling)) is not None:
                text = f"{shown(path)} and {shown(other)} are one path where case or Unicode form does not count."
                yield Finding(code=PatchCode.PATH_COLLISION, text=text)
        below = next((parent for parent in list(_prefixes(path))[:-1] if parent in present.files), None)
        if below is not None:
            text = f"{shown(path)} lies below {shown(below)}, which is a file."
            yield Finding(code=PatchCode.PATH_COLLISION, text=text)


def _repeated(changes: tuple[FileChange, ...]) -> Iterator[Finding]:
    """A path may appear twice only as deleted, then added: git's way to write a change of type."""
    kinds: dict[str, list[ChangeKind]] = {}
    for change in changes:
        kinds.setdefault(change.path, []).append(change.kind)
    for path, seen in kinds.items():
        if len(seen) > 1 and seen != [ChangeKind.DELETED, ChangeKind.ADDED]:
            yield Finding(code=PatchCode.PATH_COLLISION, text=f"{shown(path)} appears {len(seen)} times.")


def _prefixes(path: str) -> Iterator[str]:
    """`a`, `a/b`, `a/b/c` of `a/b/c`."""
    segments = path.split("/")
    return ("/".join(segments[: end + 1]) for end in range(len(segments)))


class _Spellings:
    """Every path and directory of a tree, by its folded form."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.files = frozenset(paths)
        whole = {prefix for path in self.files for prefix in _prefixes(path)}
        self._by_fold: dict[str, list[str]] = {}
        for prefix in sorted(whole):
            self._by_fold.setdefault(fold(prefix), []).append(prefix)

    def other_than(self, spelling: str) -> str | None:
        """Another spelling of the same folded path, or None."""
        return next((other for other in self._by_fold.get(fold(spelling), ()) if other != spelling), None)
