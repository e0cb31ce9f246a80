"""`optr init`: a configuration to start from, with the checks that were recognised."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.options import Repo, Verbose
from bot.cli.output import emit, say
from bot.cli.scaffold import repository, write_new
from bot.errors import OptrError
from bot.exit_codes import ExitCode

if TYPE_CHECKING:
    from execution.config import Check

EPILOG = """Examples:

optr init

optr init --repo ~/src/thing && git -C ~/src/thing add .github/optr.yml"""

_CONFIG = """\
# OPTR's rules for this repository. They are read from the default branch only, so a candidate cannot change the rules
# that it is judged by. Every key has a default; a misspelt key is an error.
version: 1

# Who competes. Profiles that ship: claude, codex, copilot, mscopilot; your own: `optr new-agent NAME`.
agents: [codex, claude]

# What judges every candidate, twice: on its own tree, and with the original tests and configuration restored. Commands
# run by `sh -c` in the root, in a sandbox without network; only their exit codes count. `proves` names what holds when
# a check passes; a check with `required: false` is told and rejects nobody.
{checks}
# What the checks need and the repository does not hold, fetched once per base commit, before any agent starts.
# prepare:
#   run: pip install --target .optr-deps -r requirements.txt

scoring:
  # balanced: measured invariants, time, execution, the intent's fit.
  profile: balanced
  # The least score that may win; below it there is no winner.
  accept_score: "0"

review:
  # Humans who must approve the winner's pull request, never counting the one who asked.
  approvals: 1
  two_person: true
  # Agents with the role reviewer who see admissible patches without their authors' names, and may veto them.
  reviewers: []

patch:
  files_max: 100
  bytes_max: 1048576
  binary: false
  # Paths that no candidate may touch, beside workflows, CODEOWNERS, agent instructions and this file.
  protected: []
"""
_EXAMPLE = """\
# checks:
#   - id: tests
#     run: make test
#     proves: [tested]
#     timeout_s: 300
"""


def init(*, repo: Repo = Path(), verbose: Verbose = False) -> ExitCode:
    """Write .github/optr.yml with comments and the test commands that were recognised.

    Files of the newest commit are looked at by name, none is run. An existing file is left as it is.
    """
    del verbose  # read by `bot.cli.app.run`
    from execution.checks import detect  # noqa: PLC0415 - `--help` must not wait for these
    from execution.config import CONFIG_PATH  # noqa: PLC0415
    from execution.gitcmd import GitError, run_git  # noqa: PLC0415

    place = repository(repo)
    try:
        listed = run_git(place.git_dir, "ls-tree", "-r", "-z", "--name-only", "HEAD")
    except GitError:
        remedy = "Commit something first: git add --all && git commit"
        raise OptrError("the repository has no commit to look at", where=str(place.top), remedy=remedy) from None
    checks, source = detect(path for path in listed.decode("utf-8", "replace").split("\0") if path)
    path = write_new(place.top, CONFIG_PATH, config_text(checks))
    emit(str(path))
    say(source)
    say("edit it and commit it: OPTR reads it from the default branch")
    return ExitCode.OK


def config_text(checks: "Sequence[Check]") -> str:
    """The configuration's text; it passes the same reader as every configuration."""
    declared = "checks:\n" + "".join(_check(check) for check in checks) if checks else _EXAMPLE
    return _CONFIG.format(checks=declared)


def _check(check: "Check") -> str:
    # JSON's strings are YAML's double-quoted ones, whatever characters a command has.
    return (
        f"  - id: {check.id}\n"
        f"    run: {json.dumps(check.run)}\n"
        f"    proves: [{', '.join(check.proves)}]\n"
        f"    timeout_s: {check.timeout_s}\n"
    )
