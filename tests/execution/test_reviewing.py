"""Reviewers: what an answer is worth, what a veto does, and a reviewer's work on the real wire."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bot.demo.cassette import Cassette, Fault, FaultKind, RecordedTurn, Tokens
from bot.demo.recorded import RecordedModel, recorded_model
from execution.agents.build import AgentUnavailableError, ModelAccess
from execution.agents.profiles import Approval, Profile, Role, load_profiles
from execution.agents.reviewer import Case, build_reviewer
from execution.agents.verdict import ANSWER_FORM, parse_answer
from execution.config import Review, load_config
from execution.enrolment import capabilities_of
from execution.models.conversation import Conversation, open_conversation
from execution.models.errors import ModelError, ModelErrorKind
from execution.models.registry import Driver, load_registry
from execution.panel import panel, policy_warnings, require_candidate
from execution.problems import SetupProblem
from execution.records import Limits
from execution.reviews import Ballot, Complexity, NoVote, Vote, VoteKind, kind_of, ruled, shuffled
from execution.yamlfile import ConfigError
from governance.graph import Capability
from governance.trust.lineage import authority, enrol
from governance.trust.operations import revocation
from governance.trust.records import RevocationKind
from governance.trust.roster import Roster
from ledger.keys import Signer
from scoring.evidence import DiffFacts, Evidence, Reason

MODELS = {
    Driver.OPENAI_RESPONSES: "gpt-6.1-sol",
    Driver.OPENAI_CHAT: "gemini-flash",
    Driver.ANTHROPIC_MESSAGES: "claude-opus-5-5",
}
TYPES = {
    Driver.OPENAI_RESPONSES: "openai-codex",
    Driver.OPENAI_CHAT: "openai-codex",
    Driver.ANTHROPIC_MESSAGES: "anthropic-claude",
}
EVERY = pytest.mark.parametrize("driver", list(MODELS))
GOOD: dict[str, Any] = {
    "approved": True,
    "violations": [],
    "requirements": ["it adds: yes"],
    "invariants": ["secure"],
    "rationale": "Fine.",
    "estimatedComplexity": "low",
}
CASES = tuple(
    Case(
        alias=f"patch-{n}",
        intent="Make add add",
        constraints=("small",),
        guidance="",
        checks=("a: passed",),
        patch=f"+{n}",
    )
    for n in range(2)
)
FENCE = "f" * 24
SIGNER = Signer("optr.local/r", bytes(32))


def turn(**changes: Any) -> RecordedTurn:
    return RecordedTurn(text=json.dumps(GOOD | changes), usage=Tokens(fresh=100, output=10))


# What an answer is worth ---------------------------------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    for text in (json.dumps(GOOD), f"\n {json.dumps(GOOD)} ", f"```json\n{json.dumps(GOOD)}\n```"):
        answer = parse_answer(text)
        assert answer is not None
        assert (answer.approved, answer.complexity) == (True, Complexity.LOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "approved",
        "null",
        "[]",
        f"I think: {json.dumps(GOOD)}",
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD | {"approved": "true"}),
        json.dumps(GOOD | {"approved": 1}),
        json.dumps(GOOD | {"violations": "none"}),
        json.dumps(GOOD | {"violations": [1]}),
        json.dumps(GOOD | {"estimatedComplexity": "trivial"}),
        json.dumps(GOOD | {"admissible": True}),
        json.dumps({name: value for name, value in GOOD.items() if name != "approved"}),
        json.dumps(GOOD | {"rationale": "x" * 9_000}),
        json.dumps(GOOD)[:-1] + ', "approved": false}',
        "[" * 100_000,
        "x" * 200_000,
    ],
    ids=[
        *("empty", "word", "null", "list", "talk before", "cut", "quoted bool", "number", "no list", "no text"),
        *("unknown word", "unknown member", "missing member", "too long", "said twice", "deep", "huge"),
    ],
)
def test_everything_else_is_no_answer(text: str) -> None:
    assert parse_answer(text) is None


def test_only_a_named_violation_makes_a_veto() -> None:
    assert kind_of(approved=False, violations=["a.py: wrong"]) is VoteKind.VETO
    assert kind_of(approved=False, violations=[" ", ""]) is VoteKind.OBJECTION
    assert kind_of(approved=False, violations=[]) is VoteKind.OBJECTION
    assert kind_of(approved=True, violations=["a.py: could be nicer"]) is VoteKind.APPROVED


def test_aliases_are_random_shuffled_and_say_nothing() -> None:
    names = [f"agent-{number}" for number in range(6)]
    orders = {tuple(shuffled(names, f"nonce {n}").values()) for n in range(20)}
    assert len(orders) > 10
    one = shuffled(names, "nonce")
    assert one == shuffled(reversed(names), "nonce"), "the same nonce is the same blinding, whatever the input's order"
    assert sorted(one.values()) == names
    assert not set(one) & set(shuffled(names, "another"))
    assert all(alias.startswith("patch-") and "agent" not in alias for alias in one)


def ballot(kind: VoteKind, *violations: str, agent: str = "codex") -> Ballot:
    return Ballot(
        reviewer="judge", votes=(Vote(agent=agent, alias="p", patch_sha256="", kind=kind, violations=violations),)
    )


def test_a_veto_makes_inadmissible_and_nothing_else_changes_anything() -> None:
    sound = Evidence(agent="codex", diff=DiffFacts(paths=("a.py",)))
    vetoed = ruled(sound, [ballot(VoteKind.VETO, "a.py: one", "two", " ", "three", "four")])
    assert not vetoed.admissible
    assert vetoed.violations == (
        Reason(code="REVIEW_VETO", text="Reviewer judge vetoed it: a.py: one; two; three; 1 more"),
    )
    for kind in (VoteKind.APPROVED, VoteKind.OBJECTION, VoteKind.NO_VOTE):
        assert ruled(sound, [ballot(kind, "x")]) is sound
    assert ruled(sound, [ballot(VoteKind.VETO, "x", agent="claude")]) is sound
    broken = sound.model_copy(update={"violations": (Reason(code="CHECK_FAILED", text="x"),)})
    assert ruled(broken, [ballot(VoteKind.APPROVED)]) is broken


# On the wire ---------------------------------------------------------------------------------------------------------


def asking(driver: Driver, answer: RecordedTurn, sent: list[dict[str, Any]]) -> str:
    async def main() -> str:
        entry = load_registry().entry(MODELS[driver])
        cassette = Cassette(protocol=driver, model=entry.model, turns=(answer,))
        async with recorded_model([cassette]) as model:
            line = ModelAccess(model.environ, retries=0).line(entry, "judge", "be fair")
            async with open_conversation(line) as conversation:
                made: Conversation = conversation
                told = await made.ask("judge this", ANSWER_FORM)
            sent.extend(seen.body for seen in model.seen)
            assert told.usage.cost_microusd > 0
            return told.text

    return asyncio.run(main())


@EVERY
def test_a_driver_asks_by_schema_without_any_tool(driver: Driver) -> None:
    sent: list[dict[str, Any]] = []
    answer = parse_answer(asking(driver, turn(), sent))
    assert answer is not None
    assert answer.approved
    (body,) = sent
    assert "tools" not in body
    assert "tool_choice" not in body
    schema = {
        Driver.OPENAI_RESPONSES: lambda: body["text"]["format"]["schema"],
        Driver.OPENAI_CHAT: lambda: body["response_format"]["json_schema"]["schema"],
        Driver.ANTHROPIC_MESSAGES: lambda: body["output_config"]["format"]["schema"],
    }[driver]()
    assert schema == ANSWER_FORM.schema


@EVERY
def test_asking_fails_with_the_same_kinds(driver: Driver) -> None:
    with pytest.raises(ModelError) as error:
        asking(driver, RecordedTurn(refusal="no"), [])
    assert error.value.kind is ModelErrorKind.REFUSAL


def reviewing(
    driver: Driver, cassettes: Sequence[tuple[str, RecordedTurn]], limits: Limits | None = None, fence: str = FENCE
) -> tuple[tuple[Vote, ...], RecordedModel]:
    async def main() -> tuple[tuple[Vote, ...], RecordedModel]:
        entry = load_registry().entry(MODELS[driver])
        profile = Profile.model_validate(
            {"name": "judge", "type": TYPES[driver], "model": MODELS[driver], "roles": ["reviewer"]}
        )
        made = [Cassette(protocol=driver, model=entry.model, when=when, turns=(one,)) for when, one in cassettes]
        async with recorded_model(made) as model:
            access = ModelAccess(model.environ, fence=lambda: fence, retries=0)
            return await build_reviewer(profile, access).review(CASES, limits or Limits()), model

    return asyncio.run(main())


@EVERY
def test_every_patch_gets_a_conversation_and_a_vote_of_its_own(driver: Driver) -> None:
    wrong = turn(approved=False, violations=["a.py: opens a hole"])
    votes, model = reviewing(driver, [("patch-0", wrong), ("patch-1", turn())])
    assert [(vote.alias, vote.kind) for vote in votes] == [("patch-0", VoteKind.VETO), ("patch-1", VoteKind.APPROVED)]
    assert votes[0].violations == ("a.py: opens a hole",)
    assert [vote.usage.calls for vote in votes] == [1, 1]
    bodies = [json.dumps(seen.body) for seen in model.seen]
    assert ["patch-0" in body for body in bodies] == [True, False]
    assert all(f"{FENCE}>>>" in body for body in bodies)


@EVERY
@pytest.mark.parametrize(
    ("said", "why"),
    [
        (RecordedTurn(text="Looks good!"), NoVote.UNREADABLE),
        (RecordedTurn(refusal="I will not"), NoVote.REFUSED),
        (turn().model_copy(update={"faults": (Fault(kind=FaultKind.UNAUTHORIZED),)}), NoVote.AUTH),
        (turn().model_copy(update={"faults": (Fault(kind=FaultKind.SERVER_ERROR),) * 2}), NoVote.FAILED),
        (turn().model_copy(update={"faults": (Fault(kind=FaultKind.CONTEXT),)}), NoVote.TOO_LARGE),
        (turn().model_copy(update={"truncated": True}), NoVote.UNREADABLE),
    ],
    ids=["prose", "refusal", "key", "server", "context", "truncated"],
)
def test_what_fails_is_no_vote_and_the_other_patch_still_gets_one(
    driver: Driver, said: RecordedTurn, why: NoVote
) -> None:
    votes, _ = reviewing(driver, [("patch-0", said), ("patch-1", turn())])
    assert [(vote.kind, vote.no_vote) for vote in votes] == [(VoteKind.NO_VOTE, why), (VoteKind.APPROVED, None)]
    assert votes[0].problem


def test_a_broken_answer_is_asked_again_once_and_both_calls_are_charged() -> None:
    cut = turn().model_copy(update={"faults": (Fault(kind=FaultKind.CUT),)})
    votes, model = reviewing(Driver.OPENAI_RESPONSES, [("", cut)])
    assert {vote.kind for vote in votes} == {VoteKind.APPROVED}
    assert [vote.usage.calls for vote in votes] == [2, 2]
    assert len(model.seen) == 4


def test_time_runs_out_for_the_patch_at_hand_and_those_after_it() -> None:
    slow = turn().model_copy(update={"faults": (Fault(kind=FaultKind.SLOW, seconds=30),)})
    votes, _ = reviewing(Driver.OPENAI_RESPONSES, [("patch-1", slow), ("", turn())], Limits(wall_seconds=3))
    assert [vote.kind for vote in votes] == [VoteKind.APPROVED, VoteKind.NO_VOTE]
    assert votes[1].no_vote is NoVote.TIMEOUT
    assert votes[1].problem == "Reviewer 'judge' timed out after 3000ms"
    assert votes[1].usage.cost_microusd > 0, "a call that was sent is paid for"


def test_money_runs_out_before_the_next_call() -> None:
    votes, model = reviewing(Driver.OPENAI_RESPONSES, [("", turn())], Limits(tokens=50))
    assert [vote.no_vote for vote in votes] == [None, NoVote.BUDGET]
    assert len(model.seen) == 1


def test_a_fence_that_a_patch_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="random word"):
        reviewing(Driver.OPENAI_RESPONSES, [("", turn())], fence="+1")


# Who may review ------------------------------------------------------------------------------------------------------

KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}


def profile(**members: Any) -> Profile:
    return Profile.model_validate({"name": "tool", "type": "openai-codex", "model": "gpt-6.1-sol"} | members)


def everybody(known: Mapping[str, Profile], *revoked: str) -> Roster:
    taken = [revocation(authority(SIGNER), RevocationKind.AGENT, name, by="eve", now_ms=1) for name in revoked]
    return Roster(enrol(SIGNER, {name: capabilities_of(one) for name, one in known.items()}, taken, 1), "run", 2)


def test_a_reviewer_that_is_not_trusted_any_more_casts_no_votes() -> None:
    known = load_profiles({})
    ready, warnings = panel(["claude"], known, ModelAccess(KEYS), everybody(known, "claude"))
    assert ready == []
    assert warnings[0].startswith("Reviewer 'claude' casts no votes. Agent 'claude' is not planned (TRUST_REVOKED)")


def test_the_panel_is_made_of_reviewers_that_can_be_asked() -> None:
    known = load_profiles({})
    ready, warnings = panel(["claude"], known, ModelAccess(KEYS), everybody(known))
    assert [one.name for one in ready] == ["claude"]
    assert warnings == ()
    ready, warnings = panel(["claude"], known, ModelAccess({}), everybody(known))
    assert ready == []
    assert "Reviewer 'claude' casts no votes" in warnings[0]
    assert "ANTHROPIC_API_KEY" in warnings[0]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nobody", "AGENT_UNKNOWN", "reviewers there are: claude"),
        ("codex", "CONFIG_INVALID", "add reviewer to the roles"),
    ],
)
def test_a_reviewer_that_is_none_is_a_mistake_of_the_configuration(name: str, code: str, words: str) -> None:
    with pytest.raises(SetupProblem, match=words) as error:
        panel([name], load_profiles({}), ModelAccess(KEYS), everybody(load_profiles({})))
    assert error.value.code == code


def test_types_without_a_model_cannot_review() -> None:
    one = Profile.model_validate({"name": "tool", "type": "command", "command": ["ls"], "roles": ["reviewer"]})
    with pytest.raises(AgentUnavailableError, match="types that can: anthropic-claude, openai-codex"):
        build_reviewer(one, ModelAccess(KEYS))


def test_reviewers_are_configured_by_name_each_once() -> None:
    assert load_config(b"review: {reviewers: [claude]}").review == Review(reviewers=("claude",))
    assert load_config(None).review.reviewers == ()
    for text in (b"review: {reviewers: [a, a]}", b"review: {reviewers: [a, b, c, d, e]}", b"review: {reviewer: [a]}"):
        with pytest.raises(ConfigError):
            load_config(text)


def test_a_profile_that_denies_writing_is_a_reviewer_at_most() -> None:
    judge = profile(roles=["candidate", "reviewer"], approval_policy={"repo.write": "deny"})
    assert (judge.may_compete, judge.may_review) == (False, True)
    with pytest.raises(SetupProblem, match="cannot compete") as error:
        require_candidate(judge)
    assert error.value.code == "CONFIG_INVALID"
    require_candidate(profile())
    with pytest.raises(SetupProblem):
        require_candidate(profile(roles=[Role.REVIEWER]))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"repo.read": "deny"}, "can do nothing"),
        ({"test.run": "deny"}, "tool is a shell"),
        ({"repo.write": "deny"}, "roles must hold reviewer"),
        ({"repo.writ": "deny"}, "repo.writ"),
        ({"repo.write": "perhaps"}, "human_approval"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        profile(approval_policy=policy)


def test_a_wish_for_human_approval_is_told() -> None:
    one = profile(approval_policy={"repo.write": "human_approval", "test.run": "auto"})
    assert one.approval(Capability.WRITE) is Approval.HUMAN_APPROVAL
    (warning,) = policy_warnings([one, profile()])
    assert "asks for human approval of repo.write" in warning
    assert Profile.model_validate_json(one.model_dump_json()) == one
