"""Git over the network: what failed on the way is tried again, what GitHub refused is not.

Reading never changes anything and a push of the same commit is a no-op the second time, so both may be repeated, as the
API's idempotent calls are. Git tells the cause in words only; they are English because our children have no locale.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bot.github.policy import FAULT_ATTEMPTS_MAX, FAULT_BACKOFF_S
from execution.gitcmd import GitError, run_git

_LOST = re.compile(
    r"returned error: (?:429|5\d\d)|RPC failed|early EOF|hung up|Empty reply|unexpected disconnect"
    r"|[Cc]onnection|Failed to connect|timed out|too slow|transfer closed|Recv failure|[Cc]ould not resolve host"
)
_UNAUTHORISED = re.compile(r"returned error: 401|Authentication failed|could not read Username")


def lost(error: GitError) -> bool:
    """Whether the answer was lost or GitHub was out of order, rather than that it said no."""
    return _LOST.search(error.stderr) is not None


def unauthorised(error: GitError) -> bool:
    """Whether GitHub did not accept the token."""
    return _UNAUTHORISED.search(error.stderr) is not None


def transfer(
    git_dir: Path,
    *args: str,
    env: Mapping[str, str],
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes:
    """Run a git command that talks to GitHub, up to FAULT_ATTEMPTS_MAX times; blocks, so call it in a thread.

    Raises:
        GitError: of the last attempt, or of the first that there is no use in repeating.
    """
    for attempt in range(1, FAULT_ATTEMPTS_MAX):
        try:
            return run_git(git_dir, *args, env=env, timeout_s=timeout_s)
        except GitError as error:
            if not lost(error):
                raise
        sleep(FAULT_BACKOFF_S * 2.0 ** (attempt - 1))
    return run_git(git_dir, *args, env=env, timeout_s=timeout_s)
