import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.gate import GateFacts, GateReason, Review, ReviewState, decide_gate
from bot.render.check_run import Conclusion
from bot.risk import Change, Level, Risk, assess

HEAD, OLD, TREE = "1" * 40, "2" * 40, "9" * 40


def review(login: str = "rae", **changes: object) -> Review:
    fields: dict[str, object] = {
        "reviewer": sum(map(ord, login)),
        "login": login,
        "human": True,
        "can_write": True,
        "state": ReviewState.APPROVED,
        "commit": HEAD,
    }
    return Review.model_validate({**fields, **changes})


def facts(**changes: object) -> GateFacts:
    fields: dict[str, object] = {
        "run": "00ff00ff00ff00ff",
        "requester": "mona",
        "ledger_problem": None,
        "ledger_size": 9,
        "ledger_root": "ab" * 32,
        "recorded_tree": TREE,
        "stored_tree": TREE,
        "head": HEAD,
        "head_tree": TREE,
        "base_ref": "main",
        "recorded_base": "main",
        "approvals_required": 1,
        "two_person": True,
        "risk": Risk(level=Level.LOW),
        "risk_approvals": {Level.HIGH: 2},
        "siblings": (),
        "reviews": (review(),),
    }
    return GateFacts.model_validate({**fields, **changes})


def test_green_when_the_recorded_tree_is_approved() -> None:
    decision = decide_gate(facts())
    assert decision.conclusion is Conclusion.SUCCESS
    assert decision.reasons == ()
    assert "✗" not in decision.summary
    assert "size 9, root `" + "ab" * 32 in decision.summary


@pytest.mark.parametrize(
    ("changes", "reason", "conclusion"),
    [
        ({"ledger_problem": "hash mismatch"}, GateReason.LEDGER_UNVERIFIED, Conclusion.FAILURE),
        ({"ledger_problem": ""}, GateReason.LEDGER_UNVERIFIED, Conclusion.FAILURE),
        ({"ledger_root": ""}, GateReason.LEDGER_UNVERIFIED, Conclusion.FAILURE),
        ({"recorded_tree": None}, GateReason.NO_RECORDED_WINNER, Conclusion.FAILURE),
        ({"stored_tree": None}, GateReason.NO_RECORDED_WINNER, Conclusion.FAILURE),
        ({"recorded_tree": "8" * 40}, GateReason.NO_RECORDED_WINNER, Conclusion.FAILURE),
        ({"recorded_tree": "", "stored_tree": "", "head_tree": ""}, GateReason.NO_RECORDED_WINNER, Conclusion.FAILURE),
        ({"head_tree": None}, GateReason.HEAD_UNKNOWN, Conclusion.FAILURE),
        ({"head_tree": "8" * 40}, GateReason.HEAD_NOT_RECORDED, Conclusion.FAILURE),
        ({"base_ref": "release"}, GateReason.BASE_CHANGED, Conclusion.FAILURE),
        ({"base_ref": "", "recorded_base": ""}, GateReason.BASE_CHANGED, Conclusion.FAILURE),
        ({"reviews": None}, GateReason.REVIEWS_UNKNOWN, Conclusion.FAILURE),
        ({"risk": None}, GateReason.RISK_UNKNOWN, Conclusion.FAILURE),
        ({"siblings": None}, GateReason.SIBLINGS_UNKNOWN, Conclusion.FAILURE),
        ({"siblings": (3,)}, GateReason.SIBLING_OPEN, Conclusion.FAILURE),
        ({"risk": Risk(level=Level.HIGH)}, GateReason.APPROVALS_MISSING, Conclusion.ACTION_REQUIRED),
        ({"approvals_required": None}, GateReason.RULES_UNKNOWN, Conclusion.FAILURE),
        ({"reviews": ()}, GateReason.APPROVALS_MISSING, Conclusion.ACTION_REQUIRED),
        ({"approvals_required": 2}, GateReason.APPROVALS_MISSING, Conclusion.ACTION_REQUIRED),
    ],
)
def test_anything_missing_closes_the_gate(
    changes: dict[str, object], reason: GateReason, conclusion: Conclusion
) -> None:
    decision = decide_gate(facts(**changes))
    assert decision.conclusion is conclusion
    assert reason in decision.reasons
    assert f"`{reason}`" in decision.summary


