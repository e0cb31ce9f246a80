"""The grammar of comments, and each command through the dispatcher."""

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.buttons import buttons, pressed
from bot.commands.grammar import Invocation, Mistake, mentions, parse_comment
from bot.commands.page import page
from bot.commands.registry import COMMANDS
from bot.handlers import all_handlers
from bot.router import Dispatcher
from execution.artifacts import Approved, Plan
from execution.config import Config
from execution.records import AgentOutcome
from execution.result import CandidateResult, Receipt, RunResult
from execution.revoking import Hit
from governance.correction import CorrectionType
from governance.states import RunOutcome, RunState
from tests.bot.simulator import APP_ID, OWN_LOGIN, World, make_world

Build = Callable[..., dict[str, Any]]


# Grammar ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("/optr status", "status"),
        ("/optr", "help"),
        ("/optr   status  ", "status"),
        ("/optr\tstatus", "status"),
        ("Please look.\r\n\r\n/optr status\r\n\r\nThanks", "status"),
        ("> quoted\n\n/optr status", "status"),
        ("```\n/optr cancel\n```\n/optr status", "status"),
        ("`/optr cancel`\n/optr status", "status"),
        ("<pre>/optr cancel</pre>\n/optr status", "status"),
        ("an unclosed ` tick\n/optr status", "status"),
        ("a `b` c\n/optr status\nd `e`", "status"),
        ("an escaped \\` tick\n/optr status\nand ` another", "status"),
    ],
)
def test_a_line_that_starts_with_the_word_is_a_command(body: str, name: str) -> None:
    assert parse_comment(body, COMMANDS) == Invocation(name, {})


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no command",
        "try /optr status",
        " /optr status",
        "    /optr status",
        "/optrx status",
        "/OPTR status",
        "\u200b/optr status",
        "> /optr status",
        ">/optr status",
        "> quoted\n/optr status",
        "> quoted\n> more\nlazily continued\n/optr status",
        "```\n/optr status\n```",
        "```sh\n/optr status",
        "~~~~\n```\n/optr status\n~~~\n/optr status\n~~~~",
        "````\n```\n/optr status\n````",
        "   ```\n/optr status\n   ```",
        "<!-- \n/optr status\n-->",
        "<!--\n/optr status",
        "<pre>\n/optr status\n</pre>",
        "<STYLE>\n/optr status\n</STYLE>",
        "- /optr status",
        "<code>\n/optr status\n</code>",
        "<blockquote>\n\n/optr status\n\n</blockquote>",
        "see `this\n/optr status\nthat` word",
        "``a ` b\n/optr status\n`` c",
    ],
)
def test_everything_else_is_not(body: str) -> None:
    assert parse_comment(body, COMMANDS) is None


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("/optr statsu", "Did you mean `status`?"),
        ("/optr Status", "`status`"),
        ("/optr frobnicate", "`/optr help` lists"),
        ("/optr @everyone", "That is no known command"),
        ("/optr `x`", "That is no known command"),
        ("/optr status now", "`now` is no known argument of `/optr status`"),
        ("/optr run agent=codex", "Did you mean `agents`?"),
        ("/optr run agents", "`agents` needs a value"),
        ("/optr run agents=", "`agents` takes names"),
        ("/optr run agents=../x", "`agents` takes names"),
        ("/optr run agents=a,a", "each name once"),
        ("/optr run agents=a agents=b", "given twice"),
        ("/optr run agents=" + ",".join(f"a{n}" for n in range(17)), "at most 16"),
        ("/optr run " + "x" * 600, "longer than"),
        ("/optr status\n/optr cancel", "One command a comment"),
    ],
)
def test_mistakes_are_answered_and_do_nothing(body: str, answer: str) -> None:
    found = parse_comment(body, COMMANDS)
    assert isinstance(found, Mistake)
    assert answer in found.text


def test_arguments_are_typed() -> None:
    found = parse_comment("/optr run agents=codex,claude constraints=small", COMMANDS)
    assert found == Invocation("run", {"agents": ("codex", "claude"), "constraints": ("small",)})


