"""A run's row: what survives a crash between two steps."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from governance.states import RunOutcome, RunState

NO_FACTS: Mapping[str, str] = MappingProxyType({})
"""Nothing more is said of a run's end."""


class Source(StrEnum):
    """What started a run."""

    CLI = "cli"
    GITHUB = "github"


class Run(BaseModel):
    """One governed execution of one intent, as stored.

    Attributes:
        id: 16 hex digits, derived from what asked for it, so that asking twice is asking once.
        source: CLI or GITHUB.
        repository: `owner/name`, or an absolute path for a local repository.
        installation: GitHub installation id; 0 for CLI.
        issue: issue number; 0 for CLI.
        workflow: directory under datalake/workflows/, unique in the ledger (`issue-7`, `issue-7.2`).
        requester: who asked: login or local user name.
        requester_id: GitHub's number of that account, which survives renaming; 0 when it is not known.
        title, body: the request, sanitised and cut; untrusted.
        intent_sha256: hex SHA-256 of the original title, a line feed, and the original body.
        constraints: short names.
        agents: names to race; empty means those of the repository's configuration.
        definition: a workflow's text; empty means what the repository's configuration names.
        definition_path: the file's name, for messages.
        base_branch: default branch; empty until fetched.
        base_commit: hex object id; empty until planned.
        state, outcome: see governance.states.
        problem: one sentence when it failed, was refused or has no winner.
        code: that problem's reason code; empty without one.
        pull_request: number; 0 until opened.
        head_commit, head_tree: the recorded winner's; empty without one.
        created_ms: when it was asked for, milliseconds since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    source: Source
    repository: str
    installation: int = 0
    issue: int = 0
    workflow: str
    requester: str
    requester_id: int = 0
    title: str
    body: str = ""
    intent_sha256: str
    constraints: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    definition: str = ""
    definition_path: str = ""
    base_branch: str = ""
    base_commit: str = ""
    state: RunState = RunState.RECEIVED
    outcome: RunOutcome | None = None
    problem: str | None = None
    code: str = ""
    pull_request: int = 0
    head_commit: str = ""
    head_tree: str = ""
    created_ms: int

    def is_requester(self, login: str, account: int) -> bool:
        """Whether this account asked for the run: by its number where both are known, because logins change hands."""
        if self.requester_id and account:
            return self.requester_id == account
        return login.lower() == self.requester.lower()
