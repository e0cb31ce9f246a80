"""`/optr revoke`."""

import re

from bot.commands.declaration import Argument, Call, Command, Place
from bot.intent import sanitise
from bot.names import COMMAND_WORD
from bot.permissions import Permission
from bot.render.neutral import neutralise, plain
from bot.render.words import code, sentence
from execution.problems import RunProblem
from execution.revoking import ID_DIGITS, REASON_CHARACTERS_MAX, Aim, Hit, Withdrawal
from governance.states import RunState
from governance.trust.records import RevocationKind

LIFT = "lift"
OWN = "Whether you are trusted is for another administrator to say, so nothing was done."
ANSWER_CHARACTERS_MAX = 900
HITS_MAX = 10

# What a target may look like, and how that is told; hostile text ends here.
_AGENT = re.compile(r"[a-z][a-z0-9_-]{0,39}"), "an agent's name, as the run's comment lists it"
_HUMAN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"), "a person's login"
_DELEGATION = re.compile(r"[0-9a-f]{8,64}"), "a delegation's id or its first digits, eight or more"
_KEY = re.compile(r"[0-9a-f]{64}"), "a whole public key, 64 hexadecimal digits"
_FORMS = {
    RevocationKind.AGENT: _AGENT,
    RevocationKind.HUMAN: _HUMAN,
    RevocationKind.DELEGATION: _DELEGATION,
    RevocationKind.KEY: _KEY,
}
_TARGET = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


async def handle(call: Call) -> str:
    """Take trust back from the next act on, or give it back; the rest of the comment is the reason."""
    kind, target = RevocationKind(call.argument("kind")), call.argument("target")
    if wrong := _wrong(kind, target):
        return wrong
    if kind is RevocationKind.HUMAN and target.lower() == call.sender.lower():
        return OWN
    asked = Withdrawal(
        kind,
        target,
        by=call.sender,
        reason=plain(sanitise(call.said), REASON_CHARACTERS_MAX),
        lifted=bool(call.argument(LIFT)),
        request=call.guid,
    )
    try:
        taken = await call.context.desk.take_back(call.installation, call.repository.full_name, asked)
    except RunProblem as problem:
        why = neutralise(str(problem), ANSWER_CHARACTERS_MAX)
        return f"Nothing was done: {why} (`{code(problem.code)}`). Usage: `{COMMAND.usage}`"
    if kind is RevocationKind.HUMAN:
        await _judge_again(call)
    return (_lifted if asked.lifted else _revoked)(taken.aim, taken.seq)


async def _judge_again(call: Call) -> None:
    """Judge the open pull requests anew: whether an approval counts depends on who is trusted."""
    context, repository = call.context, call.repository.full_name
    for run in await context.runs.runs_in_review(repository):
        found = await context.github(call.installation).pull_request(repository, run.pull_request)
        await context.gate.evaluate(run, found)


def _wrong(kind: RevocationKind, target: str) -> str:
    form, words = _FORMS[kind]
    if form.fullmatch(target):
        return ""
    return f"`{code(target)}` is not {words}, so nothing was done. Usage: `{COMMAND.usage}`"


def _revoked(aim: Aim, seq: int | None) -> str:
    what, since = _named(aim), aim.standing
    if seq is None and since is not None:
        told = f"{what} was revoked before, by {sentence(since.by)}; nothing was added."
    else:
        told = f"{what} is revoked from now on (line {seq} of the ledger)."
    hits = "".join(f"- {_hit(hit)}\n" for hit in aim.hits[:HITS_MAX])
    if len(aim.hits) > HITS_MAX:
        hits += f"- and {len(aim.hits) - HITS_MAX} more runs\n"
    return f"{told} {_reach(aim)}\n\n{hits}\nTo give it back: `{COMMAND_WORD} {COMMAND.name} {_words(aim)} {LIFT}`"


def _lifted(aim: Aim, seq: int | None) -> str:
    what = _named(aim)
    if seq is None:
        return f"{what} is not revoked, so nothing was added."
    return (
        f"{what} is not revoked any more (line {seq} of the ledger). What had ended or was refused stays so: "
        f"`{COMMAND_WORD} rerun` asks again."
    )


def _reach(aim: Aim) -> str:
    later = {
        RevocationKind.AGENT: "Later runs leave it out.",
        RevocationKind.HUMAN: "No run starts at their word, and their approvals count for nothing.",
        RevocationKind.DELEGATION: "Later runs have delegations of their own and are not concerned.",
        RevocationKind.KEY: "Nothing that this key signed or was granted counts, in later runs too.",
    }[aim.kind]
    if not aim.hits:
        return f"No run that is open here rests on it: look whether it is spelled right. {later}"
    return f"{later} Of the open runs these rest on it:"


def _hit(hit: Hit) -> str:
    run = f"run `{code(hit.run.workflow)}`"
    if hit.run.state is RunState.IN_REVIEW:
        return (
            f"{run}: its pull request #{hit.run.pull_request} is open already and stays; close it if it is not wanted"
        )
    if hit.whole:
        return f"{run} ends at its next step"
    agents = ", ".join(f"`{code(agent)}`" for agent in hit.agents)
    return f"{run}: {agents} may do nothing more, and what it made is not used; the run goes on without it if it can"


def _named(aim: Aim) -> str:
    return f"{str(aim.kind).capitalize()} `{_shown(aim)}`"


def _words(aim: Aim) -> str:
    return f"{aim.kind} {_shown(aim)}"


def _shown(aim: Aim) -> str:
    return code(aim.target[:ID_DIGITS] if aim.kind is RevocationKind.DELEGATION else aim.target)


def _kind(value: str) -> tuple[str, ...]:
    if value not in set(RevocationKind):
        raise ValueError(f"one of {', '.join(RevocationKind)}")
    return (value,)


def _target(value: str) -> tuple[str, ...]:
    if not _TARGET.fullmatch(value):
        raise ValueError("an agent's name, a person's login, a delegation's id or a public key")
    return (value.removeprefix("@"),)


def _lift(value: str) -> tuple[str, ...]:
    if value != LIFT:
        raise ValueError(f"the word `{LIFT}`, or nothing")
    return (value,)


COMMAND = Command(
    name="revoke",
    meaning="Takes trust back from an agent, person, delegation or key, and all that rests on it; the rest says why.",
    example="/optr revoke agent claude",
    permission=Permission.ADMIN,
    handle=handle,
    arguments=(
        Argument("kind", "KIND", "agent, human, delegation or key", _kind, Place.REQUIRED),
        Argument("target", "TARGET", "a name, a login, a delegation's id or a public key", _target, Place.REQUIRED),
        Argument(LIFT, LIFT, "ends an earlier revocation instead", _lift, Place.OPTIONAL),
    ),
)
