from pathlib import Path

import yaml

from bot.github.permissions import (
    API_PERMISSIONS,
    APP_PERMISSIONS,
    EVENTS,
    GIT_PERMISSIONS,
    UNASKED_EVENTS,
    Operation,
    needed_for,
)
from bot.handlers import all_handlers

MANIFEST = yaml.safe_load(Path("app.yml").read_text(encoding="utf-8"))


def test_the_manifest_asks_for_what_the_code_needs_and_no_more() -> None:
    assert MANIFEST["default_permissions"] == APP_PERMISSIONS
    assert tuple(MANIFEST["default_events"]) == EVENTS
    assert "workflows" not in APP_PERMISSIONS
    assert MANIFEST["public"] is False


def test_every_event_has_a_handler_and_every_handler_its_event() -> None:
    assert set(all_handlers().subscriptions()) == {*EVENTS, *UNASKED_EVENTS}


def test_no_event_is_listed_that_every_app_gets() -> None:
    assert not {event for event in EVENTS if event.startswith("installation")}


def test_the_token_of_a_git_child_touches_contents_only() -> None:
    assert GIT_PERMISSIONS == {"contents": "write", "metadata": "read"}


def test_the_token_of_the_api_cannot_push() -> None:
    assert API_PERMISSIONS == {
        "checks": "write",
        "contents": "read",
        "issues": "write",
        "metadata": "read",
        "pull_requests": "write",
    }


def test_the_stronger_need_wins() -> None:
    assert needed_for([Operation.PUSH, Operation.FETCH])["contents"] == "write"
    assert needed_for([Operation.FETCH, Operation.PUSH])["contents"] == "write"
