"""Errors of the ledger. Each says what is wrong, where, and what to do."""

from enum import StrEnum


class LedgerError(Exception):
    """Base of every error this package raises on purpose."""


class CanonicalError(LedgerError, ValueError):
    """A value or line that is not canonical JSON as this ledger writes it."""


class EntryError(LedgerError, ValueError):
    """A draft or line that lacks a common field, or has one of the wrong shape."""


class VersionError(EntryError):
    """A line of a format version that this code does not know."""


class NoteError(LedgerError, ValueError):
    """A signed note, key or checkpoint that is malformed, or not signed by the key that is trusted."""


class RotationError(NoteError):
    """A hand-over of the signing key that is malformed, not signed by both keys, or out of order."""


class SourceError(LedgerError):
    """What was named to be verified is not here."""


class RebuildError(LedgerError):
    """A ledger that cannot be restored from its history, or need not be."""


class ExtractError(LedgerError):
    """Entries that cannot be read out: not there, or not sound."""


class BundleError(LedgerError, ValueError):
    """An audit bundle that was changed, or does not prove what it should."""


class PolicyError(LedgerError, ValueError):
    """A witness policy file that is out of form, with the line."""


class QuorumError(LedgerError):
    """Fewer witnesses cosigned a checkpoint than a policy asks for."""


class WitnessError(LedgerError):
    """A witness did not cosign; asking again later may help."""


class WitnessSawOtherError(WitnessError):
    """A witness saw another history of this ledger, or more of it: the branch was rolled back or rewritten."""


class ProofError(LedgerError, ValueError):
    """A receipt or Merkle proof that does not prove what it should."""


class AttestationError(LedgerError, ValueError):
    """An attestation that is malformed or not signed by the key that is trusted."""


class KeyFileError(LedgerError):
    """A signing key file that cannot be used safely."""


class DraftError(LedgerError, ValueError):
    """An append that cannot be made as asked: bad path, bad size, or a file that would be overwritten."""


class GitError(LedgerError):
    """Git failed; the message holds git's own words."""


class MissingObjectError(GitError):
    """An object that a tree names is not in this repository (a partial or damaged clone)."""


class LedgerBusyError(LedgerError):
    """Other writers kept winning, or a push was refused. Nothing is lost; calling again later is safe."""


class LockedError(GitError, LedgerBusyError):
    """Another git process holds a lock that was needed; a dead one's is cleared after a minute."""


class Standing(StrEnum):
    """How the branch stands to the checkpoint that we signed last."""

    BEHIND = "behind"
    AHEAD = "ahead"
    DIFFERENT = "different"
    UNVERIFIED = "unverified"


class LedgerRefusedError(LedgerError):
    """The branch is not what we signed last, so nothing is written.

    Attributes:
        standing: in which way it differs.
    """

    def __init__(self, standing: Standing, message: str) -> None:
        super().__init__(message)
        self.standing = standing

    def __reduce__(self) -> tuple[type["LedgerRefusedError"], tuple[Standing, str]]:
        """So that it can be kept and read again."""
        return LedgerRefusedError, (self.standing, str(self))
