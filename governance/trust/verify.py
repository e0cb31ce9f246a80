"""Whether an act is authorised: the walk from the act back to the person, and from there to the installation.

QUICK     At every step: the capability is held; the links, the task and the origin fit; no actor comes twice; nothing
          has expired or was revoked; the envelope allows the act. No signature: one pass over the book and the chain.
STANDARD  QUICK, and of every record on the way: its signature, and that it is no wider than what it rests on.
          One Ed25519 check per record on the way, at most DEPTH_MAX + 2.
FULL      STANDARD, and every other record of the book: signatures, links, revocations, budgets that siblings share.
          At least one Ed25519 check per record of the book; a delegation's chain once per capability.

No level passes for a capability that is not held, for something expired, or for something revoked. QUICK trusts that
the book's signatures were checked before by who loaded it; it is for the many small acts between two STANDARD checks.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from governance.codes import ReasonCode, RefusedError
from governance.trust.chain import Grounds, chain_of, grounds_of, is_below, require_standing
from governance.trust.constraints import Fact
from governance.trust.records import Attestation, Book, Delegation, Lasting


class Level(StrEnum):
    """How much of the chain is checked again."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


@dataclass(frozen=True)
class Act:
    """What somebody wants to do.

    Attributes:
        actor, key: who, and its hex public key.
        capability: which of its capabilities it uses.
        task: for what, `<run>` or `<run>/<node>`.
        facts: what it shows to the constraints, by their names.
    """

    actor: str
    key: str
    capability: str
    task: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def verify(book: Book, act: Act, level: Level, now_ms: int, authorities: Collection[str] = ()) -> Grounds:
    """Find grounds on which the act is allowed now.

    Args:
        book: what was granted, and revoked.
        act: what somebody wants to do.
        level: how much is checked again.
        now_ms: milliseconds since the epoch.
        authorities: as for `require_sound`.

    Raises:
        RefusedError: TRUST_UNKNOWN when nothing in the book names the actor with this key; TRUST_CAPABILITY when
            nothing gives it the capability for the task; otherwise what is wrong with the last grant that would.
    """
    if level is Level.FULL:
        require_sound(book, authorities)
    refusal = _nothing(book, act)
    for grounds in _candidates(book, act):
        try:
            walk = grounds if isinstance(grounds, Attestation) else chain_of(book, grounds)
            found = grounds_of(book, walk, act.capability)
            require_standing(book, found, now_ms)
            for record in (found.attestation, *found.delegations):
                record.envelope.require(act.facts, now_ms)
            if level is not Level.QUICK:
                require_signed(book, found)
        except RefusedError as refused:
            refusal = refused
        else:
            return found
    raise refusal


def require_signed(book: Book, grounds: Grounds) -> None:
    """Check the signatures on the way, and that nothing on it is wider than what it rests on.

    Raises:
        RefusedError: TRUST_SIGNATURE, TRUST_BROKEN or TRUST_WIDER.
    """
    _require_genesis(book)
    _require_attestation(book, grounds.attestation)
    above: Lasting = grounds.attestation
    for delegation in grounds.delegations:
        delegation.require_signature()
        if not delegation.envelope.is_tighter(above.envelope) or delegation.expires_ms > above.expires_ms:
            raise RefusedError(
                ReasonCode.TRUST_WIDER, f"delegation {delegation.id[:16]} allows more than what it rests on"
            )
        above = delegation


def require_sound(book: Book, authorities: Collection[str] = ()) -> None:
    """Check every record of the book, used or not.

    Args:
        book: it.
        authorities: hex public keys that the authority had before and after the one in the book; they too may revoke.

    Raises:
        RefusedError: TRUST_SIGNATURE, TRUST_BROKEN, TRUST_WIDER, TRUST_CYCLE or TRUST_DEPTH.
    """
    _require_genesis(book)
    for attestation in book.attestations:
        _require_attestation(book, attestation)
    for revocation in book.revocations:
        revocation.require_signature()
        if revocation.signer not in authorities:
            _require_authority(book, revocation.signer, f"revocation {revocation.id[:16]}")
    for delegation in book.delegations:
        chain = chain_of(book, delegation)
        for capability in delegation.capabilities or ():
            require_signed(book, grounds_of(book, chain, capability))
        delegation.require_signature()
    for name, above, shared in _overcommitted(book):
        raise RefusedError(ReasonCode.TRUST_WIDER, f"delegations under {above[:16]} share {shared} of `{name}`")


def _candidates(book: Book, act: Act) -> Iterator[Delegation | Attestation]:
    """What would give the actor the capability for the task; delegations first, as they are the narrower grounds."""
    for delegation in book.delegations:
        mine = delegation.delegatee == act.actor and delegation.delegatee_key == act.key
        if mine and act.capability in delegation.capabilities and is_below(act.task, delegation.task):
            yield delegation
    for attestation in book.attestations:
        mine = attestation.subject == act.actor and attestation.subject_key == act.key
        if mine and attestation.capability == act.capability:
            yield attestation


def _nothing(book: Book, act: Act) -> RefusedError:
    known = {(one.delegatee, one.delegatee_key) for one in book.delegations}
    known |= {(one.subject, one.subject_key) for one in book.attestations}
    if (act.actor, act.key) not in known:
        return RefusedError(ReasonCode.TRUST_UNKNOWN, f"nothing was ever granted to {act.actor!a} with this key")
    return RefusedError(
        ReasonCode.TRUST_CAPABILITY, f"{act.actor!a} does not hold {act.capability!a} for task {act.task!a}"
    )


def _require_genesis(book: Book) -> None:
    book.genesis.require_signature()


def _require_attestation(book: Book, attestation: Attestation) -> None:
    attestation.require_signature()
    _require_authority(book, attestation.signer, f"attestation {attestation.id[:16]}")
    if attestation.authority != book.genesis.authority:
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"attestation {attestation.id[:16]} names another authority")


def _require_authority(book: Book, signer: str, what: str) -> None:
    if signer != book.genesis.signer:
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"{what} was not signed by {book.genesis.authority!a}")


def _overcommitted(book: Book) -> Iterator[tuple[str, str, int]]:
    """Budgets of which more was handed on than there is: name, id of the delegation above, and the sum."""
    for above in book.delegations:
        below = [one for one in book.delegations if one.parent == above.id]
        for name, amount in above.envelope.budgets.items():
            shared = sum(one.envelope.budgets.get(name, 0) for one in below)
            if shared > amount:
                yield name, above.id, shared
