"""What `optr witness collect` does, apart from the command line's own parts."""

import os
from pathlib import Path

from bot.cli.output import complain, emit
from bot.cosigning import asked_policy
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible
from bot.settings import LocalSettings
from execution.discovery import NoRepositoryError, locate
from execution.local_ledger import open_ledger
from ledger.branch import GitDir
from ledger.collect import Tree, ask, post
from ledger.errors import WitnessError, WitnessSawOtherError
from ledger.note import Signature, VerifierKey
from ledger.policy import Policy


def collect_here(file: Path, repo: Path) -> ExitCode:
    """Collect cosignatures for the ledger of the repository that `repo` is in; see the command.

    Raises:
        OptrError: the policy names no witness with a URL, or there is no ledger.
        SetupProblem, LedgerError: the ledger's key or its branch cannot be used.
    """
    policy = asked_policy(file)
    try:
        place = locate(repo)
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    git = GitDir(place.common_dir)
    tip = git.tip()
    if tip is None:
        raise OptrError("there is no ledger here", where=str(repo), remedy="optr execute makes its first line")
    state = LocalSettings.from_environ(os.environ).state
    ledger = open_ledger(state, place.common_dir, place.top.name, os.environ)
    tree = Tree.at(git, tip)
    found, worst = _ask_all(policy, tree)
    if found and not ledger.sequencer().keep_cosigned(tree.note.encode(), found):
        complain("the ledger grew meanwhile: collect again")
        return ExitCode.INFRASTRUCTURE
    return worst


def _ask_all(policy: Policy, tree: Tree) -> tuple[dict[VerifierKey, Signature], ExitCode]:
    found: dict[VerifierKey, Signature] = {}
    worst = ExitCode.OK
    for name, url in policy.urls.items():
        key = policy.witnesses[name]
        try:
            found[key] = ask(url, key, tree, post)
            emit(f"cosigned by {key.name}")
        except WitnessError as error:
            complain(visible(str(error)))
            other = isinstance(error, WitnessSawOtherError)
            worst = max(worst, ExitCode.TAMPERED if other else ExitCode.INFRASTRUCTURE)
    return found, worst
