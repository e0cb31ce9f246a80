"""What callers ask to be appended, checked before anything is written; several requests may share one commit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ledger.branch import GitDir
from ledger.commit import PLAIN_FILE, Blob
from ledger.entry import Draft
from ledger.errors import DraftError
from ledger.layout import DIRECTORY, check_file, check_nesting, check_workflow_name


@dataclass(frozen=True)
class Request:
    """One caller's drafts and files; made by `of`.

    Attributes:
        drafts: at least one, ids distinct.
        files: content by path relative to `datalake/`.
    """

    drafts: tuple[Draft, ...]
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Self:
        """Check what can be checked without the ledger.

        Args:
            drafts: at least one, ids distinct.
            files: content by repository path, each under `datalake/workflows/<workflow of a draft>/`.

        Raises:
            DraftError: what is asked can never be written.
        """
        if not drafts:
            raise DraftError("an append needs at least one draft")
        if len({draft.id for draft in drafts}) != len(drafts):
            raise DraftError("two drafts of one append have the same id")
        workflows = [check_workflow_name(draft.workflow) for draft in drafts]
        relative = {check_file(path, len(content), workflows): content for path, content in files.items()}
        check_nesting(set(relative))
        return cls(tuple(drafts), relative)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


class Recorded:
    """What is on the branch already at and beside the files that requests bring.

    Args:
        git: the repository.
        commit: the branch's tip, None when there is none.
        requests: whose files are asked for.
    """

    def __init__(self, git: GitDir, commit: str | None, requests: Iterable[Request]) -> None:
        wanted = {path for request in requests for path in request.files}
        roots = sorted({"/".join([DIRECTORY, *path.split("/")[:2]]) for path in wanted})
        there = git.files(commit, *roots) if commit is not None and roots else {}
        self._there: dict[str, Blob] = {path.removeprefix(f"{DIRECTORY}/"): blob for path, blob in there.items()}
        same = sorted(wanted & set(self._there))
        self._contents = dict(zip(same, git.blobs([self._there[path].oid for path in same]), strict=True))

    def check(self, files: Mapping[str, bytes], others: Mapping[str, bytes]) -> None:
        """Refuse files that would change what is recorded, or what `others` in the same commit bring.

        Raises:
            DraftError: naming the path.
        """
        for path, content in files.items():
            blob = self._there.get(path)
            if blob is not None and (blob.mode != PLAIN_FILE or self._contents[path] != content):
                raise DraftError(
                    f"{DIRECTORY}/{path} is recorded already with other content; records are never changed"
                )
            if others.get(path, content) != content:
                raise DraftError(f"{DIRECTORY}/{path} is being recorded with other content by another append")
        roots = tuple({"/".join([*path.split("/")[:2], ""]) for path in files})
        beside = {path for paths in (self._there, others) for path in paths if path.startswith(roots)}
        check_nesting(beside | set(files))

    def holds(self, path: str) -> bool:
        """Tell whether `path`, relative to `datalake/`, is recorded already."""
        return path in self._there
