"""What OPTR says in comments of its own accord. Logins and numbers come from GitHub, nothing else is quoted."""

from bot.names import COMMAND_WORD, LABEL
from bot.permissions import Permission
from execution.runs import Run


def refusal(login: str, has: Permission, needs: Permission, asked: str) -> str:
    """A polite no: what was asked, what it takes, whom to ask. Names nobody with an @ but the person refused."""
    return (
        f"@{login}, thank you for the interest. {asked} takes {needs} permission on this repository; yours is {has}. "
        f"Nothing was started or changed. A maintainer can set the label `{LABEL}` on the issue."
    )


def refusal_marker(login: str) -> str:
    """One refusal for each person on each issue, however often they ask."""
    return f"refused-{login.lower().removesuffix('[bot]')}"


def already_running(run: Run) -> str:
    """A run of this issue is active."""
    where = f"in pull request #{run.pull_request}" if run.pull_request else f"{run.state}"
    return (
        f"Run `{run.workflow}` of this issue is still open ({where}), so no second one was started. "
        f"`{COMMAND_WORD} status` shows it, `{COMMAND_WORD} cancel` ends it."
    )


def not_started(run: Run, refused: str) -> str:
    """Why a request started nothing: the words of a refusal, or of the run that stands in its way."""
    return refused or already_running(run)


def already_running_marker(run: Run) -> str:
    """Said once for each run."""
    return f"already-running-{run.id}"


EDITED_WHILE_WAITING = "the issue was edited while its plan waited for approval"


def text_is_frozen(run: Run) -> str:
    """The issue was edited under a run at work."""
    return (
        f"Run `{run.workflow}` goes on with the text that this issue had when it was asked for. "
        f"`{COMMAND_WORD} cancel`, then `{COMMAND_WORD} run`, starts anew with the text as it is now."
    )


def superseded(run: Run, *, again: bool) -> str:
    """A plan that waited was superseded by an edit."""
    then = (
        "A new run has begun with the text as it is now." if again else f"Set the label `{LABEL}` again to start anew."
    )
    return (
        f"The plan of run `{run.workflow}` waited for approval when this issue was edited, so it was superseded. {then}"
    )


def button_is_over(run: Run) -> str:
    """A button of a state that is over."""
    state = str(run.outcome or run.state).replace("_", " ")
    return f"That button belongs to an earlier state; run `{run.workflow}` is {state} now, so nothing was done."


def issue_is_closed() -> str:
    """Closed issues start nothing."""
    return f"This issue is closed, so no run was started. Reopen it, then set the label `{LABEL}` again."


def closing_needs_permission(login: str, run: Run) -> str:
    """A stranger closed the issue under a run."""
    return (
        f"@{login} closed the issue without write permission, so run `{run.workflow}` goes on. "
        f"A maintainer can stop it with `{COMMAND_WORD} cancel`."
    )


def label_again(login: str) -> str:
    """The label was seen late, and the text may not be what was looked at."""
    return (
        f"@{login} set the label `{LABEL}` while OPTR could not hear it. Since then the issue was touched, and its "
        "author could have changed what it asks for. No run was started: read it once more and set the label again."
    )
