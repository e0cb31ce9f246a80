"""`/optr explain`."""

from bot.commands.declaration import Argument, Call, Command, Place, one_name
from bot.permissions import Permission
from bot.render.words import check_ids, code, duration, failures, form_words, money, name, sentence, verdict
from execution.result import CandidateResult, RunResult

NOTHING_YET = "No run has been asked for here, so there is nothing to explain."
NO_CANDIDATES = "Nothing has been written yet: the agents are not there."
WHY_MAX = 5
REASONS_MAX = 8
CHECKS_MAX = 10


async def handle(call: Call) -> str:
    """Why one candidate stands where it stands; without a name, the winner, or all when there is none."""
    run = await call.newest_run()
    result = await call.context.runs.result(run.id) if run is not None else None
    if run is None or result is None:
        return NOTHING_YET
    if not result.candidates:
        return NO_CANDIDATES
    chosen = call.argument("agent") or result.winner
    if chosen is None:
        return "\n\n".join(_explained(candidate, result) for candidate in result.candidates)
    found = next((candidate for candidate in result.candidates if candidate.agent == chosen), None)
    return unknown_agent(result) if found is None else _explained(found, result)


def unknown_agent(result: RunResult) -> str:
    """Who there is instead."""
    names = ", ".join(name(candidate.agent) for candidate in result.candidates)
    return f"No such agent took part in run `{code(result.workflow)}`. There were: {names}."


def _explained(candidate: CandidateResult, result: RunResult) -> str:
    ran = check_ids(candidate)
    facts = [
        f"patch: {candidate.files} files, +{candidate.added} -{candidate.deleted} lines",
        f"took {duration(candidate.execution_ms)}, cost {money(candidate.cost_microusd)}",
        f"checks that ran: {', '.join(map(name, ran[:CHECKS_MAX])) or 'none'}",
    ]
    if candidate.score is not None:
        terms = ", ".join(f"{name(term)} {name(value)}" for term, value in candidate.terms.items())
        facts.append(f"score {name(candidate.score)} ({terms or 'no terms'}), profile {name(result.profile)}")
    if candidate.invariants:
        facts.append(f"measured to hold: {', '.join(map(name, candidate.invariants))}")
    if candidate.agent == result.winner:
        facts += [f"why it won: {sentence(why)}" for why in result.why[:WHY_MAX]]
    facts += [f"`{code(reason.code)}`: {sentence(reason.text)}" for reason in candidate.reasons[:REASONS_MAX]]
    facts += [
        f"check {name(check.id)} on the {form_words(check.form)}: {check.outcome}"
        for check in failures(candidate)[:CHECKS_MAX]
    ]
    if candidate.error:
        facts.append(f"how it ended: {sentence(candidate.error)}")
    lines = "".join(f"- {fact}\n" for fact in facts)
    return f"**{name(candidate.agent)}**: {verdict(candidate, result)}\n\n{lines}"


COMMAND = Command(
    name="explain",
    meaning="Says why a candidate won or did not: score, checks, reasons. Without a name it explains the winner.",
    example="/optr explain claude",
    permission=Permission.READ,
    handle=handle,
    arguments=(Argument("agent", "AGENT", "whose candidate", one_name, Place.OPTIONAL),),
)
