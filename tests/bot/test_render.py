import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.render.budget import BODY_BYTES_MAX, CHECK_TEXT_BYTES_MAX, COMPARISON_BYTES_MAX, Section, fit
from bot.render.check_run import CheckStatus, Conclusion, conclude, run_check
from bot.render.comment import comment_body, marked_run, marker
from bot.render.comparison import comparison, verify_command
from bot.render.pull_request import pull_request_body, pull_request_title
from bot.render.words import duration, money
from execution.result import ReviewResult, RunResult
from execution.reviews import Complexity, NoVote, VoteKind
from governance.states import RunOutcome, RunState
from tests.bot.results import ANY_RESULT, CANDIDATES, no_winner, result, run

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def test_the_comparison_says_who_won_why_why_not_and_how_to_check() -> None:
    text = comparison(result())
    first, *rest = text.splitlines()
    assert first.startswith("**codex selected** · 2 of 4 candidates admissible · $0.83")
    assert re.search(r"\| 1 \| \*\*codex\*\* \| ✓ selected +\| +0\.912 \| ✓ 2 passed", text)
    assert "✗ unit failed" in text
    assert "**Why codex**" in text
    for loser in ("claude", "sed", "sleepy"):
        assert any(line.startswith(f"- {loser}: ") for line in rest), loser
    assert "size 7, root `" + "ab" * 32 in text
    assert "git clone --single-branch --branch datalake https://github.com/octo/sums optr-record" in text
    for fact in ("profile balanced", "sandbox bubblewrap", "optr.yml"):
        assert fact in text.splitlines()[-1]


def test_the_comparison_of_four_fits_one_screen() -> None:
    assert len(comparison(result()).splitlines()) <= 40


