"""Establish, delegate, audit and revoke. Verifying is `governance.trust.verify`.

Each operation takes the book as it is and gives a record or the book as it is after. Nothing is changed in place, so
two runs at the same time cannot disturb each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from governance.codes import ReasonCode, RefusedError
from governance.trust.chain import Grounds, chain_of, grounds_of, is_below, require_standing
from governance.trust.constraints import Constraint
from governance.trust.envelope import Envelope
from governance.trust.records import (
    DEPTH_MAX,
    PERSON,
    ActResult,
    Anchor,
    Attestation,
    Book,
    Delegation,
    Genesis,
    Revocation,
    RevocationKind,
    public_key,
)
from governance.trust.verify import require_signed
from ledger.keys import Signer


@dataclass(frozen=True)
class Party:
    """An actor with its key.

    Attributes:
        name: `human:ada`, `orchestrator:optr`, `agent:claude` …
        signer: its key; it never leaves the process that acts for it.
    """

    name: str
    signer: Signer

    @property
    def key(self) -> str:
        """The hex public key."""
        return public_key(self.signer)


@dataclass(frozen=True)
class Terms:
    """What a delegation hands on. Whatever is not said here stays as tight as it is.

    Attributes:
        task: `<run>` or `<run>/<node>`.
        capabilities: none by default.
        constraints: added to, or tightening, what the delegator is bound by.
        expires_ms: milliseconds since the epoch.
    """

    task: str
    expires_ms: int
    capabilities: Sequence[str] = ()
    constraints: Mapping[str, Constraint] = field(default_factory=dict)


def found(authority: Party) -> Book:
    """A book with nothing but its root."""
    genesis = Genesis(authority=authority.name, signer=authority.key)
    return Book(genesis=genesis.sealed(authority.signer))


def establish(  # noqa: PLR0913 - an attestation binds all of these
    book: Book,
    authority: Party,
    *,
    subject: str,
    subject_key: str,
    capabilities: Sequence[str],
    envelope: Envelope | None = None,
    issued_ms: int,
    expires_ms: int,
) -> Book:
    """Attest capabilities to a subject, each in a record of its own. Again, with the same arguments, changes nothing.

    Raises:
        RefusedError: TRUST_BROKEN when `authority` is not the book's, TRUST_CONSTRAINT_UNKNOWN for an envelope with a
            type that is not known.
    """
    if (authority.name, authority.key) != (book.genesis.authority, book.genesis.signer):
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"{authority.name!a} is not the authority of this book")
    bounds = Envelope().tighten(envelope.constraints if envelope is not None else {})
    known = {one.id for one in book.attestations}
    made = [
        Attestation(
            signer=authority.key,
            authority=authority.name,
            subject=subject,
            subject_key=subject_key,
            capability=capability,
            envelope=bounds,
            issued_ms=issued_ms,
            expires_ms=expires_ms,
        ).sealed(authority.signer)
        for capability in dict.fromkeys(capabilities)
    ]
    added = tuple(one for one in made if one.id not in known)
    return book.model_copy(update={"attestations": (*book.attestations, *added)})


def delegate(  # noqa: PLR0913 - who, to whom, what, when
    book: Book, delegator: Party, delegatee: str, delegatee_key: str, terms: Terms, *, now_ms: int, parent: str = ""
) -> tuple[Book, Delegation]:
    """Hand on what the delegator holds, or less.

    Args:
        book: as it is.
        delegator: who signs; a person with attestations, or who was delegated to by `parent`.
        delegatee: who may act then.
        delegatee_key: its hex public key.
        terms: what is handed on.
        now_ms: milliseconds since the epoch.
        parent: id of the delegation to go on from; empty for the person's own.

    Returns:
        The book with the delegation, and the delegation.

    Raises:
        RefusedError: TRUST_CYCLE, TRUST_DEPTH, TRUST_CAPABILITY, TRUST_WIDER, TRUST_CONSTRAINT_UNKNOWN, TRUST_REVOKED,
            TRUST_EXPIRED, TRUST_UNKNOWN, TRUST_BROKEN or TRUST_SIGNATURE.
    """
    above = _parent(book, delegator, parent)
    _require_new(delegator, delegatee, delegatee_key, above)
    bounds, ends_ms = _held(book, delegator, terms, above, now_ms)
    if terms.expires_ms > ends_ms:
        raise RefusedError(ReasonCode.TRUST_WIDER, "`expires_ms` is later than that of what is handed on")
    envelope = bounds.tighten(terms.constraints)
    _require_left(book, envelope, above)
    made = Delegation(
        signer=delegator.key,
        delegator=delegator.name,
        delegatee=delegatee,
        delegatee_key=delegatee_key,
        origin=above[0].origin if above else delegator.name,
        task=terms.task,
        capabilities=tuple(dict.fromkeys(terms.capabilities)),
        envelope=envelope,
        parent=parent,
        depth=len(above) + 1,
        issued_ms=now_ms,
        expires_ms=terms.expires_ms,
    ).sealed(delegator.signer)
    return book.model_copy(update={"delegations": (*book.delegations, made)}), made


def revoke(book: Book, authority: Party, kind: RevocationKind, target: str, *, by: str, now_ms: int) -> Book:
    """Take back a delegation, an agent, a person or a key, and with it all that rests on it, from the next act on.

    Raises:
        RefusedError: TRUST_BROKEN when `authority` is not the book's.
    """
    if authority.key != book.genesis.signer:
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"{authority.name!a} is not the authority of this book")
    made = revocation(authority, kind, target, by=by, now_ms=now_ms)
    return book.model_copy(update={"revocations": (*book.revocations, made)})


def revocation(  # noqa: PLR0913 - who takes what back, when and why
    authority: Party,
    kind: RevocationKind,
    target: str,
    *,
    by: str,
    now_ms: int,
    reason: str = "",
    lifted: bool = False,
) -> Revocation:
    """A signed revocation, for the ledger; or, lifted, the end of one."""
    made = Revocation(
        signer=authority.key, kind=kind, target=target, by=by, reason=reason, lifted=lifted, revoked_ms=now_ms
    )
    return made.sealed(authority.signer)


def audit(  # noqa: PLR0913 - an anchor says all of these
    recorder: Party,
    actor: str,
    action: str,
    result: ActResult,
    *,
    at_ms: int,
    grounds: Grounds | None = None,
    resource: str = "",
    code: str = "",
    parent: Anchor | None = None,
) -> Anchor:
    """Record an act, allowed or denied, by an actor who may be known to nobody.

    Args:
        recorder: who signs: the actor itself; the authority, for an actor that has no key.
        actor: see Anchor; so are the next two.
        action: what was done.
        result: how it ended.
        resource: to what it was done.
        code: the reason's code, when it was denied.
        at_ms: milliseconds since the epoch.
        grounds: what allowed it; None for a denied act.
        parent: the anchor before it.
    """
    return Anchor(
        signer=recorder.key,
        actor=actor,
        action=action,
        resource=resource,
        result=result,
        code=code,
        grant=grounds.grant if grounds else "",
        origin=grounds.origin if grounds else "",
        parent=parent.id if parent else "",
        at_ms=at_ms,
    ).sealed(recorder.signer)


def require_anchors(book: Book, anchors: Sequence[Anchor]) -> None:
    """Check a trail: each anchor follows the one before, and was signed by its actor or by the authority.

    Raises:
        RefusedError: TRUST_BROKEN or TRUST_SIGNATURE.
    """
    keys = {(one.delegatee, one.delegatee_key) for one in book.delegations}
    keys |= {(one.subject, one.subject_key) for one in book.attestations}
    before = ""
    for anchor in anchors:
        anchor.require_signature()
        if anchor.parent != before:
            raise RefusedError(ReasonCode.TRUST_BROKEN, f"anchor {anchor.id[:16]} does not follow the one before it")
        if anchor.signer != book.genesis.signer and (anchor.actor, anchor.signer) not in keys:
            raise RefusedError(
                ReasonCode.TRUST_BROKEN, f"anchor {anchor.id[:16]} was signed neither by its actor nor by the authority"
            )
        before = anchor.id


def _parent(book: Book, delegator: Party, parent: str) -> tuple[Delegation, ...]:
    """The chain to go on from; empty for a person's own delegation."""
    if not parent and not delegator.name.startswith(PERSON):
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"{delegator.name!a} is no person, and hands on nothing of its own")
    if not parent:
        return ()
    last = next((one for one in book.delegations if one.id == parent), None)
    if last is None or (last.delegatee, last.delegatee_key) != (delegator.name, delegator.key):
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"{parent[:16]} is not a delegation to {delegator.name!a}")
    return chain_of(book, last)


