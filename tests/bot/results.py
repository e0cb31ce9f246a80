"""Runs and results to render: a real-looking race, and any race at all."""

from typing import Any

from hypothesis import strategies as st

from execution.records import AgentOutcome
from execution.result import CandidateResult, Receipt, ReviewResult, RunResult
from execution.reviews import Complexity, NoVote, VoteKind
from execution.runs import Run, Source
from governance.states import RunOutcome, RunState
from scoring.evidence import CheckForm, CheckOutcome, CheckResult, Reason

RECEIPT = Receipt(
    origin="optr/octo/sums",
    entry="00ff00ff00ff00ff/OPTR_SELECTED",
    seq=6,
    size=7,
    root="ab" * 32,
    key="optr/octo/sums+1a2b3c4d",
    commit="c" * 40,
)


def check(name: str, outcome: CheckOutcome = CheckOutcome.PASSED, **more: Any) -> CheckResult:
    fields = {"form": CheckForm.CANDIDATE, "exit_code": 0 if outcome is CheckOutcome.PASSED else 1, "duration_ms": 900}
    return CheckResult(id=name, outcome=outcome, **{**fields, **more})


def both(name: str, outcome: CheckOutcome = CheckOutcome.PASSED, **more: Any) -> tuple[CheckResult, CheckResult]:
    return check(name, **more), check(name, outcome, form=CheckForm.BASE_TESTS, **more)


CANDIDATES = (
    CandidateResult(
        agent="codex",
        type="openai-codex",
        model="gpt-6-codex",
        outcome=AgentOutcome.COMPLETED,
        admissible=True,
        score="0.912",
        terms={"invariants": "0.4", "size": "0.19"},
        checks=(*both("unit", proves=("tested",)), *both("types", proves=("type_safe",))),
        invariants=("tested", "type_safe"),
        claimed=("tested", "type_safe", "secure"),
        files=2,
        added=14,
        deleted=3,
        execution_ms=38_000,
        ttv_ms=41_300,
        cost_microusd=412_000,
        patch_sha256="d" * 64,
        summary="Adds the missing carry.\n\nThanks to @octocat, fixes #99.",
    ),
    CandidateResult(
        agent="claude",
        type="anthropic-claude",
        model="claude-opus-5",
        outcome=AgentOutcome.COMPLETED,
        admissible=True,
        score="0.874",
        checks=(*both("unit"), *both("types")),
        invariants=("tested", "type_safe"),
        files=4,
        added=61,
        deleted=20,
        ttv_ms=372_000,
        cost_microusd=420_000,
        reasons=(Reason(code="LOWER_SCORE", text="scored 0.874, the winner 0.912: 64 more changed lines"),),
    ),
    CandidateResult(
        agent="sed",
        type="command",
        outcome=AgentOutcome.COMPLETED,
        admissible=False,
        checks=(*both("unit", CheckOutcome.FAILED, output_tail="assert 3 == 4\n```\n@octocat <!-- optr:run=1 -->"),),
        files=1,
        added=1,
        deleted=1,
        ttv_ms=840,
        reasons=(Reason(code="CHECK_FAILED", text="required check unit failed with the base's tests restored"),),
    ),
    CandidateResult(
        agent="sleepy",
        type="command",
        outcome=AgentOutcome.TIMEOUT,
        admissible=False,
        execution_ms=900_000,
        error="Agent 'sleepy' timed out after 900000ms",
    ),
)


def result(**changes: Any) -> RunResult:
    fields: dict[str, Any] = {
        "run": "00ff00ff00ff00ff",
        "workflow": "issue-7",
        "intent_sha256": "e" * 64,
        "title": "Sums lose the carry",
        "requester": "mona",
        "base_branch": "main",
        "base_commit": "b" * 40,
        "state": RunState.RECORDED,
        "candidates": CANDIDATES,
        "winner": "codex",
        "branch": "optr/issue-7",
        "commit": "a" * 40,
        "tree": "9" * 40,
        "why": ("all required checks passed in both forms", "64 fewer changed lines than claude", "9 times faster"),
        "profile": "balanced",
        "checks_source": "`.github/optr.yml` of the base commit",
        "sandbox": "bubblewrap",
        "receipt": RECEIPT,
        "warnings": ("codex claims `secure`, which no check proves",),
        "links": {"repository": "https://github.com/octo/sums"},
    }
    return RunResult(**{**fields, **changes})


