"""Thousands of deliveries, most of them duplicates or hostile, at the App as its operator runs it.

The ordinary lane sends a few hundred; OPTR_STORM=10000 (`make storm`) sends as many, and OPTR_STORM_PAGE names the page
whose table is written.
"""

import asyncio
import itertools
import os
import random
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import MakeService
from tests.e2e.service import LABEL, Place, Service, eventually, racing
from tests.e2e.storm_kit import (
    GENUINE,
    HOSTILE_TEXT,
    MEBIBYTE,
    OURS,
    OVERTAKEN,
    OVERTAKING,
    REPLAYED,
    Gunner,
    Shot,
    Storm,
    encode,
    filled,
    forgeries,
    hostilities,
    shuffled,
    table,
)
from tests.github.server import unique_name
from tools.docs import with_part

DELIVERIES = int(os.environ.get("OPTR_STORM", "400"))
PAGE = os.environ.get("OPTR_STORM_PAGE")
SEED = 20_261_121
COPIES_MAX = 5
MANY = 2_000
PAGE_COMMENTS = 100
ANSWER = re.compile(r"<!-- optr:answer-(\d+) -->")
REACTION = re.compile(r"/comments/\d+/reactions$")
COMMENTS_AN_ISSUE = 40
COMMAND = ["python3", "bots/regex_order.py", "duration"]
GROWTH_BYTES_MAX = 48 * MEBIBYTE
QUIET_SECONDS = 900.0
HOSTILE_COMMANDS = (
    "/optr \u202erun\u202c\u0000\u0007",
    "/optr " + "<!-- x -->" * 20,
    "/optr run agents=" + "a" * 400,
    "/optr " + "\U000e0041" * 100,
    "/optr statsu [x](javascript:alert(1)) @everyone",
    "/optr " + "y" * 60_000,
)


@dataclass(frozen=True)
class Scene:
    """A repository that had people in it before the App came.

    Attributes:
        comments: `(issue, comment)` of every command.
        labelled: issues that wait for a run.
        closed: issues that were labelled and closed.
    """

    place: Place
    comments: list[tuple[Any, Any]]
    labelled: list[Any]
    closed: list[Any]

    def payload(self, action: str, issue: Any, **members: Any) -> dict[str, Any]:
        """As GitHub would have told it."""
        place = self.place
        repository = place.human("ada").get(place.path)
        installation = {"id": place.installed.id, "node_id": "x"}
        sender = members.pop("sender", issue["user"])
        return {
            "action": action,
            "issue": issue,
            "repository": repository,
            "sender": sender,
            "installation": installation,
            **members,
        }


