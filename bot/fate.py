"""What became of a pull request of ours, in the words of the closing ledger line."""

from dataclasses import dataclass

from bot.payloads import Account, PullRequest
from governance.states import RunOutcome

UNKNOWN_ACTOR = "github"  # GitHub's API does not say who closed a pull request unmerged; its event does


@dataclass(frozen=True)
class Fate:
    """How a run ends with its pull request.

    Attributes:
        outcome: accepted when merged, else rejected.
        by: login of whoever did it; a bot under its own name.
        facts: further members of the closing line.
    """

    outcome: RunOutcome
    by: str
    facts: dict[str, str]


def fate_of(pull: PullRequest, sender: Account | None) -> Fate:
    """Read a closed pull request; `sender` is who the event says did it, None when it was found closed."""
    actor = (pull.merged_by if pull.merged else None) or sender
    facts = {
        "pull_request": str(pull.number),
        "merged": "true" if pull.merged else "false",
        "head": pull.head.sha,
        "actor_type": "unknown" if actor is None else "bot" if actor.is_bot else "human",
    }
    if pull.merged and pull.merge_commit_sha:
        facts["merge_commit"] = pull.merge_commit_sha
    outcome = RunOutcome.ACCEPTED if pull.merged else RunOutcome.REJECTED
    return Fate(outcome, actor.login if actor else UNKNOWN_ACTOR, facts)
