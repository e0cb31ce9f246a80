"""The way from an act back to the person who asked: links, holders, and what was taken back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from governance.codes import ReasonCode, RefusedError
from governance.trust.envelope import Envelope
from governance.trust.records import DEPTH_MAX, Attestation, Book, Delegation, Revocation, RevocationKind

_REVOCABLE_ACTORS = {"agent": RevocationKind.AGENT, "human": RevocationKind.HUMAN}


@dataclass(frozen=True)
class Grounds:
    """On whose word an act is allowed.

    Attributes:
        attestation: the root of the chain.
        delegations: from the origin's to the actor's own; empty when the actor holds the capability by attestation.
    """

    attestation: Attestation
    delegations: tuple[Delegation, ...] = ()

    @property
    def grant(self) -> str:
        """Id of the record that the actor itself holds."""
        return self.delegations[-1].id if self.delegations else self.attestation.id

    @property
    def actor(self) -> str:
        """Whose grounds they are."""
        return self.delegations[-1].delegatee if self.delegations else self.attestation.subject

    @property
    def origin(self) -> str:
        """The person; or the attested actor itself."""
        return self.delegations[0].origin if self.delegations else self.attestation.subject

    @property
    def envelope(self) -> Envelope:
        """The tightest envelope, which is the actor's own."""
        return self.delegations[-1].envelope if self.delegations else self.attestation.envelope

    @property
    def expires_ms(self) -> int:
        """When the actor's own grant ends."""
        return self.delegations[-1].expires_ms if self.delegations else self.attestation.expires_ms


def is_below(task: str, above: str) -> bool:
    """Whether a task is another one, or a part of it."""
    return task == above or task.startswith(f"{above}/")


def chain_of(book: Book, last: Delegation) -> tuple[Delegation, ...]:
    """From the origin's delegation to this one; every link fits, no actor comes twice.

    Raises:
        RefusedError: TRUST_BROKEN, TRUST_CYCLE or TRUST_DEPTH.
    """
    known = {one.id: one for one in book.delegations}
    chain = [last]
    while chain[0].parent:
        above = known.get(chain[0].parent)
        if above is None:
            raise RefusedError(ReasonCode.TRUST_BROKEN, f"delegation {chain[0].id[:16]} rests on one that is not here")
        if len(chain) >= DEPTH_MAX:
            raise RefusedError(ReasonCode.TRUST_DEPTH, f"more than {DEPTH_MAX} delegations from the person to the act")
        _require_link(above, chain[0])
        chain.insert(0, above)
    actors = [chain[0].delegator, *(one.delegatee for one in chain)]
    if len(set(actors)) != len(actors):
        raise RefusedError(ReasonCode.TRUST_CYCLE, f"the same actor stands twice in: {' > '.join(actors)}"[:500])
    if chain[0].delegator != chain[0].origin or [one.depth for one in chain] != list(range(1, len(chain) + 1)):
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"delegation {last.id[:16]} does not begin with its origin")
    return tuple(chain)


def _require_link(above: Delegation, below: Delegation) -> None:
    fits = (
        below.delegator == above.delegatee
        and below.signer == above.delegatee_key
        and below.origin == above.origin
        and is_below(below.task, above.task)
    )
    if not fits:
        raise RefusedError(
            ReasonCode.TRUST_BROKEN, f"delegation {below.id[:16]} does not continue the one it names as its parent"
        )


def grounds_of(book: Book, found: Attestation | tuple[Delegation, ...], capability: str) -> Grounds:
    """The chain with the attestation at its root; every step of it holds the capability.

    Raises:
        RefusedError: TRUST_CAPABILITY.
    """
    if isinstance(found, Attestation):
        return Grounds(found)
    lacking = next((one for one in found if capability not in one.capabilities), None)
    if lacking is not None:
        raise RefusedError(ReasonCode.TRUST_CAPABILITY, f"{lacking.delegatee!a} was not given {capability!a}")
    first = found[0]
    held = [
        one
        for one in book.attestations
        if (one.subject, one.subject_key, one.capability) == (first.delegator, first.signer, capability)
    ]
    if not held:
        raise RefusedError(
            ReasonCode.TRUST_CAPABILITY, f"{first.delegator!a} handed on {capability!a} without holding it"
        )
    return Grounds(max(held, key=lambda one: (_carries(one, first), one.expires_ms, one.id)), found)


