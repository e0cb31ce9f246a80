"""What each thing we do on GitHub needs, and the App's manifest made from it. app.yml must say the same.

Names and levels: https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

Permissions = Mapping[str, str]

_RANK = {"read": 1, "write": 2}


class Operation(StrEnum):
    """Things we do on GitHub."""

    FETCH = "fetch"
    PUSH = "push"
    READ_COMMIT = "read_commit"
    COMMENT = "comment"
    REACT = "react"
    READ_ISSUES = "read_issues"
    CHECK_RUN = "check_run"
    PULL_REQUEST = "pull_request"
    READ_REVIEWS = "read_reviews"
    READ_PERMISSION = "read_permission"
    HEAR_MERGE_QUEUE = "hear_merge_queue"


NEEDED: Mapping[Operation, Permissions] = {
    Operation.FETCH: {"contents": "read"},
    Operation.PUSH: {"contents": "write"},
    Operation.READ_COMMIT: {"contents": "read"},
    Operation.COMMENT: {"issues": "write"},
    Operation.REACT: {"issues": "write"},
    Operation.READ_ISSUES: {"issues": "read"},
    Operation.CHECK_RUN: {"checks": "write"},
    Operation.PULL_REQUEST: {"pull_requests": "write", "contents": "read"},
    Operation.READ_REVIEWS: {"pull_requests": "read"},
    Operation.READ_PERMISSION: {"metadata": "read"},
    Operation.HEAR_MERGE_QUEUE: {"merge_queues": "read"},
}

EVENTS = ("issues", "issue_comment", "pull_request", "pull_request_review", "check_run", "merge_group", "repository")
"""Webhook events the App subscribes to."""

UNASKED_EVENTS = ("installation", "installation_repositories")
"""Webhook events that come to every App and must not be subscribed to."""


def needed_for(operations: Iterable[Operation]) -> dict[str, str]:
    """The least permissions for all of `operations`; `metadata: read` comes with every token."""
    needed = {"metadata": "read"}
    for operation in operations:
        for name, level in NEEDED[operation].items():
            if _RANK[level] > _RANK.get(needed.get(name, ""), 0):
                needed[name] = level
    return dict(sorted(needed.items()))


GIT_PERMISSIONS = needed_for((Operation.FETCH, Operation.PUSH))
"""The token that a git child process sees: contents only."""

API_PERMISSIONS = needed_for(set(Operation) - {Operation.PUSH, Operation.HEAR_MERGE_QUEUE})
"""The token that never leaves our process: it cannot push."""

COPILOT_PERMISSIONS = {"copilot_requests": "write"}
"""The token of a Copilot agent: it can ask Copilot at the installation's cost and touch nothing of the repository.

Minted by itself and only for agents of type `github-copilot`; an App whose operator uses none does not ask for it.
https://github.com/github/copilot-sdk
"""

READING_PERMISSIONS = needed_for((Operation.FETCH,))
"""The token with which git fetches: it cannot push."""

METADATA_PERMISSIONS = needed_for(())
"""The token that lists an installation's repositories."""

APP_PERMISSIONS = needed_for(Operation)
"""What the App asks of an installation."""
