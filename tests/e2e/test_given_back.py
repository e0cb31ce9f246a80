"""Tokens are minted for one run and one repository, and GitHub is told when they are done with."""

from typing import Any

from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, eventually, racing
from tests.github.server import unique_name

COMMAND = ["python3", "bots/regex_order.py", "duration"]
READING = {"contents": "read", "metadata": "read"}
PUSHING = {"contents": "write", "metadata": "read"}


def minted(place: Place) -> list[Any]:
    found = place.service.github.knob("tokens", installation=place.installed.id)["tokens"]
    assert found
    return list(found)


def alive(place: Place) -> list[Any]:
    return [token for token in minted(place) if token["alive"]]


def test_a_runs_tokens_end_with_it_and_all_others_with_the_app(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    service = make_service()
    service.start()
    place = service.settle(racing(sample, "worker", worker=COMMAND))
    place.opened(place.ask())

    # Whoever has the App's memory from now on can not push: what could was the run's, and the run waits for people.
    eventually(
        lambda: all(token["permissions"] != PUSHING for token in alive(place)),
        lambda: f"a token that can push is alive: {minted(place)}\n{service.tail()}",
    )
    runs = [token for token in minted(place) if not token["alive"]]
    assert PUSHING in [token["permissions"] for token in runs]
    assert len(runs) > 1, "the run's own token for the API is gone too"
    for token in minted(place):
        one = token["repository_ids"] is not None and len(token["repository_ids"]) == 1
        assert one or token["permissions"] == {"metadata": "read"}, token
        assert token["permissions"].get("contents") != "write" or token["permissions"] == PUSHING

    service.stop()
    assert alive(place) == []


def test_the_first_look_reads_the_known_repositories_and_no_others(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    """Two repositories of one installation; only one of them has a ledger when the App starts again."""
    service = make_service()
    service.start()
    place = service.settle(racing(sample, "worker", worker=COMMAND))
    github = service.github
    other = github.create_repository(place.repository.owner, unique_name("other"), sample)
    assert github.install(service.app, other).id == place.installed.id
    place.opened(place.ask())
    service.stop()
    before = len(minted(place))
    service.start()
    service.stop()
    looking = [token for token in minted(place)[before:] if token["permissions"] == READING]
    assert looking
    assert all(token["repository_ids"] == [place.repository.id] for token in looking), looking
    assert alive(place) == [], "whatever the two stops interrupted"