def _require_new(delegator: Party, delegatee: str, delegatee_key: str, above: Sequence[Delegation]) -> None:
    names = {delegator.name, *(one.delegator for one in above)}
    keys = {delegator.key, *(one.signer for one in above)}
    if delegatee in names or delegatee_key in keys:
        raise RefusedError(ReasonCode.TRUST_CYCLE, f"{delegatee!a} stands on the way to itself already")
    if len(above) >= DEPTH_MAX:
        raise RefusedError(
            ReasonCode.TRUST_DEPTH, f"there are {DEPTH_MAX} delegations already, and no more are allowed"
        )


def _held(
    book: Book, delegator: Party, terms: Terms, above: tuple[Delegation, ...], now_ms: int
) -> tuple[Envelope, int]:
    """What binds the delegator for these capabilities, and until when it holds them."""
    grounds = [_holding(book, delegator, capability, above, now_ms) for capability in dict.fromkeys(terms.capabilities)]
    if above:
        if not is_below(terms.task, above[-1].task):
            raise RefusedError(ReasonCode.TRUST_WIDER, f"task {terms.task!a} is not a part of {above[-1].task!a}")
        return above[-1].envelope, above[-1].expires_ms
    bounds = Envelope()
    for one in grounds:
        bounds = bounds.meet(one.envelope)
    return bounds, min((one.expires_ms for one in grounds), default=terms.expires_ms)


def _holding(book: Book, delegator: Party, capability: str, above: tuple[Delegation, ...], now_ms: int) -> Grounds:
    """Grounds on which the delegator holds a capability now, signatures checked. Its constraints bind its acts."""
    grounds = grounds_of(book, above or _attested(book, delegator, capability), capability)
    require_standing(book, grounds, now_ms)
    require_signed(book, grounds)
    return grounds


def _attested(book: Book, holder: Party, capability: str) -> Attestation:
    wanted = (holder.name, holder.key, capability)
    held = [one for one in book.attestations if (one.subject, one.subject_key, one.capability) == wanted]
    if not held:
        raise RefusedError(ReasonCode.TRUST_CAPABILITY, f"{holder.name!a} does not hold {capability!a}")
    return max(held, key=lambda one: (one.expires_ms, one.id))


def _require_left(book: Book, envelope: Envelope, above: Sequence[Delegation]) -> None:
    """Siblings share a budget: together they are given no more than there is."""
    if not above:
        return
    siblings = [one for one in book.delegations if one.parent == above[-1].id]
    for name, amount in above[-1].envelope.budgets.items():
        given = sum(one.envelope.budgets.get(name, 0) for one in siblings)
        if given + envelope.budgets.get(name, 0) > amount:
            raise RefusedError(ReasonCode.TRUST_WIDER, f"`{name}`: {amount - given} of {amount} is left to hand on")