@given(st.text(alphabet=st.sampled_from("/optr runagents=,`~><!-\n\t pre\r\u200b"), max_size=200))
def test_no_comment_breaks_the_parser_and_nothing_hostile_is_echoed(body: str) -> None:
    found = parse_comment(body, COMMANDS)
    assert found is None or (isinstance(found, Invocation | Mistake) and mentions(body))
    if isinstance(found, Mistake):
        assert not found.text.startswith("/optr")
        assert "<" not in found.text


def test_a_comment_built_to_be_slow_is_not() -> None:
    for body in ("<!--" * 16_000, "```\n" * 16_000, "> \n" * 20_000, "/optr " * 10_000, "<pre\n" * 13_000):
        parse_comment(body, COMMANDS)
    for body in (
        "`" * 60_000,
        "`x`\n" * 16_000,
        "` `` " * 13_000,
        "`\n" * 30_000,
        "".join("`" * n + "x" for n in range(340)),
    ):
        parse_comment(body, COMMANDS)


# Commands -----------------------------------------------------------------------------------------------------------


def _say(world: World, payload: Build, body: str, sender: str = "maria", **changes: Any) -> None:
    issue = {"number": 7, "title": "Fix the parser", "body": "It fails.", "state": "open"} | changes.pop("issue", {})
    user = {"login": changes.pop("author", sender), "type": "User"}
    comment = {"id": changes.pop("comment", uuid.uuid4().int % 10**9 + 1), "body": body, "user": user} | changes
    event = payload("created", sender, issue=issue, comment=comment)
    dispatcher = Dispatcher(all_handlers(), world.context)
    asyncio.run(dispatcher.on_delivery(str(uuid.uuid4()), "issue_comment", json.dumps(event).encode()))


@pytest.fixture
def world() -> World:
    return make_world()


def test_run_starts_what_the_issue_says_with_the_agents_asked_for(world: World, payload: Build) -> None:
    _say(world, payload, "/optr run agents=codex,claude constraints=small", comment=31)
    run = world.engine.only()
    assert (run.workflow, run.requester, run.agents, run.body) == ("issue-7", "maria", ("codex", "claude"), "It fails.")
    assert run.constraints == ("github_issue", "user_reported", "small")
    assert world.github.reactions == [(7, 31, "eyes")]
    assert world.github.comments == {}


def test_run_says_so_when_one_is_open_or_the_place_is_wrong(world: World, payload: Build) -> None:
    _say(world, payload, "/optr run")
    _say(world, payload, "/optr run")
    _say(world, payload, "/optr run", issue={"state": "closed"})
    _say(world, payload, "/optr run", issue={"number": 12, "pull_request": {"url": "x"}})
    assert len(world.engine.runs) == 1
    still, closed, place = world.github.said()
    assert "still open" in still
    assert "closed" in closed
    assert "belongs on an issue" in place


def test_who_may_not_is_refused_once_and_nothing_happens(world: World, payload: Build) -> None:
    _say(world, payload, "/optr run")
    for command in ("/optr cancel", "/optr run", "/optr rerun", "/optr cancel"):
        _say(world, payload, command, "otto")
    assert list(world.github.comments) == [(7, "refused-otto")]
    assert world.engine.cancelled == []
    assert all(comment is not None for _, comment, _ in world.github.reactions)
    assert len(world.github.reactions) == 1


def test_a_strangers_commit_runs_only_for_a_writer_who_names_its_whole_head(world: World, payload: Build) -> None:
    head, ours = "b" * 40, {"number": 12, "pull_request": {"url": "x"}}
    page = {"number": 12, "state": "open", "html_url": "x", "base": {"ref": "main", "sha": "c" * 40}}
    world.github.pulls[12] = {**page, "head": {"ref": "theirs", "sha": head}}
    _say(world, payload, f"/optr ok-to-run {head}")
    for text in (head[:7], head.upper(), "d" * 40, "", head + "0"):
        _say(world, payload, f"/optr ok-to-run {text}", issue=ours)
    _say(world, payload, f"/optr ok-to-run {head}", "otto", issue=ours)
    assert world.desk.tried == []
    on_issue, short, upper, other, missing, long, refused = world.github.said()
    assert "belongs on a pull request" in on_issue
    assert "40 hexadecimal digits" in short == upper == long
    assert f"`{head}` now" in other
    assert "is missing" in missing
    assert "takes write permission" in refused
    _say(world, payload, "/optr pause", "root")
    _say(world, payload, f"/optr ok-to-run {head}", issue=ours)
    _say(world, payload, "/optr resume", "root")
    assert world.desk.tried == []
    _say(world, payload, f"/optr ok-to-run {head}", issue=ours)
    world.github.pulls[12]["state"] = "closed"
    _say(world, payload, f"/optr ok-to-run {head}", issue=ours)
    assert world.desk.tried == [(12, head, "maria")]