def test_the_table_is_aligned_where_it_is_read_raw() -> None:
    rows = [line for line in comparison(result()).splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == 2 + len(CANDIDATES)


def test_a_run_without_winner_says_so_first() -> None:
    text = comparison(no_winner())
    assert text.startswith("**no winner** · 0 of 2 candidates admissible")
    assert "No admissible results from any agent" in text.splitlines()[0]
    assert "**Why codex**" not in text


def test_a_local_run_is_verified_in_place() -> None:
    assert verify_command(result(links={})) == "optr verify-ledger --repo ."
    assert verify_command(result(links={"repository": "https://x/`rm -rf /`"})) == "optr verify-ledger --repo ."


@SLOW
@given(ANY_RESULT)
def test_no_result_breaks_a_budget(made: RunResult) -> None:
    assert len(comparison(made).encode()) <= COMPARISON_BYTES_MAX
    check = run_check(made)
    assert len(check.text.encode()) <= CHECK_TEXT_BYTES_MAX
    assert len(check.summary.encode()) <= CHECK_TEXT_BYTES_MAX
    assert len(comment_body(made).encode()) <= BODY_BYTES_MAX
    asked = run(title="\U0001f600" * 5000, body="\U0001f600 <\n" * 60_000)
    assert len(pull_request_body(asked, made).encode()) <= BODY_BYTES_MAX


@SLOW
@given(ANY_RESULT)
def test_no_result_carries_markup_of_others(made: RunResult) -> None:
    for text in (comparison(made), comment_body(made), pull_request_body(run(), made)):
        html = [t.content for t in MARKDOWN.parse(text) if t.type == "html_block"]
        ours = re.compile(
            r"<!-- optr:run=00ff00ff00ff00ff -->|<details><summary>[^<]*</summary>|</details>",
        )
        assert "<" not in ours.sub("", "".join(html))
        inline = [c for t in MARKDOWN.parse(text) for c in t.children or ()]
        assert "image" not in {c.type for c in inline}
        assert text.count("<!--") <= 1


@SLOW
@given(ANY_RESULT)
def test_closing_words_name_our_issue_only(made: RunResult) -> None:
    body = pull_request_body(run(issue=7, title="fixes #1", body="closes #2\nresolves octo/x#3 gh-4"), made)
    assert re.findall(r"#\d+|\bGH-\d+", body, re.IGNORECASE) == ["#7"]
    assert "@everyone" not in body


@given(
    st.lists(st.tuples(st.text(max_size=50), st.integers(0, 5)), max_size=30),
    st.integers(min_value=200, max_value=3000),
)
def test_sections_stay_whole_and_go_by_rank(parts: list[tuple[str, int]], budget: int) -> None:
    sections = [Section(f"<{n}>{text}</{n}>", rank or 1) for n, (text, rank) in enumerate(parts)]
    text = fit(sections, budget)
    assert len(text.encode()) <= budget
    kept = [section for section in sections if section.text in text]
    gone = [section for section in sections if section not in kept]
    if gone:
        assert f"{len(gone)} parts left out" in text
        assert max((section.rank for section in kept), default=0) <= min(section.rank for section in gone)


def test_essential_sections_that_do_not_fit_are_our_fault() -> None:
    with pytest.raises(ValueError, match="essential sections take 300 bytes of 200"):
        fit([Section("x" * 300)], 200)


@pytest.mark.parametrize(
    ("state", "outcome", "expected"),
    [
        (RunState.RECEIVED, None, (CheckStatus.QUEUED, None)),
        (RunState.EXECUTING, None, (CheckStatus.IN_PROGRESS, None)),
        (RunState.RECORDED, None, (CheckStatus.IN_PROGRESS, None)),
        (RunState.PUBLISHED, None, (CheckStatus.COMPLETED, Conclusion.SUCCESS)),
        (RunState.IN_REVIEW, None, (CheckStatus.COMPLETED, Conclusion.SUCCESS)),
        (RunState.CLOSED, RunOutcome.ACCEPTED, (CheckStatus.COMPLETED, Conclusion.SUCCESS)),
        (RunState.CLOSED, RunOutcome.NO_WINNER, (CheckStatus.COMPLETED, Conclusion.FAILURE)),
        (RunState.CLOSED, RunOutcome.FAILED, (CheckStatus.COMPLETED, Conclusion.FAILURE)),
        (RunState.CLOSED, RunOutcome.CANCELLED, (CheckStatus.COMPLETED, Conclusion.CANCELLED)),
        (RunState.CLOSED, RunOutcome.EXPIRED, (CheckStatus.COMPLETED, Conclusion.TIMED_OUT)),
        (RunState.CLOSED, None, (CheckStatus.COMPLETED, Conclusion.FAILURE)),
    ],
)
def test_a_check_concludes_as_the_run_did(
    state: RunState, outcome: RunOutcome | None, expected: tuple[CheckStatus, Conclusion | None]
) -> None:
    assert conclude(result(state=state, outcome=outcome)) == expected


@SLOW
@given(ANY_RESULT)
def test_success_needs_a_recorded_winner(made: RunResult) -> None:
    status, conclusion = conclude(made)
    assert (status is CheckStatus.COMPLETED) == (conclusion is not None)
    if conclusion is Conclusion.SUCCESS:
        assert made.winner
        assert made.commit
        assert made.receipt
        assert made.outcome in {None, RunOutcome.ACCEPTED, RunOutcome.REJECTED}


def test_a_check_carries_the_output_of_failing_checks() -> None:
    text = run_check(no_winner()).text
    assert text.startswith(comparison(no_winner()))
    assert "assert 3 == 4" in text
    assert run_check(no_winner()).update_payload(0)["completed_at"] == "1970-01-01T00:00:00Z"


def test_an_unfinished_check_has_no_conclusion() -> None:
    payload = run_check(result(state=RunState.EXECUTING)).create_payload(1_000)
    assert payload["status"] == "in_progress"
    assert payload["external_id"] == "00ff00ff00ff00ff"
    assert "conclusion" not in payload
    assert "completed_at" not in payload


def test_the_comment_is_found_by_its_first_line_only() -> None:
    body = comment_body(result())
    assert marked_run(body) == "00ff00ff00ff00ff"
    assert marked_run("hello " + marker("00ff00ff00ff00ff")) is None
    assert "✓ executing" in body


def test_the_comment_of_a_closed_run_says_how_it_ended() -> None:
    assert "closed: **no winner**" in comment_body(no_winner())


def test_the_pull_request_has_what_a_reviewer_is_owed() -> None:
    body = pull_request_body(run(), result())
    for heading in ("What was asked", "Plan", "Evidence", "Acceptance", "Rollback", "What was not checked"):
        assert f"\n## {heading}\n" in body
    found = re.search(r"```json\n(.*?)\n```", body, re.DOTALL)
    assert found
    plan = json.loads(found.group(1))
    assert [node["agent"] for node in plan["nodes"]] == ["codex", "claude", "sed", "sleepy"]
    assert comparison(result()) in body
    assert "Claimed by the agent and not proved: secure." in body
    assert "\nCloses #7\n" in body
    assert "\n/" not in body


def test_titles_reference_nothing() -> None:
    assert pull_request_title(result(title="fixes #3 for @me")) == "fixes #\u200b3 for @\u200bme"
    assert pull_request_title(result(title="\u202e")) == "OPTR issue-7"


def test_money_and_time_read_well() -> None:
    assert [money(n) for n in (0, 400, 830_000)] == ["$0", "$0.0004", "$0.83"]
    assert [duration(n) for n in (840, 41_300, 372_000)] == ["840ms", "41.3s", "6m12s"]


def test_a_review_is_one_inert_line() -> None:
    review = ReviewResult(
        reviewer="judge",
        vote=VoteKind.VETO,
        violations=("a.py: @octocat leaks <b>keys</b>\n## fixes #1", "b.py: too"),
        complexity=Complexity.HIGH,
        cost_microusd=20_000,
    )
    silent = ReviewResult(reviewer="jury", vote=VoteKind.NO_VOTE, no_vote=NoVote.OWN_PATCH, problem="its own patch")
    one = CANDIDATES[0].model_copy(update={"reviews": (review, silent), "cost_microusd": 10_000})
    text = comparison(result(candidates=(one,)))
    (line,) = [line for line in text.splitlines() if line.startswith("- judge on codex")]
    assert line.startswith("- judge on codex: ✗ veto: a.py: @\u200boctocat leaks &lt;b&gt;keys")
    assert line.endswith("and 1 more · $0.02")
    assert "#1" not in line
    assert "- jury on codex: no vote, own patch: its own patch" in text
    assert "$0.03" in text.splitlines()[0], "reviews are paid for too"


def test_only_plain_addresses_are_linked() -> None:
    made = result(links={"pull request": "https://github.com/octo/sums/pull/9", "worse": "javascript:x", "odd": "<!--"})
    for text in (comment_body(made), run_check(made).summary):
        assert "[pull request](https://github.com/octo/sums/pull/9)" in text
        assert "worse" not in text
        assert "odd" not in text


def test_a_run_without_a_line_says_so_and_one_whose_ledger_refused_it_says_why() -> None:
    assert "no line of this run stands on a ledger" in run_check(result(receipt=None)).text
    refused = result(receipt=None, code="LEDGER_REFUSED", problem="the branch was rolled back")
    assert "Ledger unreadable: the branch was rolled back" in comment_body(refused)
    assert "no line of this run" not in comment_body(refused)