def settle(service: Service, files: dict[str, bytes], commands: int, runs: int) -> Scene:
    """Make the repository and all that people said in it, then install the App."""
    github = service.github
    repository = github.create_repository(unique_name("storm"), "duration", files)
    ada = github.as_user("ada", repository, "write")
    path = f"/repos/{repository.full_name}"

    def issue(**members: Any) -> Any:
        return ada.post(f"{path}/issues", {"title": "Parse 1h30m", "body": "It says 1.", **members})

    talked = [issue() for _ in range(-(-commands // COMMENTS_AN_ISSUE))]
    comments = [
        (one, ada.post(f"{path}/issues/{one['number']}/comments", {"body": "/optr status"}))
        for one in itertools.islice(itertools.cycle(talked), commands)
    ]
    labelled = [issue(labels=[LABEL]) for _ in range(runs)]
    closed = [issue(labels=[LABEL]) for _ in range(runs)]
    for one in closed:
        ada.patch(f"{path}/issues/{one['number']}", {"state": "closed"})
    place = Place(service, github.install(service.app, repository), repository)
    assert place.reader
    return Scene(place, comments, labelled, closed)


def shots(scene: Scene, gunner: Gunner, count: int) -> list[Shot]:
    """`count` deliveries: closings that overtook their labels, then, in no order, what counts among what must not."""
    dice = random.Random(SEED)
    first = [
        gunner.shot(OVERTAKING, "issues", encode(scene.payload("closed", {**issue, "state": "closed"})))
        for issue in scene.closed
    ]
    made = [*_commands(scene, gunner, dice), *_labels(scene, gunner), *_by_others(scene, gunner)]
    body = encode(scene.payload("labeled", scene.labelled[0], label={"id": 1, "name": LABEL}))
    refused, hostile = forgeries(gunner, body), hostilities(gunner)
    rest = count - len(made) - len(first)
    made += [*filled(refused, rest // 2), *filled(hostile, rest - rest // 2)]
    return [*first, *shuffled(made, SEED)]


def _commands(scene: Scene, gunner: Gunner, dice: random.Random) -> Iterator[Shot]:
    for number, (issue, comment) in enumerate(scene.comments):
        body, guid = encode(scene.payload("created", issue, comment=comment)), str(uuid.UUID(int=dice.getrandbits(128)))
        for _ in range(dice.randint(1, COPIES_MAX)):
            yield gunner.shot(GENUINE, "issue_comment", body, guid)
        if number % COPIES_MAX == 0:
            yield gunner.shot(REPLAYED, "issue_comment", body)


def _labels(scene: Scene, gunner: Gunner) -> Iterator[Shot]:
    label = {"id": 1, "name": LABEL}
    for issue in scene.labelled:
        body, guid = encode(scene.payload("labeled", issue, label=label)), str(uuid.uuid4())
        for _ in range(COPIES_MAX):
            yield gunner.shot(GENUINE, "issues", body, guid)
    for issue in scene.closed:
        yield gunner.shot(OVERTAKEN, "issues", encode(scene.payload("labeled", issue, label=label)))


def _by_others(scene: Scene, gunner: Gunner) -> Iterator[Shot]:
    issue, comment = scene.comments[0]
    app = {**issue["user"], "login": scene.place.service.app.bot_login, "type": "Bot"}
    other = {**app, "login": "dependabot[bot]"}
    quoted = ("> /optr run", "```\n/optr run\n```", "    /optr run", "<!--\n/optr run\n-->", "see /optr run")
    for index in range(len(scene.comments) // COPIES_MAX):
        for sender, text in ((app, "/optr run"), (other, "/optr run"), (issue["user"], quoted[index % len(quoted)])):
            said = {**comment, "id": 10**9 + index, "user": sender, "body": text}
            body = encode(scene.payload("created", issue, comment=said, sender=sender))
            yield gunner.shot(OURS, "issue_comment", body)
        stranger = {**issue["user"], "login": "reader", "id": 10**6}
        said = {
            **comment,
            "id": 2 * 10**9 + index,
            "user": stranger,
            "body": HOSTILE_COMMANDS[index % len(HOSTILE_COMMANDS)],
        }
        body = encode(scene.payload("created", issue, comment=said, sender=stranger))
        yield gunner.shot(HOSTILE_TEXT, "issue_comment", body)


@dataclass(frozen=True)
class Traces:
    """What the App left in the repository.

    Attributes:
        once: commands answered exactly once.
        strangers: answers to the one who may not write.
        posts: calls that wrote a comment on an issue with commands.
        reactions: comments reacted to.
        closed: words on issues that were closed before their label arrived.
        runs: pull requests, one for each run.
    """

    once: int
    strangers: int
    posts: int
    reactions: int
    closed: int
    runs: int


def traces(scene: Scene) -> Traces:
    """Read them as people do, and from the calls that the App made."""
    place = scene.place
    talked = {issue["number"] for issue, _ in scene.comments}
    said = [comment["body"] for issue in talked for comment in _ours(place, issue)]
    seen = place.service.github.knob("requests", repository=place.repository.full_name, method="POST")["requests"]
    paths = [one["path"] for one in seen if one["login"] == place.service.app.bot_login]
    answered = Counter(found[1] for text in said if (found := ANSWER.match(text)))
    return Traces(
        once=sum(answered[str(comment["id"])] == 1 for _, comment in scene.comments),
        strangers=sum("answer-reader-" in text for text in said),
        posts=sum(paths.count(f"{place.path}/issues/{issue}/comments") for issue in talked),
        reactions=len({path for path in paths if REACTION.search(path)}),
        closed=sum(
            "This issue is closed" in one["body"] for issue in scene.closed for one in _ours(place, issue["number"])
        ),
        runs=len(place.pulls()),
    )


def _ours(place: Place, issue: int) -> list[Any]:
    """The App's comments on an issue, all pages of them."""
    found: list[Any] = []
    for page in itertools.count(1):
        some = place.reader.get(f"{place.path}/issues/{issue}/comments", per_page=PAGE_COMMENTS, page=page)
        found += [one for one in some if one["user"]["login"] == place.service.app.bot_login]
        if len(some) < PAGE_COMMENTS:
            break
    return found


def expected(scene: Scene) -> Traces:
    """One of everything; beside the commands, `drained` asks a last question of its own."""
    commands, runs = len(scene.comments), len(scene.labelled)
    return Traces(once=commands, strangers=2, posts=commands + 2, reactions=commands + 1, closed=runs, runs=runs)


def calm(scene: Scene) -> Traces:
    """The traces once the App has nothing left to do."""
    wanted = expected(scene)

    def answered() -> bool:
        return traces(scene).once >= wanted.once

    eventually(answered, lambda: f"{traces(scene)} and not {wanted}", QUIET_SECONDS)
    for issue in scene.labelled:
        scene.place.opened(issue["number"])
    scene.place.drained()
    return traces(scene)


def test_each_delivery_of_a_storm_is_effective_once(make_service: MakeService, sample: dict[str, bytes]) -> None:
    service = make_service()
    service.tolerated += ["unreadable payload dropped", "refused"]
    service.environ["OPTR_WRITE_INTERVAL"] = "0"
    service.start()
    assert service.process is not None
    runs = 2 if DELIVERIES < MANY else 5
    scene = settle(service, racing(sample, "worker", worker=COMMAND), DELIVERIES // 10, runs)
    storm = Storm(service.url, service.process.pid)
    asyncio.run(storm.rage(shots(scene, Gunner(service.environ["OPTR_WEBHOOK_SECRET"].encode()), DELIVERIES)))
    assert (storm.wrong(), storm.sent) == ([], DELIVERIES)

    left = calm(scene)
    storm.weigh()
    assert left == expected(scene)
    assert all(len(_ours(scene.place, issue["number"])) == 1 for issue in scene.labelled)
    assert Counter(scene.place.lake().types()) == dict.fromkeys(("MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"), runs)
    scene.place.lake().verified()
    assert service.answers("/ready")
    assert storm.grown() < GROWTH_BYTES_MAX, storm.resident
    service.stop()
    if PAGE:
        _write(Path(PAGE), table(storm, _effects(left, expected(scene))))


def _effects(left: Traces, wanted: Traces) -> list[tuple[str, int, int]]:
    return [
        ("commands of people, each answered by one comment", wanted.once, left.once),
        ("labelled issues, each with one run and one pull request", wanted.runs, left.runs),
        ("closed issues whose label came late, each told so once", wanted.closed, left.closed),
        ("answers to a reader's mistakes and questions, one for each kind", wanted.strangers, left.strangers),
    ]


def _write(page: Path, text: str) -> None:
    page.write_text(with_part(page.read_text(encoding="utf-8"), "storm", text), encoding="utf-8")
