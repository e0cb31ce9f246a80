"""git over https: one bare cache per repository, and a token that only ever stands in a child's environment.

Nothing of the remote is trusted: other protocols and redirects are off here; hooks, credential helpers and the
machine's configuration are off for every git of ours; tags and submodules are never fetched; names are checked before
they become paths.
"""

import asyncio
import base64
import math
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from bot.github.client import TIMEOUT_S
from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.transfers import transfer, unauthorised
from execution import crashpoints
from execution.gitcmd import GIT_SECONDS_MAX, GitError, run_git
from execution.turns import Turns

CACHE = "repos"  # directory in the state: a bare copy of each repository
DATALAKE_REF = "refs/heads/datalake"
STALL_BYTES_PER_S = 1000
STALL_TIMES = 2  # a transfer may stand still for this many times the longest that an answer may take
TRANSFER_S_MAX = 1800.0

_REFSPEC = "+refs/heads/*:refs/heads/*"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_REF = re.compile(r"refs/heads/(?!.*(\.\.|//|\.lock(/|$)|/\.|\.(/|$)))[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}(?<!/)")
_SYMREF = re.compile(r"ref: (refs/heads/\S+)\tHEAD")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

T = TypeVar("T")


class ContentsToken(Protocol):
    """Gives a token for git and one repository of an installation."""

    async def __call__(self, installation: int, repository: str, /, *, pushes: bool = True, refused: str = "") -> str:
        """The token, which cannot push unless asked; `refused` is one that GitHub did not accept, so give another."""
        ...


class NameRefusedError(ValueError):
    """A repository, ref or commit name that never becomes a path or an argument."""


def checked_repository(repository: str) -> str:
    """Return `owner/name` in lower case, as GitHub compares it.

    Raises:
        NameRefusedError: it is not such a name.
    """
    if not _REPOSITORY.fullmatch(repository) or repository.lower().endswith(".git"):
        raise NameRefusedError(f"{repository[:80]!r} is not a GitHub repository: expected owner/name")
    return repository.lower()


def checked_ref(ref: str) -> str:
    """Return a branch ref of plain ASCII letters.

    Raises:
        NameRefusedError: it is not such a ref.
    """
    if not _REF.fullmatch(ref):
        raise NameRefusedError(f"{ref[:80]!r} is not a branch ref that OPTR writes: expected refs/heads/name")
    return ref


def checked_commit(commit: str) -> str:
    """Return a full lower-case hex object id.

    Raises:
        NameRefusedError: it is not one.
    """
    if not _COMMIT.fullmatch(commit):
        raise NameRefusedError(f"{commit[:80]!r} is not a full commit id")
    return commit


