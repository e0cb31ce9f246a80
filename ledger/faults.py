"""What can be wrong with a ledger, and what each finding implies."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whether the record was changed, or cannot be judged from what is here."""

    TAMPERED = "tampered"
    INCOMPLETE = "incomplete"


class Fault(StrEnum):
    """One kind of finding; the value is what users read."""

    HASH = "hash mismatch"
    CHAIN = "chain broken"
    CANONICAL = "not canonical"
    SHAPE = "not a ledger line"
    VERSION = "unknown format version"
    SEQUENCE = "sequence broken"
    DUPLICATE = "duplicate id"
    TIME = "time goes back"
    SEGMENTS = "segments malformed"
    MISSING_LINES = "lines missing"
    SURPLUS_LINES = "lines not signed"
    ROOT = "root mismatch"
    CHECKPOINT = "checkpoint invalid"
    KEYS = "verification key invalid"
    ROTATION = "key rotation invalid"
    REMEMBERED = "differs from the remembered checkpoint"
    COSIGNED = "cosigned checkpoint invalid"
    ANCHOR = "differs from an anchor"
    POLICY = "witness policy not met"
    TILE = "tile mismatch"
    FILE = "file digest mismatch"
    FILE_MISSING = "file missing"
    UNSPOKEN = "no line speaks for this file"
    ODD_FILE = "not a plain file"
    ABSENT = "nothing to verify"
    UNREADABLE = "not all here"


IMPLIES: Mapping[Fault, str] = {
    Fault.HASH: "this line was changed after it was written",
    Fault.CHAIN: "a line before this one was changed, removed, inserted or moved",
    Fault.CANONICAL: "these bytes were not written by the sequencer, or were converted on the way",
    Fault.SHAPE: "this line was not written by the sequencer",
    Fault.VERSION: "a newer verifier is needed to judge this ledger",
    Fault.SEQUENCE: "lines were removed, inserted or moved",
    Fault.DUPLICATE: "an event was recorded twice, or a line was copied",
    Fault.TIME: "a line was moved, or its time was changed",
    Fault.SEGMENTS: "segment files were removed, renamed or cut",
    Fault.MISSING_LINES: "the end of the ledger was cut off, or the branch was rolled back",
    Fault.SURPLUS_LINES: "lines were added by somebody without the signing key",
    Fault.ROOT: "history was rewritten by somebody without the signing key",
    Fault.CHECKPOINT: "the tree head was changed, removed, or signed by a key that is not trusted",
    Fault.KEYS: "the verification key was replaced or damaged",
    Fault.ROTATION: "a hand-over of the signing key was changed, moved or forged",
    Fault.REMEMBERED: "history was rolled back or rewritten by somebody who holds the signing key",
    Fault.COSIGNED: "the cosigned tree head was changed, or witnesses saw another history than this one",
    Fault.ANCHOR: "history was rolled back or rewritten after it was anchored, by somebody who holds the signing key",
    Fault.POLICY: "too few witnesses vouch that others see the same: it may be shown to you alone",
    Fault.TILE: "the Merkle tiles were changed; proofs made from them will fail",
    Fault.FILE: "this file was changed after its line was written",
    Fault.FILE_MISSING: "this file was removed after its line was written",
    Fault.UNSPOKEN: "this file was added by somebody other than the sequencer",
    Fault.ODD_FILE: "a link, a submodule or an executable was put where only plain files belong",
    Fault.ABSENT: "there is no ledger here, or it was removed",
    Fault.UNREADABLE: "part of the ledger is not in this copy, so it cannot be judged: fetch all of it and try again",
}
_INCOMPLETE = frozenset({Fault.VERSION, Fault.ABSENT, Fault.UNREADABLE, Fault.POLICY})


@dataclass(frozen=True)
class Problem:
    """The first thing found wrong.

    Attributes:
        kind: TAMPERED or INCOMPLETE.
        fault: which finding.
        entry: the line it was found at, counted from 1; None when it is not about one line.
        detail: the finding in words, such as `hash mismatch`, with specifics after a colon.
        implies: what it means for the reader.
    """

    kind: Kind
    fault: Fault
    entry: int | None
    detail: str
    implies: str


class FaultFound(Exception):  # noqa: N818 - a finding, not an error of the program
    """Raised inside a verification at the first finding."""

    def __init__(self, fault: Fault, detail: str = "", entry: int | None = None) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.entry = entry

    def problem(self) -> Problem:
        """Return the finding as a record."""
        kind = Kind.INCOMPLETE if self.fault in _INCOMPLETE else Kind.TAMPERED
        detail = f"{self.fault}: {self.detail}" if self.detail else str(self.fault)
        return Problem(kind, self.fault, self.entry, detail, IMPLIES[self.fault])