def _carries(attestation: Attestation, delegation: Delegation) -> bool:
    """Whether a delegation is no wider than this attestation: several may speak for the same holder."""
    lasts = delegation.expires_ms <= attestation.expires_ms
    return lasts and delegation.envelope.is_tighter(attestation.envelope)


def require_standing(book: Book, grounds: Grounds, now_ms: int) -> None:
    """Refuse what has expired or was taken back anywhere on the way.

    Raises:
        RefusedError: TRUST_EXPIRED or TRUST_REVOKED.
    """
    for record in (grounds.attestation, *grounds.delegations):
        if now_ms >= record.expires_ms:
            raise RefusedError(
                ReasonCode.TRUST_EXPIRED,
                f"{record.record_kind} {record.id[:16]} for {grounds.actor!a} expired at {record.expires_ms} ms",
            )
    if (why := revoked(book, grounds)) is not None:
        raise RefusedError(ReasonCode.TRUST_REVOKED, f"{grounds.actor!a} cannot act: {why}")


def revoked(book: Book, grounds: Grounds) -> str | None:
    """What on the way was taken back: any step takes down all that are below it."""
    if not book.revocations:
        return None
    taken = in_force(book.revocations)
    for kind, target in _touched(book, grounds):
        if (revocation := taken.get(mark(kind, target))) is not None:
            return f"{kind} {target!a} was revoked by {revocation.by!a}"
    return None


Mark = tuple[RevocationKind, str]


def mark(kind: RevocationKind, target: str) -> Mark:
    """What two words about the same target share: a person's name counts in any case, as GitHub's logins do."""
    return kind, target.lower() if kind is RevocationKind.HUMAN else target


def in_force(revocations: Sequence[Revocation]) -> dict[Mark, Revocation]:
    """What is revoked, by `mark`, when these were said one after the other: of each target the newest word stands."""
    newest = {mark(one.kind, one.target): one for one in revocations}
    return {at: one for at, one in newest.items() if not one.lifted}


def require_trusted(revocations: Sequence[Revocation], person: str) -> None:
    """Refuse the word of a person who was revoked.

    Raises:
        RefusedError: TRUST_REVOKED.
    """
    if (against := in_force(revocations).get(mark(RevocationKind.HUMAN, person))) is not None:
        raise RefusedError(ReasonCode.TRUST_REVOKED, f"human {person!a} was revoked by {against.by!a}")


def resting_on(book: Book, kind: RevocationKind, target: str) -> tuple[Delegation, ...]:
    """The delegations that fall with a target: its own and those below it, in the order in which they were made.

    Raises:
        RefusedError: the book is broken; see `chain_of` and `grounds_of`.
    """
    wanted = mark(kind, target)
    return tuple(
        one
        for one in book.delegations
        if one.capabilities
        and wanted in (mark(*it) for it in _touched(book, grounds_of(book, chain_of(book, one), one.capabilities[0])))
    )


def _touched(book: Book, grounds: Grounds) -> Iterator[tuple[RevocationKind, str]]:
    """Everything whose revocation takes this down."""
    yield RevocationKind.KEY, book.genesis.signer
    yield RevocationKind.KEY, grounds.attestation.subject_key
    actors = [grounds.attestation.subject]
    for delegation in grounds.delegations:
        yield RevocationKind.DELEGATION, delegation.id
        yield RevocationKind.KEY, delegation.delegatee_key
        actors.append(delegation.delegatee)
    for actor in actors:
        sort, _, name = actor.partition(":")
        if sort in _REVOCABLE_ACTORS:
            yield _REVOCABLE_ACTORS[sort], name
