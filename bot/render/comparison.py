"""The comparison: one screen that says who won, why, why nobody else did, and how to check it.

The same text is printed by the command line, is the check run's text and stands in the pull request, so it must read
well both rendered and raw: tables are padded, marks have words beside them.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from bot.render.budget import COMPARISON_BYTES_MAX, Section, fit
from bot.render.ending import ending_word
from bot.render.words import (
    FAILED,
    PASSED,
    check_ids,
    code,
    duration,
    failures,
    money,
    name,
    product_version,
    sentence,
    short,
    verdict,
)
from execution.result import CandidateResult, NodeResult, Receipt, ReviewResult, RunResult
from execution.reviews import VoteKind
from governance.codes import ReasonCode
from governance.states import RunOutcome, RunState

WHY_MAX = 3
REASONS_PER_LOSER_MAX = 2
INVARIANTS_SHOWN_MAX = 6
FAILED_CHECKS_SHOWN_MAX = 3
ROWS_ESSENTIAL = 8
NODES_SHOWN_MAX = 40
VOTES_SHOWN_MAX = 6  # of one voter

_URL = r"https?://[A-Za-z0-9._:-]{1,100}/[A-Za-z0-9._/-]{1,200}"
_HEADINGS = ("#", "agent", "verdict", "score", "checks", "invariants", "+/-", "time", "cost")
_RIGHT = frozenset({0, 3, 6, 7, 8})

_TABLE_ROW, _WHY, _WARNING, _WHY_NOT, _FOOTER = 3, 2, 2, 4, 6


def comparison(result: RunResult) -> str:
    """The comparison of a run in any state, Markdown, at most 32,000 bytes; ends with a line feed."""
    sections = [
        Section(f"{verdict_line(result)}\n"),
        *_table(result),
        *_nodes(result),
        *_why(result),
        *_why_not(result),
        *_reviews(result),
        *_cross_votes(result),
        *_warnings(result),
        *_receipt(result),
        Section(f"\n_{footer(result)}_\n", _FOOTER),
    ]
    return fit(sections, COMPARISON_BYTES_MAX)


def headline(result: RunResult) -> str:
    """How the run stands, in a few words, no Markdown of ours."""
    if result.outcome in {RunOutcome.FAILED, RunOutcome.CANCELLED, RunOutcome.SUPERSEDED, RunOutcome.EXPIRED}:
        return str(result.outcome)
    if result.outcome is RunOutcome.REFUSED:
        return "refused"
    if result.winner is not None:
        return f"{name(result.winner)} selected"
    if result.outcome is RunOutcome.NO_WINNER:
        return "no winner"
    return str(result.state).replace("_", " ")


def verdict_line(result: RunResult) -> str:
    """The first line: what happened, how many were admissible, money and time, and the problem if there is one."""
    parts = [f"**{headline(result)}**"]
    if word := ending_word(result, headline(result)):
        parts.append(f"`{word}`")
    judged = [candidate for candidate in result.candidates if candidate.admissible is not None]
    if judged:
        admissible = sum(1 for candidate in judged if candidate.admissible)
        parts.append(f"{admissible} of {len(result.candidates)} candidates admissible")
    elif result.candidates:
        parts.append(f"{len(result.candidates)} agents")
    if result.candidates:
        parts.append(money(sum(_spent(candidate) for candidate in result.candidates)))
        parts.append(duration(max(max(c.ttv_ms, c.execution_ms) for c in result.candidates)))
    if result.outcome is not None and result.winner is not None and result.outcome is not RunOutcome.NO_WINNER:
        parts.append(str(result.outcome))
    if result.problem:
        parts.append(sentence(result.problem))
    return " · ".join(dict.fromkeys(parts))


def _spent(candidate: CandidateResult) -> int:
    """What a candidate cost in all: its attempt, and its reviews."""
    return candidate.cost_microusd + sum(review.cost_microusd for review in candidate.reviews)


def _table(result: RunResult) -> list[Section]:
    """Heading and one row per candidate; rows past the eighth may be left out, last first."""
    if not result.candidates:
        return []
    rows = [_row(place, candidate, result) for place, candidate in enumerate(result.candidates, start=1)]
    widths = [max(_width(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS))]
    rule = "|".join("-" * (width + 1) + (":" if i in _RIGHT else "-") for i, width in enumerate(widths))
    head = f"\n{_line(_HEADINGS, widths)}|{rule}|\n"
    return [
        Section(head),
        *(Section(_line(row, widths), 0 if i < ROWS_ESSENTIAL else _TABLE_ROW) for i, row in enumerate(rows)),
    ]


def _nodes(result: RunResult) -> list[Section]:
    """A workflow's nodes as they stand, one line each."""
    if not result.nodes:
        return []
    lines = [_node(one) for one in result.nodes[:NODES_SHOWN_MAX]]
    more = len(result.nodes) - len(lines)
    if result.state is RunState.AWAITING_CORRECTION:
        again = "`optr correct RUN NODE --reason …`, or here the comment `/optr correct NODE` with the reason below it"
        lines.append(f"\nTo have a node done again: {again}.")
    return [Section("\n**Nodes**\n\n" + "\n".join([*lines, *([f"- … and {more} more"] if more else [])]) + "\n", _WHY)]


