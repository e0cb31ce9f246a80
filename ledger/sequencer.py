"""Appending (contract; the ledger's author completes this module)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Appended:
    """What an append did.

    Attributes:
        origin: the ledger's name.
        seqs: each draft's place, in the order given.
        size: lines in the tree after the append.
        root: hex RFC 6962 root.
        key: `name+hex` of the verification key.
        commit: hex id of the datalake commit that holds the newest of the drafts.
    """

    origin: str
    seqs: tuple[int, ...]
    size: int
    root: str
    key: str
    commit: str
