"""What a Copilot agent needs of GitHub: a token that may ask Copilot, and the newest commits through the API."""

from typing import Any

from bot.github.errors import GitHubError
from bot.github.installations import Installations
from bot.github.permissions import COPILOT_PERMISSIONS, Operation, needed_for
from bot.github.tokens import Scope
from execution.agents.copilot import CopilotTokenError
from execution.agents.history import COMMITS_MAX, CommitHistory, HistoryError, commit_of
from execution.records import Commit

SOURCE = "GitHub's API"
HISTORY_PERMISSIONS = needed_for([Operation.READ_COMMIT])


class CopilotGitHub:
    """Serves Copilot agents of repositories that have the App installed.

    Args:
        installations: the App's clients and tokens.
    """

    def __init__(self, installations: Installations) -> None:
        self._installations = installations

    async def token(self, repository: str) -> str:
        """A token that can ask Copilot at the cost of whoever installed the App, and nothing else.

        Raises:
            CopilotTokenError: the installation does not grant it, or GitHub cannot be asked.
        """
        try:
            installation = await self._installation(repository)
            return await self._installations.tokens.token(Scope.of(installation, repository, COPILOT_PERMISSIONS))
        except GitHubError as error:
            raise CopilotTokenError(
                f"{error}; the App needs the permission copilot_requests: write, accepted by the installation, "
                "and Copilot enabled for its owner"
            ) from error

    async def history(self, repository: str, commit: str) -> CommitHistory:
        """The newest commits at `commit`.

        Raises:
            HistoryError: GitHub does not tell.
        """
        try:
            installation = await self._installation(repository)
            client = self._installations.client(installation, repository, HISTORY_PERMISSIONS)
            query = f"/repos/{repository}/commits?sha={commit}&per_page={COMMITS_MAX}"
            commits = tuple(_commit(item) for item in await client.getitem(query))
        except GitHubError as error:
            raise HistoryError(f"GitHub does not tell the commits: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError):
            raise HistoryError("GitHub's list of commits cannot be read") from None
        return CommitHistory(commits=commits[:COMMITS_MAX], source=SOURCE, from_api=True)

    async def _installation(self, repository: str) -> int:
        answer = await self._installations.app.getitem(f"/repos/{repository}/installation")
        return int(answer["id"])


def _commit(item: Any) -> Commit:
    inner = item["commit"]
    author, committer = inner.get("author") or {}, inner.get("committer") or {}
    parents = tuple(parent["sha"] for parent in item["parents"])
    return commit_of(item["sha"], parents, inner["message"], author.get("name") or "", committer.get("date") or "")