def test_while_a_kill_switch_holds_no_command_lets_agents_start(world: World, payload: Build) -> None:
    _say(world, payload, "/optr run")
    run = world.engine.only()
    brakes = world.context.brakes
    asyncio.run(brakes.pause(run.repository, "the operator"))
    world.engine.change(run.id, state=RunState.AWAITING_CORRECTION)
    _say(world, payload, "/optr correct TEST\nIt forgot the empty input.")
    world.engine.change(run.id, state=RunState.AWAITING_APPROVAL)
    base = Plan.model_construct(base_commit="c" * 40, config=Config())
    world.desk.plans[run.id] = base
    world.desk.approved[run.id] = Approved(by="root", approved_ms=1)
    _say(world, payload, "/optr approve", "root")
    assert world.engine.corrected == []
    assert world.engine.only().state is RunState.AWAITING_APPROVAL
    assert world.github.said() == ["paused by the operator"] * 2
    asyncio.run(brakes.resume(run.repository))
    _say(world, payload, "/optr approve", "root")
    assert world.engine.only().state is RunState.EXECUTING


def test_an_outsider_cannot_make_us_flood_an_issue(world: World, payload: Build) -> None:
    for n in range(20):
        _say(world, payload, "/optr help", "otto")
        _say(world, payload, f"/optr nonsense{n}", "otto")
        _say(world, payload, "/optr status", "otto")
        _say(world, payload, "/optr help", "stranger")
    assert len(world.github.comments) == 4
    assert world.github.reactions == []


def test_every_comment_of_a_writer_is_answered_once(world: World, payload: Build) -> None:
    for _ in range(2):
        _say(world, payload, "/optr help", comment=41)
    _say(world, payload, "/optr help", comment=42)
    assert list(world.github.comments) == [(7, "answer-41"), (7, "answer-42")]
    for command in COMMANDS.values():
        assert command.usage in world.github.said()[0]


def test_bots_other_peoples_words_and_apps_are_not_obeyed(world: World, payload: Build) -> None:
    _say(world, payload, "/optr run", OWN_LOGIN)
    _say(world, payload, "/optr run", "helper[bot]")
    _say(world, payload, "/optr run", "maria", author="otto")
    _say(world, payload, "/optr run", performed_via_github_app={"id": APP_ID})
    assert (world.engine.runs, world.github.comments, world.github.asked) == ({}, {}, [])


def test_edited_comments_never_trigger(world: World, payload: Build) -> None:
    assert not all_handlers().handles("issue_comment", "edited")
    event = payload("edited", issue={"number": 7}, comment={"id": 1, "body": "/optr run", "user": {"login": "maria"}})
    dispatcher = Dispatcher(all_handlers(), world.context)
    asyncio.run(dispatcher.on_delivery(str(uuid.uuid4()), "issue_comment", json.dumps(event).encode()))
    assert world.engine.runs == {}


def test_cancel_ends_the_open_run_and_answers_the_same_again(world: World, payload: Build) -> None:
    _say(world, payload, "/optr cancel")
    _say(world, payload, "/optr run")
    _say(world, payload, "/optr cancel", "root")
    _say(world, payload, "/optr cancel")
    nothing, first, second = world.github.said()
    assert "nothing to cancel" in nothing
    assert "is cancelled" in first
    assert first == second
    assert world.engine.cancelled == [(world.engine.only().id, "root")]


