"""The bare repositories behind the local GitHub, driven by stock git."""

import asyncio
import hashlib
import os
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NULL_SHA = "0" * 40
CGI_HEADER_END = b"\r\n\r\n"
FIRST_COMMIT_TIME = 1_700_000_000
# Refuses what GitHub refuses before a ref moves; the facade says by environment what that is for this push.
PRE_RECEIVE = """#!/bin/sh
while read -r old new ref; do
  case " $FACADE_PROTECTED " in
    *" $ref "*) echo "GH013: Repository rule violations found for $ref" >&2; exit 1 ;;
  esac
  case "$ref" in
    refs/pull/*) echo "deny updating a hidden ref" >&2; exit 1 ;;
  esac
  [ "$FACADE_WORKFLOWS" = write ] && continue
  [ "$new" = 0000000000000000000000000000000000000000 ] && continue
  touched=$(git log -m --first-parent --name-only --format= "$new" --not --all -- .github/workflows | head -n 1)
  if [ -n "$touched" ]; then
    printf 'refusing to allow a GitHub App to create or update workflow `%s` ' "$touched" >&2
    echo 'without `workflows` permission' >&2
    exit 1
  fi
done
"""


class GitError(RuntimeError):
    """A git command failed; the message carries its error output."""


class GitConflictError(GitError):
    """Two commits cannot be merged without a human."""


@dataclass(frozen=True)
class GitObject:
    """One object: its SHA-1, its type and its content without header."""

    sha: str
    type: str
    data: bytes


@dataclass(frozen=True)
class GitRepository:
    """One bare repository."""

    path: Path

    async def git(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        """Run git here and return its output. Raises GitError."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self.path,
            env=git_environment() | dict(extra or {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin)
        if process.returncode:
            raise GitError(f"git {' '.join(arguments)}: {process.returncode} {err.decode(errors='replace')}", out)
        return out

    async def refs(self) -> dict[str, str]:
        """Return every ref and the object it names."""
        text = await self.git("for-each-ref", "--format=%(objectname) %(refname)")
        return {line[41:]: line[:40] for line in text.decode().splitlines()}

    async def set_ref(self, ref: str, sha: str | None) -> None:
        """Point a ref at an object, or delete it."""
        await (self.git("update-ref", "-d", ref) if sha is None else self.git("update-ref", ref, sha))

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether ``newer`` contains ``older``."""
        try:
            await self.git("merge-base", "--is-ancestor", older, newer)
        except GitError:
            return False
        return True

    async def commits_between(self, base: str, head: str) -> list[str]:
        """Return the commits of ``head`` that ``base`` lacks, oldest first."""
        excluded = [] if base == NULL_SHA else [f"^{base}"]
        return (await self.git("rev-list", "--reverse", head, *excluded)).decode().split()

    async def changed_files(self, sha: str) -> dict[str, list[str]]:
        """Return the paths a commit added, removed and modified against its first parent."""
        text = await self.git("diff-tree", "--root", "--no-commit-id", "-r", "-z", "--name-status", "-m", sha)
        fields = text.decode().split("\0")
        changed: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
        for status, path in zip(fields[0::2], fields[1::2], strict=False):
            changed[{"A": "added", "D": "removed"}.get(status, "modified")].append(path)
        return changed

    async def merge_tree(self, base: str, head: str) -> str:
        """Return the tree of a three-way merge. Raises GitConflictError."""
        try:
            text = await self.git("merge-tree", "--write-tree", base, head)
        except GitError as error:
            raise GitConflictError(str(error)) from error
        return text.decode().split()[0]

    async def commit_tree(self, tree: str, parents: Sequence[str], message: str, author: tuple[str, str]) -> str:
        """Write a commit of a tree and return its SHA-1."""
        flags = [part for parent in parents for part in ("-p", parent)]
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _who(author)}
        return (await self.git("commit-tree", tree, *flags, stdin=message.encode(), extra=who)).decode().strip()

    async def objects(self, new: Iterable[str], known: Iterable[str]) -> AsyncIterator[GitObject]:
        """Yield what is reachable from ``new`` and not from ``known``."""
        wanted = "\n".join([*new, *(f"^{sha}" for sha in known)]) + "\n"
        listed = await self.git("rev-list", "--objects", "--stdin", stdin=wanted.encode())
        if not listed:
            return
        names = b"\n".join(line[:40] for line in listed.splitlines()) + b"\n"
        batch = await self.git("cat-file", "--batch", stdin=names)
        at = 0
        while at < len(batch):
            end = batch.index(b"\n", at)
            sha, kind, size = batch[at:end].decode().split()
            yield GitObject(sha, kind, batch[end + 1 : end + 1 + int(size)])
            at = end + 2 + int(size)

    def write_object(self, one: GitObject) -> None:
        """Store an object loose. Raises GitError when its content does not hash to its name."""
        content = f"{one.type} {len(one.data)}\0".encode() + one.data
        actual = hashlib.sha1(content).hexdigest()
        if actual != one.sha:
            raise GitError(f"the emulator's {one.type} {one.sha} is {actual} in git")
        target = self.path / "objects" / one.sha[:2] / one.sha[2:]
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(zlib.compress(content))

    async def first_commit(self, branch: str, files: Mapping[str, bytes], author: tuple[str, str]) -> str:
        """Commit files on a new branch and return the commit."""
        parts = [f"commit refs/heads/{branch}\n".encode()]
        parts.append(f"committer {author[0]} <{author[1]}> {FIRST_COMMIT_TIME} +0000\n".encode())
        parts.append(b"data 15\nInitial commit\n\n")
        for path, data in files.items():
            parts.append(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
        await self.git("fast-import", "--quiet", stdin=b"".join(parts))
        return (await self.refs())[f"refs/heads/{branch}"]


@dataclass(frozen=True)
class GitStore:
    """All bare repositories, as ``root/owner/name.git``."""

    root: Path

    def repository(self, full_name: str) -> GitRepository:
        """Return a repository, which may not exist yet."""
        return GitRepository(self.root / f"{full_name}.git")

    async def create(self, full_name: str, default_branch: str) -> GitRepository:
        """Make an empty bare repository."""
        made = self.repository(full_name)
        made.path.mkdir(parents=True)
        await made.git("init", "--quiet", "--bare", f"--initial-branch={default_branch}", ".")
        settings = {
            "http.receivepack": "true",
            "uploadpack.allowFilter": "true",
            "uploadpack.allowReachableSHA1InWant": "true",
            "receive.advertisePushOptions": "true",
            "gc.auto": "0",
        }
        with (made.path / "config").open("a") as config:
            config.writelines(
                f"[{key.split('.')[0]}]\n\t{key.split('.')[1]} = {value}\n" for key, value in settings.items()
            )
        hook = made.path / "hooks" / "pre-receive"
        hook.write_text(PRE_RECEIVE)
        hook.chmod(0o755)
        return made

    async def serve(self, request: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Answer one smart HTTP request through ``git http-backend``; ``request`` is its CGI environment."""
        environment = git_environment() | {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", **request}
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(body)
        if CGI_HEADER_END not in out:
            raise GitError(f"git http-backend: {process.returncode} {err.decode(errors='replace')}")
        head, _, content = out.partition(CGI_HEADER_END)
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return int(headers.pop("Status", "200").split()[0]), headers, content


def git_environment() -> dict[str, str]:
    """Return an environment in which the machine's own git configuration plays no part."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C",
    }


def _who(author: tuple[str, str]) -> list[tuple[str, str]]:
    return [("NAME", author[0]), ("EMAIL", author[1])]
