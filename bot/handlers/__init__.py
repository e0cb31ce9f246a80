"""One file for each thing that happens on GitHub; `all_handlers` is the whole table."""

from bot.handlers import (
    access_ended,
    check_button,
    check_run,
    issue_comment,
    issue_labeled,
    issues_closed,
    issues_edited,
    merge_group,
    pull_request,
    pull_request_review,
)
from bot.router import Router

_MODULES = (
    access_ended,
    check_button,
    check_run,
    issue_comment,
    issue_labeled,
    issues_closed,
    issues_edited,
    merge_group,
    pull_request,
    pull_request_review,
)


def all_handlers() -> Router:
    """Every handler of the App.

    Raises:
        DuplicateHandlerError: two files handle the same event and action.
    """
    return Router().including(*(module.router for module in _MODULES))