@pytest.mark.parametrize(
    ("given_review", "told"),
    [
        (review("mona"), "mona asked for the change"),
        (review("MONA"), "MONA asked for the change"),
        (review("copilot", human=False), "copilot is not a person"),
        (review("passer-by", can_write=False), "passer-by has no write permission"),
        (review("rae", commit=OLD), "rae approved an older head"),
        (review("rae", commit=""), "rae approved an older head"),
    ],
)
def test_an_approval_that_does_not_count_is_explained(given_review: Review, told: str) -> None:
    decision = decide_gate(facts(reviews=(given_review,)))
    assert decision.conclusion is Conclusion.ACTION_REQUIRED
    assert decision.reasons == (GateReason.APPROVALS_MISSING,)
    assert told in decision.summary


def test_the_requester_counts_only_where_the_rules_say_so() -> None:
    assert decide_gate(facts(reviews=(review("mona"),), two_person=False)).conclusion is Conclusion.SUCCESS


def test_one_person_counts_once_under_any_name() -> None:
    twice = (review("rae", reviewer=5), review("rae-renamed", reviewer=5))
    assert decide_gate(facts(reviews=twice, approvals_required=2)).conclusion is Conclusion.ACTION_REQUIRED


@pytest.mark.parametrize("later", [ReviewState.DISMISSED, ReviewState.CHANGES_REQUESTED])
def test_a_word_taken_back_does_not_count(later: ReviewState) -> None:
    decision = decide_gate(facts(reviews=(review(), review(state=later))))
    assert decision.conclusion is Conclusion.ACTION_REQUIRED


def test_a_comment_leaves_the_approval_standing() -> None:
    reviews = (review(), review(state=ReviewState.COMMENTED, commit=OLD))
    assert decide_gate(facts(reviews=reviews)).conclusion is Conclusion.SUCCESS


def test_asked_changes_close_the_gate_whatever_others_say() -> None:
    reviews = (review("zoe", state=ReviewState.CHANGES_REQUESTED, commit=OLD), review("rae"))
    decision = decide_gate(facts(reviews=reviews))
    assert decision.conclusion is Conclusion.ACTION_REQUIRED
    assert decision.reasons == (GateReason.CHANGES_REQUESTED,)


def test_strangers_cannot_close_the_gate() -> None:
    stranger = review("troll", state=ReviewState.CHANGES_REQUESTED, can_write=False)
    assert decide_gate(facts(reviews=(stranger, review("rae")))).conclusion is Conclusion.SUCCESS


def test_no_approval_is_needed_where_the_rules_ask_none() -> None:
    assert decide_gate(facts(approvals_required=0, reviews=())).conclusion is Conclusion.SUCCESS


OPTIONAL_TREE = st.none() | st.sampled_from(["", TREE, "8" * 40])
ANY_REVIEW = st.builds(
    Review,
    reviewer=st.integers(1, 4),
    login=st.sampled_from(["mona", "Mona", "rae", "zoe", "optr[bot]", "@all <b>"]),
    human=st.booleans(),
    can_write=st.booleans(),
    state=st.sampled_from(ReviewState),
    commit=st.sampled_from(["", HEAD, OLD]),
)
ANY_FACTS = st.builds(
    GateFacts,
    run=st.just("r"),
    requester=st.just("mona"),
    ledger_problem=st.none() | st.text(),
    recorded_tree=OPTIONAL_TREE,
    stored_tree=OPTIONAL_TREE,
    head=st.just(HEAD),
    head_tree=OPTIONAL_TREE,
    base_ref=st.sampled_from(["main", "other", ""]),
    recorded_base=st.sampled_from(["main", ""]),
    approvals_required=st.none() | st.integers(0, 3),
    two_person=st.booleans(),
    risk=st.none() | st.builds(Risk, level=st.sampled_from(Level)),
    risk_approvals=st.just({Level.MEDIUM: 1, Level.HIGH: 2}),
    siblings=st.none() | st.sampled_from([(), (3,)]),
    reviews=st.none() | st.lists(ANY_REVIEW, max_size=6).map(tuple),
)


