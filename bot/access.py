"""How a run ends whose repository cannot be reached any more."""

from collections.abc import Mapping

from governance.codes import ReasonCode

ACCESS_WAITS_MS = 3 * 24 * 3_600_000
"""How long a repository must have been out of reach when no event said why: as long as GitHub keeps deliveries."""

UNTOLD = "GitHub has not let the App reach the repository for three days"


def because(why: str) -> Mapping[str, str]:
    """Members of the closing line."""
    return {"problem": f"{why}; the run cannot go on without it", "code": str(ReasonCode.ACCESS_ENDED)}