def _node(one: NodeResult) -> str:
    mark = {"PASS": PASSED, "FAIL": FAILED}.get(one.verdict or "", "·")
    again = f", attempt {one.attempt}" if one.attempt > 1 else ""
    why = f": {sentence(one.reasons[0].text)}" if one.reasons else ""
    return f"- {mark} {name(one.node)} ({name(one.agent)}{again}) {(one.verdict or 'open').lower()}{why}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        " " * (width - _width(cell)) + cell if column in _RIGHT else cell + " " * (width - _width(cell))
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |\n"


def _width(cell: str) -> int:
    """Columns on a terminal."""
    return sum(_columns(character) for character in cell)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _row(place: int, candidate: CandidateResult, result: RunResult) -> tuple[str, ...]:
    won = candidate.agent == result.winner
    shown = name(candidate.agent)
    ranked = candidate.score is not None
    return (
        str(place) if ranked else "-",
        f"**{shown}**" if won else shown,
        verdict(candidate, result),
        name(candidate.score) if candidate.score is not None else "-",
        _checks_cell(candidate),
        _invariants_cell(candidate),
        f"+{candidate.added} −{candidate.deleted}",  # noqa: RUF001  a minus as wide as the plus
        duration(candidate.ttv_ms or candidate.execution_ms),
        money(candidate.cost_microusd),
    )


def _checks_cell(candidate: CandidateResult) -> str:
    """`✓ 4 passed`, or each failure by name and how it failed."""
    failed = failures(candidate)
    ids = check_ids(candidate)
    if not ids:
        return "none run"
    if not failed:
        return f"{PASSED} {len(ids)} passed"
    told = list(dict.fromkeys(f"{FAILED} {name(check.id)} {check.outcome}" for check in failed))
    more = [f"{len(told) - FAILED_CHECKS_SHOWN_MAX} more"] if len(told) > FAILED_CHECKS_SHOWN_MAX else []
    passed = len(ids) - len({check.id for check in failed})
    return ", ".join([*told[:FAILED_CHECKS_SHOWN_MAX], *more, *([f"{PASSED} {passed} passed"] if passed else [])])


def _invariants_cell(candidate: CandidateResult) -> str:
    shown = [name(invariant) for invariant in candidate.invariants[:INVARIANTS_SHOWN_MAX]]
    rest = len(candidate.invariants) - len(shown)
    return ", ".join([*shown, *([f"{rest} more"] if rest else [])]) or "none"


def _why(result: RunResult) -> list[Section]:
    if result.winner is None or not result.why:
        return []
    bullets = "".join(f"- {sentence(reason)}\n" for reason in result.why[:WHY_MAX])
    return [Section(f"\n**Why {name(result.winner)}**\n\n{bullets}", _WHY)]


def _why_not(result: RunResult) -> list[Section]:
    losers = [candidate for candidate in result.candidates if candidate.agent != result.winner]
    told = [Section(f"- {line}\n", _WHY_NOT) for candidate in losers if (line := why_not(candidate))]
    return (
        [Section("\n**Why not the others**\n\n" if result.winner else "\n**Why not**\n\n", _WHY_NOT), *told]
        if told
        else []
    )


def why_not(candidate: CandidateResult) -> str:
    """One line: the agent and the first two reasons against it, or what went wrong with its attempt."""
    reasons = [
        f"{sentence(reason.text)} (`{code(reason.code)}`)" for reason in candidate.reasons[:REASONS_PER_LOSER_MAX]
    ]
    if not reasons and candidate.error:
        reasons = [sentence(candidate.error)]
    rest = len(candidate.reasons) - REASONS_PER_LOSER_MAX
    if rest > 0:
        reasons.append(f"{rest} more")
    return f"{name(candidate.agent)}: {'; '.join(reasons)}" if reasons else ""


