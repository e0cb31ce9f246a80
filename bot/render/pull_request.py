"""The winner's pull request: what was asked, the plan, the evidence, the way back, and what nobody checked."""

import json
from collections.abc import Iterable

from bot.render.budget import BODY_BYTES_MAX, TITLE_CHARACTERS_MAX, Section, fit
from bot.render.comment import marker
from bot.render.comparison import comparison
from bot.render.neutral import fenced, plain, quote
from bot.render.words import PASSED, check_ids, code, failures, name, sentence
from execution.result import CandidateResult, RunResult
from execution.runs import Run
from scoring.evidence import CheckForm

ASKED_CHARACTERS_MAX = 4_000
SUMMARY_CHARACTERS_MAX = 2_000
PLAN_CHARACTERS_MAX = 8_000
NAMES_SHOWN_MAX = 20

_SUMMARY, _ASKED, _PLAN = 2, 3, 4


def branch(workflow: str) -> str:
    """The branch that carries the winner of `workflow`, without `refs/heads/`."""
    return f"optr/{workflow}"


def pull_request_title(result: RunResult) -> str:
    """One line of plain text, at most 200 characters; it may become a commit message, so it references nothing."""
    return plain(result.title, TITLE_CHARACTERS_MAX) or f"OPTR {plain(result.workflow, TITLE_CHARACTERS_MAX)}"


def pull_request_body(run: Run, result: RunResult) -> str:
    """The body, at most 65,000 bytes. The closing keyword is ours and names the run's own issue only."""
    winner = next((candidate for candidate in result.candidates if candidate.agent == result.winner), None)
    closes = f"Closes #{run.issue}\n" if run.issue else ""
    sections = [
        Section(f"{marker(run.id)}\n{_lead(result)}\n\n{closes}"),
        Section(f"\n## What was asked\n\n{sentence(run.title)}\n\n{quote(run.body, ASKED_CHARACTERS_MAX)}\n", _ASKED),
        Section(f"\n## Plan\n\n{_plan(run, result)}", _PLAN),
        Section(f"\n## Evidence\n\n{comparison(result)}"),
        Section(_claims(winner), _SUMMARY),
        Section(f"\n## Acceptance\n\n{_acceptance(winner)}"),
        Section(f"\n## Rollback\n\n{_rollback(result, winner)}"),
        Section(f"\n## What was not checked\n\n{_not_checked(winner)}"),
    ]
    return fit(sections, BODY_BYTES_MAX)


def _lead(result: RunResult) -> str:
    return (
        f"{name(result.winner or '')} wrote this patch and was selected among {len(result.candidates)} candidates, on "
        f"evidence that OPTR measured. A human decides; `optr/gate` turns green when this exact tree is approved."
    )


def _plan(run: Run, result: RunResult) -> str:
    """The plan as JSON, made by us from the run's record."""
    plan = {
        "run": run.id,
        "workflow": plain(run.workflow, 100),
        "base": {"branch": plain(run.base_branch, 200), "commit": code(run.base_commit)},
        "constraints": [plain(text, 80) for text in run.constraints[:NAMES_SHOWN_MAX]],
        "nodes": [
            {"agent": plain(c.agent, 60), "type": plain(c.type, 40), "model": plain(c.model, 60) if c.model else None}
            for c in result.candidates[:NAMES_SHOWN_MAX]
        ],
        "join": "SELECTION",
        "profile": plain(result.profile, 40),
        "intent_sha256": code(run.intent_sha256),
    }
    block = fenced(json.dumps(plan, indent=2), PLAN_CHARACTERS_MAX).replace("text\n", "json\n", 1)
    return f"<details><summary>plan.json</summary>\n\n{block}\n\n</details>\n"


def _claims(winner: CandidateResult | None) -> str:
    """The agent's own words, marked as claims."""
    if winner is None or not winner.summary.strip():
        return ""
    return f"\n**In the agent's words** (a claim, not evidence)\n\n{quote(winner.summary, SUMMARY_CHARACTERS_MAX)}\n"


def _acceptance(winner: CandidateResult | None) -> str:
    return "".join(
        f"- {line}\n"
        for line in (
            "Plan: attached above, and as `plan.json` on the `datalake` branch",
            f"Tests: {_tests(winner)}",
            f"Security: {_held(winner, 'secure')}",
            f"Documentation: {_held(winner, 'documented')}",
            "Performance: not measured",
            "Rollback: below",
        )
    )


def _tests(winner: CandidateResult | None) -> str:
    if winner is None or not winner.checks:
        return "not checked: the repository declares no checks"
    failed = failures(winner)
    restored = any(check.form is CheckForm.BASE_TESTS for check in winner.checks)
    how = "on the candidate's tree and with the base's tests restored" if restored else "on the candidate's tree"
    if failed:
        return f"failed: {_names(check.id for check in failed)}"
    return f"{PASSED} passed: {_names(check_ids(winner))}, {how}"


def _held(winner: CandidateResult | None, invariant: str) -> str:
    if winner is not None and invariant in winner.invariants:
        provers = [check.id for check in winner.checks if invariant in check.proves]
        by = f" by {_names(provers)}" if provers else ""
        return f"{PASSED} `{invariant}` was measured to hold{by}"
    return f"not checked: no check of this repository proves `{invariant}`"


def _rollback(result: RunResult, winner: CandidateResult | None) -> str:
    size = f"{winner.files} files, +{winner.added} -{winner.deleted} lines" if winner else "see the diff"
    return (
        f"The patch is one commit, `{code(result.commit or '')}`, on `{code(result.base_commit)}` ({size}). "
        "Before the merge: close this pull request. After it:\n\n"
        "```sh\ngit revert --no-edit COMMIT        # squashed or rebased\n"
        "git revert --no-edit -m 1 COMMIT   # merge commit\n```\n"
    )


def _not_checked(winner: CandidateResult | None) -> str:
    lines = [
        "Performance was not measured.",
        "Behaviour that no declared check covers.",
        "Anything that needs a network.",
    ]
    if winner is not None:
        unproved = [claim for claim in winner.claimed if claim not in winner.invariants]
        if unproved:
            lines.append(f"Claimed by the agent and not proved: {_names(unproved)}.")
        optional = [check.id for check in failures(winner) if not check.required]
        if optional:
            lines.append(f"Optional checks that did not pass: {_names(optional)}.")
        if not winner.checks:
            lines.append("Everything: the repository declares no checks.")
    return "".join(f"- {line}\n" for line in lines)


def _names(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    shown = ", ".join(name(text) for text in unique[:NAMES_SHOWN_MAX])
    return shown + (f" and {len(unique) - NAMES_SHOWN_MAX} more" if len(unique) > NAMES_SHOWN_MAX else "")
