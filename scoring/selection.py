"""The decision's shape: scores, reasons, and a why-not for every loser."""

from pydantic import Field

from scoring.evidence import Reason, Record


class Ranked(Record):
    """One candidate's place.

    Attributes:
        agent: the agent's name.
        admissible: whether it could win at all.
        score: decimal string ("207.3"), None when inadmissible.
        terms: the score's terms by name, decimal strings, in the profile's order.
        why_not: why it did not win; empty for the winner only.
    """

    agent: str
    admissible: bool
    score: str | None
    terms: dict[str, str] = Field(default_factory=dict)
    why_not: tuple[Reason, ...] = ()


class Selection(Record):
    """π*: who won, by which rule, and why nobody else did.

    Attributes:
        profile: the scoring profile's name.
        profile_digest: hex SHA-256 of the profile's canonical parameters.
        winner: the agent's name, or None when nothing was admissible or acceptable.
        ranking: best first; inadmissible candidates last, by name.
        why: short sentences that say why the winner won, made from the terms.
    """

    profile: str
    profile_digest: str
    winner: str | None
    ranking: tuple[Ranked, ...]
    why: tuple[str, ...] = ()
