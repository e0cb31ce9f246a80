"""A GitHub that fails once at every call of a run: the run arrives all the same and leaves one of everything."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.measured import publish
from tests.e2e.service import Place, Service, racing

FAULTS = {
    "secondary_limit": "403, `retry-after`",
    "primary_limit": "403, limit used up",
    "too_many": "429, `retry-after`",
    "bad_gateway": "502, nothing done",
    "bad_gateway_after": "502, yet done",
    "drop": "hung up, nothing done",
    "drop_after": "hung up, yet done",
    "stall": "too slow, nothing done",
    "stall_after": "too slow, yet done",
    "truncate": "truncated answer",
    "unauthorized": "401, expired token",
}
USUAL = ("bad_gateway", "drop_after")  # the ordinary lane; OPTR_FAULTS_ALL=1 (`make faults`) tries all
EVERYWHERE = os.environ.get("OPTR_FAULTS_ALL") == "1"
COMMAND = ["python3", "bots/regex_order.py", "duration"]
VARIES = re.compile(r"(?<=/)(?:\d+|[0-9a-f]{40}|issue-\d+(?:%2F|/)?\S*)(?=/|$)")
TIMEOUT_MS = 1500  # of our calls in this module; git is given up after twice that
STALL_SECONDS = 4.0
# At the least, so that a renamed path cannot empty the table: identity, token, git, and the API's calls.
CALLS_MIN = 20
# What the App says of a fault on its way; that it is said is right, that nothing is lost is what is tried here.
TOLD = (
    "progress is not shown",
    "handler failed",
    "left for the next pass",
    "reconcil",
    "retry",
    "Retry",
    "ceback",
    "could not",
    "failed",
    "a token is not revoked",
    "ledgers are not looked at now",
)


HERE = "HERE"


@dataclass(frozen=True, order=True)
class Call:
    """One kind of call, as patterns for the local GitHub (`HERE` is owner/name) and in words for the table."""

    words: str
    method: str
    path: str
    query: str = ""
    body: str = ""


# Git asks more than once at one address: what it wants tells its questions apart.
GIT = (
    Call("git fetch: which service", "GET", r"^/HERE\.git/info/refs$", "git-upload-pack"),
    Call("git fetch: which branches", "POST", r"^/HERE\.git/git-upload-pack$", body="command=ls-refs"),
    Call("git fetch: the objects", "POST", r"^/HERE\.git/git-upload-pack$", body="command=fetch"),
    Call("git push: which branches", "GET", r"^/HERE\.git/info/refs$", "git-receive-pack"),
    Call("git push: the objects", "POST", r"^/HERE\.git/git-receive-pack$"),
)


def requests(service: Service) -> list[dict[str, str]]:
    return list(service.github.knob("requests")["requests"])


def calls(service: Service, place: Place, since: int) -> list[Call]:
    """Every kind of call that the App has made since then, git's in place of their addresses."""
    found = set(GIT)
    for one in requests(service)[since:]:
        if one["kind"] not in {"app", "installation"} or re.search(r"\.git/", one["path"]):
            continue
        path = one["path"].replace(place.repository.full_name, HERE)
        words = VARIES.sub("…", path).removeprefix(f"/repos/{HERE}")
        pattern = "[^/]+".join(map(re.escape, VARIES.split(path)))
        found.add(Call(f"`{one['method']} {words}`", one["method"], f"^{pattern}$"))
    return sorted(found)


def asked_and_published(place: Place) -> None:
    issue = place.ask()
    pull = place.opened(issue)
    assert len(place.ours(issue)) == 1
    assert len(place.checks(place.base, "optr")) == 1
    assert [one["number"] for one in place.pulls()] == [pull["number"]]
    assert len(place.checks(pull["head"]["sha"], "optr/gate")) == 1
    lake = place.lake()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
    lake.verified()
    reactions = place.reader.get(f"{place.path}/issues/{issue}/reactions")
    assert [one["content"] for one in reactions] == ["eyes"]


@pytest.fixture(scope="module")
def files(sample: dict[str, bytes]) -> dict[str, bytes]:
    return racing(sample, "worker", worker=COMMAND)


@pytest.fixture
def service(make_service: MakeService) -> Iterator[Service]:
    """An App that is not started yet and will meet faults; the requests that went wrong are no violations."""
    made = make_service()
    made.tolerated += TOLD
    made.environ["OPTR_GITHUB_TIMEOUT"] = str(TIMEOUT_MS)
    yield made
    made.github.knob("faults/clear")
    made.kill()


def settled(service: Service, files: dict[str, bytes]) -> Place:
    """A place of which GitHub could not tell the App, which does not run yet."""
    place = service.settle(files)
    service.github.knob("webhooks/drain")
    return place


def a_life(service: Service, place: Place) -> None:
    """The App starts, takes one run to its pull request and stops, so that it asks everything it ever asks in one."""
    service.start()
    asked_and_published(place)
    service.stop()


def failing_once(service: Service, place: Place, fault: str, made: Sequence[Call]) -> dict[str, int]:
    """A life in which GitHub fails so at the first of each kind of call; returns how often it did, by call."""
    rules = {}
    for call in made:
        rule = service.github.fault(
            fault,
            method=call.method,
            path=call.path.replace(HERE, re.escape(place.repository.full_name)),
            query=call.query,
            body=call.body,
            seconds=STALL_SECONDS,
            retry_after=1,
        )
        rules[rule] = call.words
    a_life(service, place)
    met = {rules[one["id"]]: int(one["hits"]) for one in service.github.knob("faults/list")["rules"]}
    service.github.knob("faults/clear")
    return met


def test_each_call_of_a_life_fails_once(service: Service, files: dict[str, bytes]) -> None:
    plain = settled(service, files)
    since = len(requests(service))
    a_life(service, plain)
    made = calls(service, plain, since)
    assert len(made) >= CALLS_MIN, made
    for fault in FAULTS if EVERYWHERE else USUAL:
        met = failing_once(service, settled(service, files), fault, made)
        assert met == {call.words: 1 for call in made}, FAULTS[fault]
    if EVERYWHERE:
        publish("faults", table(made))


def table(made: Sequence[Call]) -> list[str]:
    """Call by fault; whoever gets here has seen each of them once and one of everything after each."""
    head = ["call", *FAULTS.values()]
    rows = [[call.words, *("one" for _ in FAULTS)] for call in made]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