def test_correct_names_the_node_and_takes_the_rest_of_the_comment_for_the_reason(world: World, payload: Build) -> None:
    _say(world, payload, "/optr correct TEST\nIt sleeps.")
    assert world.github.said()[-1].count("no run here to correct") == 1
    _say(world, payload, "/optr run agents=codex")
    _say(world, payload, "/optr correct TEST\nIt sleeps.")
    assert "Nothing was done" in world.github.said()[-1]
    world.engine.change(world.engine.only().id, state=RunState.AWAITING_CORRECTION)
    _say(world, payload, "/optr correct TEST")
    assert "Say why in the same comment" in world.github.said()[-1]
    _say(world, payload, "The new test\n\n/optr correct TEST type=reissue\n\nsleeps.\n> quoted\n")
    assert "`TEST`, `AUDIT`" in world.github.said()[-1]
    [asked] = world.engine.corrected
    assert (asked.node, asked.by, asked.kind) == ("TEST", "maria", CorrectionType.REISSUE)
    assert asked.reason.split() == ["The", "new", "test", "sleeps."]
    assert asked.request
    for wrong in ("/optr correct", "/optr correct ../x", "/optr correct TEST type=undo"):
        _say(world, payload, f"{wrong}\nBecause.")
    assert len(world.engine.corrected) == 1


def test_only_administrators_revoke_and_a_wrong_word_says_what_would_be_right(world: World, payload: Build) -> None:
    for body, answer in (
        ("/optr revoke", "`KIND` is missing, so nothing was done"),
        ("/optr revoke agent", "`TARGET` is missing, so nothing was done"),
        ("/optr revoke robot claude", "`kind` takes one of agent, human, delegation, key"),
        ("/optr revoke agent ../x", "`target` takes an agent's name"),
        ("/optr revoke agent claude undo", "`lift` takes the word `lift`, or nothing"),
        ("/optr revoke agent Claude", "`Claude` is not an agent's name"),
        ("/optr revoke delegation 12ab", "its first digits, eight or more"),
        ("/optr revoke key abcdef", "a whole public key, 64 hexadecimal digits"),
        ("/optr revoke human @ROOT", "for another administrator to say"),
        ("/optr revoke human root lift", "for another administrator to say"),
    ):
        _say(world, payload, body, "root")
        assert answer in world.github.said()[-1]
    _say(world, payload, "/optr revoke agent claude")
    assert "takes admin permission" in world.github.said()[-1]
    assert world.desk.taken_back == []


def test_revoke_says_what_it_hit_and_how_to_give_it_back(world: World, payload: Build) -> None:
    _say(world, payload, "/optr run agents=codex,claude")
    run = world.engine.only()
    reviewed = run.model_copy(update={"workflow": "issue-8", "state": RunState.IN_REVIEW, "pull_request": 12})
    world.desk.hits = (Hit(run, ("claude",), whole=False), Hit(reviewed, ("claude",), whole=False))
    _say(world, payload, "/optr revoke agent claude\nIts keys\nleaked.", "root")
    said = world.github.said()[-1]
    assert "Agent `claude` is revoked from now on (line 3 of the ledger). Later runs leave it out." in said
    assert "run `issue-7`: `claude` may do nothing more" in said
    assert "run `issue-8`: its pull request #12 is open already and stays" in said
    assert "`/optr revoke agent claude lift`" in said
    world.desk.hits = (Hit(run, ("claude", "codex"), whole=True),)
    _say(world, payload, "/optr revoke human @Maria", "root")
    assert "run `issue-7` ends at its next step" in world.github.said()[-1]
    _say(world, payload, "/optr revoke human maria lift", "root")
    assert "not revoked any more (line 3 of the ledger)" in world.github.said()[-1]
    first, second, third = world.desk.taken_back
    assert (first.kind, first.target, first.by, first.reason) == ("agent", "claude", "root", "Its keys leaked.")
    assert first.request
    assert [(one.target, one.reason, one.lifted) for one in (second, third)] == [
        ("Maria", "", False),
        ("maria", "", True),
    ]


