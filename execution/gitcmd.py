"""Host git: argv lists, a scrubbed environment, a deadline, and never a configuration that somebody else wrote.

Every call names its git directory, so git discovers nothing, asks nobody who owns what, and reads no configuration
but that directory's own and the switches below. Run it only on git directories that no sandbox can write.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from git import Git

GIT_SECONDS_MAX = 120.0
STDERR_SHOWN_MAX = 2_000  # characters of git's own words in an error

_KEPT = frozenset(
    {"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
)

_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "HOME": "/nonexistent",
}

_SWITCHES = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "credential.helper=",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    # A closed list of transports: `file` is for a caller to grant (`-c protocol.file.allow=always`), `ext` for nobody.
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
)


class GitError(RuntimeError):
    """Git refused or broke.

    Attributes:
        argv: git's arguments, without our switches.
        exit: exit status; negative when a signal ended it, the deadline included.
        stderr: what git said, at most `STDERR_SHOWN_MAX` characters.
    """

    def __init__(self, argv: Sequence[str], exit: int, stderr: str) -> None:  # noqa: A002  # the word of the contract
        self.argv = tuple(argv)
        self.exit = exit
        self.stderr = stderr[-STDERR_SHOWN_MAX:].strip()
        super().__init__(f"git {' '.join(argv)[:200]} ended with {exit}: {self.stderr or 'no explanation given'}")

    def __reduce__(self) -> tuple[type["GitError"], tuple[Sequence[str], int, str]]:
        """As the engine's journal keeps it: a run that was interrupted reads its failures again."""
        return GitError, (self.argv, self.exit, self.stderr)


def run_git(
    git_dir: Path,
    *args: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    work_tree: Path | None = None,
    timeout_s: float = GIT_SECONDS_MAX,
) -> bytes:
    """Run one git command against `git_dir` and return its standard output, untouched.

    Args:
        git_dir: a git directory of ours; the working directory of the command.
        args: git's arguments. Put `--` before anything that came from outside.
        stdin: bytes on standard input.
        env: further variables, secrets allowed (they never reach argv); wins over the scrubbed ones.
        work_tree: the work tree, when the command needs one; None means none.
        timeout_s: seconds until it is killed.

    Raises:
        GitError: with arguments, exit status and git's words.
    """
    variables = {**_ENVIRONMENT, "GIT_DIR": str(git_dir.absolute())}
    if work_tree is not None:
        variables["GIT_WORK_TREE"] = str(work_tree.absolute())
    variables.update(env or {})
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        status, output, words = Git(str(git_dir.absolute())).execute(
            [*_forget(variables), "git", *_switches(), *args],
            istream=source,
            env=variables,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            kill_after_timeout=timeout_s,
        )
    if status != 0:
        raise GitError(args, status, str(words))
    return bytes(output)


def _switches() -> list[str]:
    return [word for switch in _SWITCHES for word in ("-c", switch)]


def _forget(kept: Mapping[str, str]) -> list[str]:
    """`env -u …` for whatever this process carries: GitPython adds variables to ours but cannot take any away."""
    names = sorted(name for name in os.environ if name not in _KEPT and name not in kept)
    return ["env", *(word for name in names for word in ("-u", name))]