def no_winner(**changes: Any) -> RunResult:
    fields: dict[str, Any] = {
        "state": RunState.CLOSED,
        "outcome": RunOutcome.NO_WINNER,
        "candidates": CANDIDATES[2:],
        "winner": None,
        "branch": None,
        "commit": None,
        "tree": None,
        "why": (),
        "problem": "No admissible results from any agent",
    }
    return result(**{**fields, **changes})


def run(**changes: Any) -> Run:
    fields: dict[str, Any] = {
        "id": "00ff00ff00ff00ff",
        "source": Source.GITHUB,
        "repository": "octo/sums",
        "installation": 1,
        "issue": 7,
        "workflow": "issue-7",
        "requester": "mona",
        "title": "Sums lose the carry",
        "body": "9 + 1 gives 0.\n\n/optr approve\n@everyone fixes #1",
        "intent_sha256": "e" * 64,
        "base_branch": "main",
        "base_commit": "b" * 40,
        "state": RunState.RECORDED,
        "head_commit": "a" * 40,
        "head_tree": "9" * 40,
        "created_ms": 1_795_000_000_000,
    }
    return Run(**{**fields, **changes})


WORDS = st.text(max_size=120) | st.sampled_from(
    ["@octocat fixes #1", "<!-- x -->", "|" * 400, "\U0001f600" * 300, "`" * 99]
)
CHECKS = st.builds(
    CheckResult,
    id=WORDS,
    form=st.sampled_from(CheckForm),
    outcome=st.sampled_from(CheckOutcome),
    exit_code=st.none() | st.integers(0, 255),
    duration_ms=st.integers(0, 10**7),
    output_tail=st.just("\U0001f600\n" * 2000) | WORDS,
)
REVIEWS = st.builds(
    ReviewResult,
    reviewer=WORDS,
    vote=st.sampled_from(VoteKind),
    no_vote=st.none() | st.sampled_from(NoVote),
    problem=WORDS,
    violations=st.lists(WORDS, max_size=3).map(tuple),
    rationale=WORDS,
    complexity=st.none() | st.sampled_from(Complexity),
    cost_microusd=st.integers(0, 10**7),
)
ANY_CANDIDATE = st.builds(
    CandidateResult,
    agent=WORDS,
    type=WORDS,
    model=st.none() | WORDS,
    outcome=st.none() | st.sampled_from(AgentOutcome),
    admissible=st.none() | st.booleans(),
    reasons=st.lists(st.builds(Reason, code=WORDS, text=WORDS), max_size=4).map(tuple),
    reviews=st.lists(REVIEWS, max_size=3).map(tuple),
    score=st.none() | WORDS,
    checks=st.lists(CHECKS, max_size=6).map(tuple),
    invariants=st.lists(WORDS, max_size=8).map(tuple),
    claimed=st.lists(WORDS, max_size=8).map(tuple),
    added=st.integers(0, 10**9),
    ttv_ms=st.integers(0, 10**9),
    cost_microusd=st.integers(0, 10**9),
    summary=WORDS,
    error=st.none() | WORDS,
)
ANY_RESULT = st.builds(
    RunResult,
    run=st.just("00ff00ff00ff00ff"),
    workflow=st.just("issue-7"),
    intent_sha256=WORDS,
    title=WORDS,
    requester=WORDS,
    base_commit=WORDS,
    state=st.sampled_from(RunState),
    outcome=st.none() | st.sampled_from(RunOutcome),
    candidates=st.tuples(st.lists(ANY_CANDIDATE, max_size=5), st.sampled_from([0, 1, 40])).map(
        lambda made: tuple(made[0] * made[1])
    ),
    winner=st.none() | WORDS,
    commit=st.none() | WORDS,
    why=st.lists(WORDS, max_size=5).map(tuple),
    profile=WORDS,
    checks_source=WORDS,
    sandbox=WORDS,
    receipt=st.none() | st.builds(Receipt, origin=WORDS, entry=WORDS, root=WORDS, key=WORDS, commit=WORDS),
    problem=st.none() | WORDS,
    warnings=st.lists(WORDS, max_size=60).map(tuple),
    links=st.dictionaries(st.sampled_from(["repository", "pull request"]), WORDS, max_size=2),
)
