"""Who is registered, with what, as the signed records say: what an agent says of itself is never asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from governance.codes import ReasonCode, RefusedError
from governance.trust.chain import Grounds, chain_of, grounds_of, is_below, require_standing
from governance.trust.envelope import Envelope
from governance.trust.operations import Party, establish
from governance.trust.records import Attestation, Book, Delegation
from governance.trust.verify import require_signed


@dataclass(frozen=True)
class TrustStatus:
    """What can be said of an actor now.

    Attributes:
        actor: its name.
        trusted: whether anything that was granted to it still stands.
        capabilities: those that stand, sorted.
        envelope: what binds it, everything that was granted taken together.
        grants: ids of the records that stand.
        reason: why nothing stands; empty when something does.
        code: that reason's code; None when something does.
    """

    actor: str
    trusted: bool
    capabilities: tuple[str, ...] = ()
    envelope: Envelope = field(default_factory=Envelope)
    grants: tuple[str, ...] = ()
    reason: str = ""
    code: ReasonCode | None = None


def register(  # noqa: PLR0913 - what an attestation binds
    book: Book,
    authority: Party,
    name: str,
    key: str,
    capabilities: Sequence[str],
    *,
    envelope: Envelope | None = None,
    now_ms: int,
    expires_ms: int,
) -> Book:
    """Register an actor by attesting its capabilities: there is no entry without its signatures.

    Raises:
        RefusedError: see `governance.trust.operations.establish`; the book is as it was.
    """
    return establish(
        book,
        authority,
        subject=name,
        subject_key=key,
        capabilities=capabilities,
        envelope=envelope,
        issued_ms=now_ms,
        expires_ms=expires_ms,
    )


def find_capable_agent(book: Book, capability: str, task: str, now_ms: int) -> Grounds:
    """The agent that may do this for the task: the first by name, so that the order of registration says nothing.

    Args:
        book: as it is.
        capability: what is needed.
        task: `<run>` or `<run>/<node>`; an attestation holds for every task.
        now_ms: milliseconds since the epoch.

    Raises:
        RefusedError: NO_CAPABLE_AGENT when no agent holds it on grounds that stand, signatures included.
    """
    held = [
        one
        for name in sorted(actors(book))
        if name.startswith("agent:")
        for one in standing(book, name, now_ms)
        if capability in granted(one) and (not one.delegations or is_below(task, one.delegations[-1].task))
    ]
    if not held:
        raise RefusedError(ReasonCode.NO_CAPABLE_AGENT, f"no agent holds {capability!a} for task {task!a}")
    return held[0]


def status_of(book: Book, actor: str, now_ms: int) -> TrustStatus:
    """What stands of an actor's grants, and why nothing does."""
    held = standing(book, actor, now_ms)
    if held:
        envelope = Envelope()
        for one in held:
            envelope = envelope.meet(one.envelope)
        capabilities = tuple(sorted({word for one in held for word in granted(one)}))
        return TrustStatus(actor, True, capabilities, envelope, tuple(one.grant for one in held))  # noqa: FBT003
    try:
        for record in _records(book, actor):
            _checked(book, record, now_ms)
    except RefusedError as refused:
        return _distrusted(actor, refused)
    return _distrusted(actor, RefusedError(ReasonCode.TRUST_UNKNOWN, "nothing was ever granted to it"))


def _distrusted(actor: str, refused: RefusedError) -> TrustStatus:
    return TrustStatus(actor, trusted=False, reason=str(refused), code=refused.code)


def actors(book: Book) -> frozenset[str]:
    """Everybody who is named as holding something."""
    return frozenset((*(one.subject for one in book.attestations), *(one.delegatee for one in book.delegations)))


def standing(book: Book, actor: str, now_ms: int) -> list[Grounds]:
    """The grounds of an actor that stand now: signed, not expired, not revoked."""
    found = []
    for record in _records(book, actor):
        try:
            found.append(_checked(book, record, now_ms))
        except RefusedError:
            continue
    return found


def granted(grounds: Grounds) -> tuple[str, ...]:
    """The capabilities that the actor's own record carries."""
    return grounds.delegations[-1].capabilities if grounds.delegations else (grounds.attestation.capability,)


def _records(book: Book, actor: str) -> list[Attestation | Delegation]:
    attested = [one for one in book.attestations if one.subject == actor]
    return [*attested, *(one for one in book.delegations if one.delegatee == actor)]


def _checked(book: Book, record: Attestation | Delegation, now_ms: int) -> Grounds:
    if isinstance(record, Attestation):
        chain: Sequence[Grounds] = [grounds_of(book, record, record.capability)]
    else:
        way = chain_of(book, record)
        chain = [grounds_of(book, way, capability) for capability in record.capabilities]
    if not chain:
        raise RefusedError(ReasonCode.TRUST_CAPABILITY, "a delegation of nothing")
    for grounds in chain:
        require_standing(book, grounds, now_ms)
        require_signed(book, grounds)
    return chain[0]
