"""The signed records of trust. Each is named by the SHA-256 of what its signature covers.

A signature (Ed25519, RFC 8032) covers canonical JSON of `{"kind": <kind>, "value": <fields but the signature>}`, fields
at their default left out: the kind keeps one sort of record from passing for another, and from everything else that the
same key may sign.
"""

import hashlib
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from governance.codes import ReasonCode, RefusedError
from governance.record import Count, Record
from governance.trust.envelope import Envelope
from ledger import canonical
from ledger.errors import NoteError
from ledger.keys import Signer
from ledger.note import VerifierKey, check_signature

DEPTH_MAX = 10  # delegations from the person to the act
CAPABILITIES_MAX = 50  # of one delegation
SIGNATURES_REMEMBERED = 4096

Actor = Annotated[str, Field(pattern=r"^(installation|human|orchestrator|agent):[^\x00-\x1f\x7f]{1,200}$")]
Capability = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Task = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,149}$")]
PERSON = "human:"  # what the names of origins begin with


class Signed(Record):
    """A record with a signature.

    Attributes:
        signer: hex public key of who signed.
        signature: 128 hex digits; empty while unsigned.
    """

    signer: PublicKey
    signature: Annotated[str, Field(pattern=r"^([0-9a-f]{128})?$")] = ""

    @property
    def message(self) -> bytes:
        """The bytes that the signature covers."""
        value = self.model_dump(mode="json", exclude={"signature"}, exclude_defaults=True)
        return canonical.encode({"kind": self.record_kind, "value": value})

    @property
    def id(self) -> str:
        """Hex SHA-256 of the message: the same for every signature over the same content."""
        return hashlib.sha256(self.message).hexdigest()

    def sealed(self, signer: Signer) -> Self:
        """This record, signed.

        Raises:
            RefusedError: TRUST_SIGNATURE when the key is not the one that the record names.
        """
        if public_key(signer) != self.signer:
            raise RefusedError(ReasonCode.TRUST_SIGNATURE, f"{self.record_kind} names another key than the one given")
        return self.model_copy(update={"signature": signer.sign(self.message).hex()})

    def require_signature(self) -> None:
        """Check the signature by the key that the record names.

        Raises:
            RefusedError: TRUST_SIGNATURE.
        """
        if not _is_signed(self.signer, self.signature, self.message):
            raise RefusedError(
                ReasonCode.TRUST_SIGNATURE, f"the signature on {self.record_kind} {self.id[:16]} is wrong"
            )


@lru_cache(SIGNATURES_REMEMBERED)
def _is_signed(public: str, signature: str, message: bytes) -> bool:
    """Whether the key signed the message; a pure fact, asked of the same few records at every act of a run."""
    try:
        check_signature(VerifierKey("trust", bytes.fromhex(public)), bytes.fromhex(signature), message)
    except NoteError:
        return False
    return True


class Genesis(Signed):
    """The root: an authority says which key is its own.

    Attributes:
        authority: the installation, `installation:<the ledger's name>`.
    """

    record_kind: ClassVar[str] = "optr/trust/genesis/1"

    authority: Actor


class Lasting(Signed):
    """What holds for a time.

    Attributes:
        envelope: what every act on its strength stays inside of.
        issued_ms, expires_ms: milliseconds since the epoch; at the second moment it no longer holds.
    """

    envelope: Envelope = Envelope()
    issued_ms: Count
    expires_ms: Count

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.expires_ms <= self.issued_ms:
            raise ValueError("it must expire after it is issued")
        return self


class Attestation(Lasting):
    """The authority says that a subject has a capability. It names the subject's key, so nobody else can present it.

    Attributes:
        authority: who attests.
        subject, subject_key: who has it.
        capability: one word.
    """

    record_kind: ClassVar[str] = "optr/trust/attestation/1"

    authority: Actor
    subject: Actor
    subject_key: PublicKey
    capability: Capability


class Delegation(Lasting):
    """An actor lets another act for it, with no more than it holds itself.

    Attributes:
        delegator: who signed.
        delegatee, delegatee_key: who may act.
        origin: the person at whose word all this happens.
        task: `<run>` or `<run>/<node>`; only for this, and for what is below it.
        capabilities: what is handed on; empty hands on nothing.
        parent: id of the delegation that gave it to the delegator; empty when its attestations did.
        depth: 1 for the origin's own delegation.
    """

    record_kind: ClassVar[str] = "optr/trust/delegation/1"

    delegator: Actor
    delegatee: Actor
    delegatee_key: PublicKey
    origin: Actor
    task: Task
    capabilities: Annotated[tuple[Capability, ...], Field(max_length=CAPABILITIES_MAX)]
    parent: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    depth: Annotated[int, Field(ge=1, le=DEPTH_MAX)]

    @model_validator(mode="after")
    def _begins_with_a_person(self) -> Self:
        if not self.origin.startswith(PERSON):
            raise ValueError("the origin of a delegation is a person, human:<name>")
        return self


class RevocationKind(StrEnum):
    """What can be revoked."""

    AGENT = "agent"
    HUMAN = "human"
    DELEGATION = "delegation"
    KEY = "key"


class Revocation(Signed):
    """The authority takes something back, from now on and with everything that rests on it; or gives it back.

    Attributes:
        kind, target: an agent's or a person's name, a delegation's id, or a hex public key.
        lifted: whether this ends an earlier revocation of the same target; the newest word stands.
        by: the person who did it.
        reason: one line for people.
        revoked_ms: milliseconds since the epoch.
    """

    record_kind: ClassVar[str] = "optr/trust/revocation/1"

    kind: RevocationKind
    target: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=500)] = ""
    lifted: bool = False
    revoked_ms: Count


class ActResult(StrEnum):
    """How an audited act ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"
    PARTIAL = "partial"


class Anchor(Signed):
    """One audited act, linked to the one before it.

    Attributes:
        actor: who acted, or tried to; it need not be known to anyone.
        action, resource: what was done to what.
        result, code: how it ended; the reason's code when it was denied.
        grant: id of the delegation or attestation that allowed it; empty when it was denied.
        origin: the person at whose word; empty when there is none.
        parent: id of the anchor before it; empty for the first.
        at_ms: milliseconds since the epoch.
    """

    record_kind: ClassVar[str] = "optr/trust/anchor/1"

    actor: Annotated[str, Field(min_length=1, max_length=220)]
    action: Annotated[str, Field(min_length=1, max_length=64)]
    resource: Annotated[str, Field(max_length=500)] = ""
    result: ActResult
    code: str = ""
    grant: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    origin: str = ""
    parent: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    at_ms: Count


class Book(Record):
    """Everything that is known of one authority's trust. Operations return a new book.

    Attributes:
        genesis: the root.
        attestations, delegations, revocations: in the order in which they were made.
    """

    record_kind: ClassVar[str] = "optr/trust/book/1"

    genesis: Genesis
    attestations: tuple[Attestation, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    revocations: tuple[Revocation, ...] = ()


def public_key(signer: Signer) -> str:
    """The hex public key of a signer."""
    return signer.vkey.public.hex()