@given(ANY_FACTS)
def test_green_implies_every_condition(any_facts: GateFacts) -> None:
    decision = decide_gate(any_facts)
    assert decision.conclusion in {Conclusion.SUCCESS, Conclusion.FAILURE, Conclusion.ACTION_REQUIRED}
    assert (decision.conclusion is Conclusion.SUCCESS) == (not decision.reasons)
    if decision.conclusion is not Conclusion.SUCCESS:
        return
    assert any_facts.ledger_problem is None
    assert any_facts.head_tree == any_facts.recorded_tree == any_facts.stored_tree == TREE
    assert any_facts.base_ref == any_facts.recorded_base == "main"
    assert any_facts.reviews is not None
    assert any_facts.approvals_required is not None
    people = {
        r.reviewer
        for r in any_facts.reviews
        if r.state is ReviewState.APPROVED and r.human and r.can_write and r.commit == HEAD
        if not (any_facts.two_person and r.login.lower() == "mona")
    }
    assert len(people) >= any_facts.approvals_required
    assert any_facts.siblings == ()
    assert any_facts.risk is not None
    assert len(people) >= any_facts.risk_approvals.get(any_facts.risk.level, 0)


@pytest.mark.parametrize(
    ("paths", "lines", "scores", "level"),
    [
        (("src/a.py",), 10, {"a": "0.9", "b": "0.5"}, Level.LOW),
        (("src/a.py",), 10, {"a": "0.9"}, Level.LOW),
        (("src/a.py",), 10, {"a": "0.9", "b": "0.89"}, Level.MEDIUM),
        (("src/a.py",), 10, {"a": "0", "b": "0"}, Level.MEDIUM),
        (("src/a.py",), 10, {"a": "much", "b": "0"}, Level.MEDIUM),
        (("src/a.py",), 301, {}, Level.MEDIUM),
        (tuple(f"src/{n}.py" for n in range(16)), 20, {}, Level.MEDIUM),
        (("src/a.py",), 1001, {}, Level.HIGH),
        (("web/package.json",), 1, {}, Level.HIGH),
        (("uv.lock",), 1, {}, Level.HIGH),
        (("PYPROJECT.TOML",), 1, {}, Level.HIGH),
        ((".github/dependabot.yml",), 1, {}, Level.HIGH),
        (("infra/main.tf",), 1, {}, Level.HIGH),
    ],
)
def test_risk_is_the_highest_that_any_fact_asks_for(
    paths: tuple[str, ...], lines: int, scores: dict[str, str], level: Level
) -> None:
    found = assess(Change(paths=paths, lines=lines, scores=scores), ("infra/**",))
    assert found.level is level
    assert bool(found.why) == (level is not Level.LOW)


def test_where_the_ledger_cannot_be_read_the_summary_says_so_and_tells_what_was_signed_last() -> None:
    unread: dict[str, object] = {"ledger_problem": "hash mismatch", "ledger_size": 0, "ledger_root": ""}
    told = decide_gate(facts(**unread, signed={"size": 7, "root": "cd" * 32})).summary
    assert f"Ledger unreadable: hash mismatch. Last signed: Ledger size 7, root `{'cd' * 32}`." in told
    assert "Nothing was ever signed here." in decide_gate(facts(**unread)).summary