def _reviews(result: RunResult) -> list[Section]:
    """One line per review: who, about whom, and what it came to."""
    lines = [
        f"- {name(review.reviewer)} on {name(candidate.agent)}: {_vote(review)}\n"
        for candidate in result.candidates
        for review in candidate.reviews
    ]
    head = ["\n**Reviews** (blinded; a veto rejects, nothing admits)\n\n"] if lines else []
    return [Section(line, _WHY_NOT) for line in (*head, *lines)]


def _vote(review: ReviewResult) -> str:
    """The vote in words, with what the reviewer names first, and its price."""
    if review.vote is VoteKind.NO_VOTE:
        why = str(review.no_vote or "").replace("_", " ")
        told = f"no vote, {why}" + (f": {sentence(review.problem)}" if review.problem else "")
    elif review.vote is VoteKind.APPROVED:
        told = f"{PASSED} approved" + (f", complexity {review.complexity}" if review.complexity else "")
    else:
        mark = FAILED if review.vote is VoteKind.VETO else ""
        named = [violation for violation in review.violations if violation.strip()] or [review.rationale]
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        told = f"{mark} {review.vote}: {sentence(named[0])}{more}".strip()
    return f"{told} · {money(review.cost_microusd)}" if review.cost_microusd else told


def _cross_votes(result: RunResult) -> list[Section]:
    """One line: how each voter's new tests ended on the others' code."""
    votes = dict.fromkeys(vote for candidate in result.candidates for vote in candidate.cross)
    ballots: dict[str, list[str]] = {}
    for vote in votes:
        told = f"{str(vote.outcome).replace('_', ' ')} on {name(vote.target)}"
        ballots.setdefault(name(vote.voter), []).append(told)
    if not ballots:
        return []
    cast = [f"{voter}: {_some(dict.fromkeys(told))}" for voter, told in ballots.items()]
    line = f"\n**Cross-votes** (new tests of one, on another's code; evidence only) · {'; '.join(cast)}\n"
    return [Section(line, _WARNING)]


def _some(told: Iterable[str]) -> str:
    words = list(told)
    rest = len(words) - VOTES_SHOWN_MAX
    return ", ".join([*words[:VOTES_SHOWN_MAX], *([f"{rest} more"] if rest > 0 else [])])


def _warnings(result: RunResult) -> list[Section]:
    return [Section(f"\n**Note:** {sentence(warning)}\n", _WARNING) for warning in result.warnings]


def _receipt(result: RunResult) -> list[Section]:
    unreadable = ""
    if result.code == ReasonCode.LEDGER_REFUSED:
        unreadable = f"\nLedger unreadable: {sentence(result.problem or '') or 'it refused a line'}\n"
    if result.receipt is None:
        ended = result.state is RunState.CLOSED or result.outcome is not None
        said = "it ended before its first" if ended else "its first comes with its plan"
        return [Section(unreadable or f"\n**Receipt** · none: no line of this run stands on a ledger, {said}\n")]
    return [Section(f"{unreadable}\n{receipt_text(result.receipt, result)}")]


def receipt_text(receipt: Receipt, result: RunResult) -> str:
    """Where the record stands, and the command that checks it without trusting us."""
    return (
        f"**Receipt** · line {receipt.seq} of ledger {sentence(receipt.origin)}\n\n"
        f"- size {receipt.size}, root `{code(receipt.root)}`\n"
        f"- key `{code(receipt.key)}`, commit `{code(receipt.commit)}`\n\n"
        f"```sh\n{verify_command(result)}\n```\n"
    )


def verify_command(result: RunResult) -> str:
    """What to paste into a shell to verify the ledger: in a fresh clone for GitHub, in place otherwise."""
    url = result.links.get("repository", "")
    if not re.fullmatch(_URL, url):
        return "optr verify-ledger --repo ."
    return f"git clone --single-branch --branch datalake {url} optr-record && optr verify-ledger --repo optr-record"


def footer(result: RunResult) -> str:
    """Versions and what the judgement rested on, one line."""
    parts = [f"OPTR {product_version()}", f"run {name(result.run)}"]
    if result.profile:
        parts.append(f"profile {name(result.profile)}")
    if result.sandbox:
        parts.append(f"sandbox {name(result.sandbox)}")
    if result.base_commit:
        parts.append(f"base {name(short(result.base_commit))}")
    if result.checks_source:
        parts.append(f"checks: {sentence(result.checks_source)}")
    return " · ".join(parts)