def remote_environment(web_url: str, token: str, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """The environment with which git may talk to `web_url` and to nothing else.

    The header is bound to that host, so that not even a configured redirect could carry it elsewhere.
    """
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    config = (
        (f"http.{web_url.rstrip('/')}/.extraHeader", f"Authorization: Basic {basic}"),
        ("http.followRedirects", "false"),
        ("http.lowSpeedLimit", str(STALL_BYTES_PER_S)),
        ("http.lowSpeedTime", str(max(1, math.ceil(STALL_TIMES * timeout_s)))),
        ("core.askPass", ""),
        ("push.recurseSubmodules", "no"),
    )
    numbered = {
        f"GIT_CONFIG_{part}_{n}": text[part == "VALUE"] for n, text in enumerate(config) for part in ("KEY", "VALUE")
    }
    return {
        "GIT_CONFIG_COUNT": str(len(config)),
        "GIT_ALLOW_PROTOCOL": urllib.parse.urlsplit(web_url).scheme,
        **numbered,
    }


class GitRemote:
    """Repositories of one GitHub, cached bare under `<state>/repos/<owner>/<name>.git`.

    Args:
        state: directory for OPTR's state.
        web_url: OPTR_GITHUB_URL.
        token: see ContentsToken.
        timeout_s: how long GitHub may take to answer, seconds.
    """

    def __init__(self, state: Path, web_url: str, token: ContentsToken, timeout_s: float = TIMEOUT_S) -> None:
        self._root = state / CACHE
        self._web_url = web_url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._turns = Turns(self._root)

    def path(self, repository: str) -> Path:
        """Where the cache of `owner/name` stands.

        Raises:
            NameRefusedError: it is not a repository name.
        """
        return self._root / (checked_repository(repository) + ".git")

    def url(self, repository: str) -> str:
        """The clone URL of `owner/name`; never holds a credential."""
        checked_repository(repository)
        return f"{self._web_url}/{repository}.git"

    def lock(self, repository: str) -> AbstractAsyncContextManager[None]:
        """Held while anything, here or in another process, writes the cache or the ledger of `owner/name`."""
        return self._turns.of(checked_repository(repository))

    async def authorised(
        self,
        installation: int,
        repository: str,
        use: Callable[[Mapping[str, str]], Awaitable[T]],
        *,
        pushes: bool = True,
    ) -> T:
        """`use` with the environment of a git child that may talk to `owner/name`; it holds a token, so never log it.

        With `pushes` off the token can only read: what follows a run's end must not keep one alive that can push.

        When GitHub does not accept the token, which may have been revoked long before its hour was over, once more with
        a new one.
        """
        token = await self._token(installation, repository, pushes=pushes)
        try:
            return await use(remote_environment(self._web_url, token, self._timeout_s))
        except GitHubError as error:
            if error.code is not GitHubErrorCode.UNAUTHORISED:
                raise
        token = await self._token(installation, repository, pushes=pushes, refused=token)
        return await use(remote_environment(self._web_url, token, self._timeout_s))

    async def fetch(self, installation: int, repository: str) -> Path:
        """Bring the cache up to date and return it: branches only, HEAD at the default branch.

        Raises:
            GitHubError: GitHub did not answer or refused.
            NameRefusedError: it is not a repository name.
        """
        path = self.path(repository)

        async def fetched(environment: Mapping[str, str]) -> None:
            async with self.lock(repository):
                await asyncio.to_thread(fetch_heads, path, self.url(repository), environment)

        await self.authorised(installation, repository, fetched, pushes=False)
        return path

    async def fetch_pull(self, installation: int, repository: str, number: int) -> Path:
        """Bring the cache up to date, and a pull request's head with it, wherever its branch lives.

        Raises:
            GitHubError: GitHub did not answer or refused.
            NameRefusedError: it is not a repository name.
        """
        path = await self.fetch(installation, repository)

        async def fetched(environment: Mapping[str, str]) -> None:
            async with self.lock(repository):
                await asyncio.to_thread(fetch_head_of, path, self.url(repository), environment, number)

        await self.authorised(installation, repository, fetched, pushes=False)
        return path

    async def holding(self, installation: int, repository: str, commit: str) -> Path:
        """The cache, fetched only if it does not hold `commit` yet.

        Raises:
            GitHubError: GitHub did not answer or refused.
            NameRefusedError: it is not a repository name, or not a commit id.
        """
        path, wanted = self.path(repository), checked_commit(commit)
        if await asyncio.to_thread(_holds, path, wanted):
            return path
        return await self.fetch(installation, repository)

    async def push(self, installation: int, repository: str, commit: str, ref: str) -> None:
        """Push `commit` to `ref`, which must be absent or an ancestor; pushing again is a no-op.

        Raises:
            GitHubError: GIT_REFUSED when somebody else moved the ref; GIT_FAILED otherwise.
            NameRefusedError: a name is not what it should be.
        """
        path = self.path(repository)

        async def pushed(environment: Mapping[str, str]) -> None:
            async with self.lock(repository):
                await asyncio.to_thread(push_commit, path, self.url(repository), environment, commit, ref)

        await self.authorised(installation, repository, pushed)


def _holds(git_dir: Path, commit: str) -> bool:
    try:
        run_git(git_dir, "cat-file", "-e", f"{commit}^{{commit}}")
    except (GitError, OSError):
        return False
    return True


def fetch_heads(git_dir: Path, url: str, environment: Mapping[str, str]) -> None:
    """Create the bare cache if need be and mirror the remote's branches into it, its HEAD included.

    Commits of ours that no branch holds yet stay: nothing is ever collected in a cache.

    Raises:
        GitHubError: UNAUTHORISED, the token is not accepted; GIT_FAILED otherwise, with git's last words.
    """
    call = Call("GIT", f"fetch {urllib.parse.urlsplit(url).path}")
    try:
        if not (git_dir / "HEAD").is_file():
            git_dir.mkdir(parents=True, exist_ok=True)
            run_git(git_dir, "init", "--quiet", "--bare", "--template=")
        words = ("fetch", "--quiet", "--no-tags", "--prune", "--no-write-fetch-head", url, _REFSPEC)
        transfer(git_dir, *words, env=environment, timeout_s=TRANSFER_S_MAX)
        listed = transfer(git_dir, "ls-remote", "--symref", url, "HEAD", env=environment, timeout_s=GIT_SECONDS_MAX)
        _follow_head(git_dir, listed)
    except GitError as error:
        raise GitHubError(_code(error), call, _last_words(error)) from None


def fetch_head_of(git_dir: Path, url: str, environment: Mapping[str, str], number: int) -> None:
    """Fetch a pull request's head from the repository that it asks to be merged into.

    Raises:
        GitHubError: UNAUTHORISED, the token is not accepted; GIT_FAILED otherwise, with git's last words.
    """
    call = Call("GIT", f"fetch {urllib.parse.urlsplit(url).path}")
    ref = f"refs/pull/{number:d}/head"
    words = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", url, f"+{ref}:{ref}")
    try:
        transfer(git_dir, *words, env=environment, timeout_s=TRANSFER_S_MAX)
    except GitError as error:
        raise GitHubError(_code(error), call, _last_words(error)) from None


def _follow_head(git_dir: Path, listed: bytes) -> None:
    """Point our HEAD at the remote's default branch, of which a run without a base branch is made."""
    found = _SYMREF.match(listed.decode("utf-8", "replace"))
    if found and not found.group(1).startswith("-"):
        run_git(git_dir, "symbolic-ref", "HEAD", found.group(1))


def push_commit(git_dir: Path, url: str, environment: Mapping[str, str], commit: str, ref: str) -> None:
    """Push without force, and judge by the remote's ref: an answer lost on the way is no failure.

    Raises:
        GitHubError: GIT_REFUSED when the ref stands elsewhere; UNAUTHORISED when the token is not accepted; GIT_FAILED
            when it could not be read or written.
        NameRefusedError: `commit` or `ref` is not what it should be.
    """
    call = Call("GIT", f"push {urllib.parse.urlsplit(url).path} {checked_ref(ref)}")
    refspec = f"{checked_commit(commit)}:{ref}"
    try:
        transfer(git_dir, "push", "--quiet", url, refspec, env=environment, timeout_s=TRANSFER_S_MAX)
        crashpoints.count("git_push")
    except GitError as error:
        tip = _remote_tip(git_dir, url, environment, ref)
        if tip == commit:
            return
        moved = tip is not None and not _is_ancestor(git_dir, tip, commit)
        code = GitHubErrorCode.GIT_REFUSED if moved else _code(error)
        raise GitHubError(code, call, _last_words(error)) from None


def _remote_tip(git_dir: Path, url: str, environment: Mapping[str, str], ref: str) -> str | None:
    """Where the remote's `ref` stands; None when it is absent or cannot be read."""
    try:
        listed = transfer(git_dir, "ls-remote", "--refs", url, ref, env=environment, timeout_s=GIT_SECONDS_MAX)
    except GitError:
        return None
    for line in listed.decode("ascii", "replace").splitlines():
        commit, _, name = line.partition("\t")
        if name == ref:
            return commit
    return None


def _is_ancestor(git_dir: Path, tip: str, commit: str) -> bool:
    try:
        run_git(git_dir, "merge-base", "--is-ancestor", tip, commit)
    except GitError:
        return False
    return True


def _code(error: GitError) -> GitHubErrorCode:
    return GitHubErrorCode.UNAUTHORISED if unauthorised(error) else GitHubErrorCode.GIT_FAILED


def _last_words(error: GitError) -> str:
    """Why a ref was refused, or else git's own last line, which says of a push only that it failed; on one line."""
    lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    refused = [line for line in lines if line.startswith("! [")]
    return (refused or lines)[-1][:300] if lines else f"git ended with {error.exit}"