def test_rerun_repeats_the_request_word_for_word(world: World, payload: Build) -> None:
    _say(world, payload, "/optr rerun")
    assert "no run here to repeat" in world.github.said()[0]
    _say(world, payload, "/optr run agents=codex")
    first = world.engine.only()
    _say(world, payload, "/optr rerun")
    assert "still open" in world.github.said()[1]
    world.engine.change(first.id, state=RunState.CLOSED, outcome=RunOutcome.NO_WINNER, pull_request=12)
    edited = {"number": 12, "title": "Other", "body": "Other", "pull_request": {"url": "x"}}
    _say(world, payload, "/optr rerun", "root", issue=edited)
    second = next(run for run in world.engine.runs.values() if run.id != first.id)
    assert (second.title, second.body, second.issue) == (first.title, first.body, 7)
    assert (second.workflow, second.agents, second.requester) == ("issue-7.2", ("codex",), "root")


def test_status_tells_where_the_run_stands_and_neutralises_what_others_wrote(world: World, payload: Build) -> None:
    _say(world, payload, "/optr status")
    assert "No run" in world.github.said()[0]
    _say(world, payload, "/optr run")
    run = world.engine.only()
    world.engine.change(run.id, state=RunState.IN_REVIEW, pull_request=12, problem="@everyone <img src=x>")
    receipt = Receipt(origin="o", entry="e", seq=3, size=4, root="ab" * 32, key="k+1", commit="c" * 40)
    candidates = (
        CandidateResult(
            agent="codex", type="openai-codex", outcome=AgentOutcome.COMPLETED, admissible=True, score="91.2"
        ),
        CandidateResult(agent="evil|`@all`", type="command"),
    )
    world.engine.results[run.id] = RunResult(
        run=run.id,
        workflow=run.workflow,
        intent_sha256=run.intent_sha256,
        title=run.title,
        requester="maria",
        state=RunState.IN_REVIEW,
        winner="codex",
        candidates=candidates,
        receipt=receipt,
    )
    _say(world, payload, "/optr status", issue={"number": 12, "pull_request": {"url": "x"}})
    text = world.github.said()[1]
    assert "**in_review**" in text
    assert "| codex | completed | yes | 91.2 |" in text
    assert "line 3 of 4" in text
    assert "@everyone" not in text
    assert "<img" not in text
    assert "@all" not in text


# Documentation ------------------------------------------------------------------------------------------------------


def test_the_page_is_made_from_the_declarations() -> None:
    assert Path("docs/commands.md").read_text() == page(COMMANDS)


def test_every_example_works_and_every_usage_names_its_command() -> None:
    reading = ["help", "status", "plan", "explain", "compare", "budget"]
    writing = ["verify", "run", "approve", "reject", "correct", "pick", "cancel", "rerun", "ok-to-run"]
    assert list(COMMANDS) == [*reading, *writing, "pause", "resume", "revoke"]
    for command in COMMANDS.values():
        parsed = parse_comment(command.example, COMMANDS)
        assert isinstance(parsed, Invocation)
        assert parsed.name == command.name
        assert command.usage.startswith(f"/optr {command.name}")


# Buttons and the record -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(RunState))
@pytest.mark.parametrize("outcome", [None, *RunOutcome])
def test_buttons_keep_github_s_limits_and_name_commands(state: RunState, outcome: RunOutcome | None) -> None:
    shown = [button.payload("0123456789abcdef") for button in buttons(state, outcome)]
    assert len(shown) <= 3
    for button in shown:
        assert (len(button["label"]), len(button["description"]), len(button["identifier"])) <= (20, 40, 20)
        assert len(button["identifier"]) <= 20
        assert len(button["description"]) <= 40
        verb = pressed(button["identifier"], "0123456789abcdef", state, outcome)
        assert verb == button["identifier"].partition(":")[0]
        assert pressed(button["identifier"], "ffff456789abcdef", state, outcome) is None


def test_positional_arguments_are_typed_and_required() -> None:
    assert parse_comment("/optr compare codex claude", COMMANDS) == Invocation(
        "compare", {"first": ("codex",), "second": ("claude",)}
    )
    assert parse_comment("/optr explain", COMMANDS) == Invocation("explain", {})
    for body, answer in (
        ("/optr compare codex", "`B` is missing"),
        ("/optr compare codex ../x", "one name of lower case"),
        ("/optr compare a b c", "`c` is no known argument"),
        ("/optr rerun codex agents=a agents=b", "given twice"),
    ):
        found = parse_comment(body, COMMANDS)
        assert isinstance(found, Mistake)
        assert answer in found.text
