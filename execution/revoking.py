"""Taking authority back while runs are open: what is meant, what rests on it, and whose word it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from execution.authority import drawn_up
from execution.capture import Keeping, allowed
from execution.problems import RunProblem
from execution.redaction import secrets_of
from execution.runs import Run
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.trust.chain import in_force, mark, require_trusted, resting_on
from governance.trust.lineage import ORCHESTRATOR
from governance.trust.records import Delegation, Revocation, RevocationKind

REASON_CHARACTERS_MAX = 500
ID_DIGITS = 12  # of a delegation's id, for people
LISTED_MAX = 10  # delegations that an answer lists


@dataclass(frozen=True)
class Withdrawal:
    """What a person wants to take back, or to give back.

    Attributes:
        kind, target: see Revocation; a delegation may be named by the beginning of its id.
        by: who asks.
        reason: why, one line; may be empty.
        lifted: whether an earlier revocation is to end instead.
        request: what makes this request one, however often it is tried.
    """

    kind: RevocationKind
    target: str
    by: str
    reason: str = ""
    lifted: bool = False
    request: str = ""


@dataclass(frozen=True)
class Hit:
    """An open run in which something rests on the target.

    Attributes:
        run: it.
        agents: whose authority falls, by name, sorted.
        whole: whether the orchestrator's own falls: then the run ends.
    """

    run: Run
    agents: tuple[str, ...]
    whole: bool


@dataclass(frozen=True)
class Aim:
    """What a request comes to, before anything is written.

    Attributes:
        kind, target: in full.
        hits: the open runs that it concerns, newest first.
        standing: the revocation of it that is in force already; None when there is none.
    """

    kind: RevocationKind
    target: str
    hits: tuple[Hit, ...]
    standing: Revocation | None


@dataclass(frozen=True)
class Taken:
    """What came of a request.

    Attributes:
        aim: what was meant.
        seq: the ledger's line about it; None when it was so already and nothing was written.
    """

    aim: Aim
    seq: int | None


def aim(world: World, asked: Withdrawal, runs: Sequence[Run], revocations: Sequence[Revocation]) -> Aim:
    """Find what is meant; nothing is changed.

    Args:
        world: dependencies.
        asked: the request.
        runs: the repository's open runs, newest first.
        revocations: the repository's, in the ledger's order.

    Raises:
        RunProblem: TRUST_REVOKED, the word of who asks does not count; TRUST_UNKNOWN, no or more than one delegation
            is meant; TRUST_BROKEN, a run's record of trust is.
    """
    try:
        require_trusted(revocations, asked.by)
    except RefusedError as refused:
        text = f"{refused.text}, so nothing is revoked or given back at their word"
        raise RunProblem(text, code=refused.code) from None
    taken = in_force(revocations)
    books = {run.id: drawn_up(world, run.id) for run in runs}
    target = asked.target
    if asked.kind is RevocationKind.DELEGATION:
        held = [one for found in books.values() for book in found for one in book.delegations]
        target = _whole_id(target, held, [name for kind, name in taken if kind is RevocationKind.DELEGATION])
    try:
        fallen = {run: [one for book in books[run.id] for one in resting_on(book, asked.kind, target)] for run in runs}
    except RefusedError as refused:
        raise RunProblem(refused.text, code=refused.code) from None
    hits = tuple(_hit(run, found) for run, found in fallen.items() if found)
    return Aim(asked.kind, target, hits, taken.get(mark(asked.kind, target)))


def reason_kept(environ: Mapping[str, str], said: str) -> str:
    """What the record keeps of a person's reason, by the operator's word: no secrets, and under `digest` nothing.

    Raises:
        SetupProblem: the operator's capture policy is no such word.
    """
    kept = Keeping(allowed(environ), secrets_of(environ)).words(said)
    return kept[:REASON_CHARACTERS_MAX] if isinstance(kept, str) else ""


def _hit(run: Run, fallen: Sequence[Delegation]) -> Hit:
    names = {one.delegatee for one in fallen}
    agents = sorted(name.removeprefix("agent:") for name in names - {ORCHESTRATOR})
    return Hit(run, tuple(agents), ORCHESTRATOR in names)


def _whole_id(beginning: str, held: Sequence[Delegation], known: Sequence[str]) -> str:
    found = sorted({one for one in (*(one.id for one in held), *known) if one.startswith(beginning)})
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} delegations begin with {beginning!a}"
    shown = ", ".join(f"{one.id[:ID_DIGITS]} ({one.delegatee})" for one in held[:LISTED_MAX])
    raise RunProblem(f"{what}; in the open runs there are: {shown or 'none'}", code=ReasonCode.TRUST_UNKNOWN)
