"""Scoring profiles: how measurements become points.

A profile is a set of parameters and one pure function. Its digest covers every parameter, so a recorded decision
names exactly the rule that made it. Whatever the profile, a score is the exact sum of its terms: a reader can add
up a recorded selection without our code.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Protocol

MS_PER_SECOND = 1000
FIT_MAX = 1000  # thousandths
PREFERENCE_MAX = 10  # points of the most preferred agent

PREFERENCES: Mapping[str, int] = MappingProxyType({"claude": 10, "codex": 7, "copilot": 5, "mscopilot": 3})

INVARIANTS = "invariants"
TIME_TO_VALUE = "time_to_value"
EXECUTION = "execution"
PREFERENCE = "preference"
TERMS = (INVARIANTS, TIME_TO_VALUE, EXECUTION, PREFERENCE)

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Measured:
    """What a profile may look at; nothing that an agent says of itself is here.

    Attributes:
        agent: the agent's name, for the preference term.
        proven: distinct invariants that were proven.
        provable: distinct invariants that the checks could have proven; the denominator.
        ttv_ms: time to value, milliseconds.
        execution_ms: the agent's wall time, milliseconds.
        fit: how well the agent fits the intent, thousandths, 0..1000.

    Negative times count as zero and a fit outside its range as the nearest end: a broken clock earns no points.
    """

    agent: str
    proven: int
    provable: int
    ttv_ms: int
    execution_ms: int
    fit: int = FIT_MAX

    def __post_init__(self) -> None:
        """Bring the numbers into their ranges."""
        object.__setattr__(self, "ttv_ms", max(0, self.ttv_ms))
        object.__setattr__(self, "execution_ms", max(0, self.execution_ms))
        object.__setattr__(self, "fit", min(FIT_MAX, max(0, self.fit)))


class Profile(Protocol):
    """How to turn measurements into named points."""

    @property
    def name(self) -> str:
        """The name used in `.github/optr.yml`."""
        ...

    @property
    def places(self) -> int:
        """Decimals shown."""
        ...

    def parameters(self) -> dict[str, str]:
        """Every number the formula uses, as strings."""
        ...

    def terms(self, measured: Measured) -> dict[str, Decimal]:
        """Points by term, in the order of `TERMS`; the score is their exact sum."""
        ...


@dataclass(frozen=True)
class SeedV1:
    """The original formula, over measured invariants.

    invariants*40 + (30 - ttv_s*3) + (20 - execution_s*2) + preference. The execution term is per 1000 ms although the
    original text says 100: only 1000 reproduces its worked example (207.3, 160.7, 127.3, 121.5). The two time terms
    stop at zero, as the original's code did, so that a run of minutes is not pushed below every threshold.
    """

    name: str = "seed-v1"
    places: int = 1
    per_invariant: Decimal = Decimal(40)
    ttv_full: Decimal = Decimal(30)
    ttv_per_second: Decimal = Decimal(3)
    execution_full: Decimal = Decimal(20)
    execution_per_second: Decimal = Decimal(2)
    preferences: Mapping[str, int] = field(default_factory=lambda: PREFERENCES)

    def parameters(self) -> dict[str, str]:
        """See Profile."""
        return {
            "profile": self.name,
            "per_invariant": str(self.per_invariant),
            "ttv_full": str(self.ttv_full),
            "ttv_per_second": str(self.ttv_per_second),
            "execution_full": str(self.execution_full),
            "execution_per_second": str(self.execution_per_second),
            "time_terms_floor": "0",
        } | _preference_parameters(self.preferences)

    def terms(self, measured: Measured) -> dict[str, Decimal]:
        """See Profile; exact decimals, not rounded."""
        return {
            INVARIANTS: self.per_invariant * measured.proven,
            TIME_TO_VALUE: max(_ZERO, self.ttv_full - self.ttv_per_second * _seconds(measured.ttv_ms)),
            EXECUTION: max(_ZERO, self.execution_full - self.execution_per_second * _seconds(measured.execution_ms)),
            PREFERENCE: Decimal(self.preferences.get(measured.agent, 0)),
        }


@dataclass(frozen=True)
class Balanced:
    """The default: four terms in 0..1, weighted, each times the intent's fit.

    invariants = proven / provable (0 when nothing is provable); a time t counts T / (T + t), which is 1 at once, one
    half at T and never negative; preference = points / 10. Each weighted term is rounded to four decimals (half to
    even), the score is their sum, 0..1. T is minutes, so a few hundred milliseconds move a score by less than 0.0003
    while one more proven invariant moves it by 0.4 / provable.

    Attributes:
        weights: by term; must sum to 1.
        ttv_half_ms, execution_half_ms: the T of the two time terms, milliseconds.
    """

    name: str = "balanced"
    places: int = 4
    weights: Mapping[str, Decimal] = field(
        default_factory=lambda: MappingProxyType(
            {
                INVARIANTS: Decimal("0.4"),
                TIME_TO_VALUE: Decimal("0.3"),
                EXECUTION: Decimal("0.2"),
                PREFERENCE: Decimal("0.1"),
            }
        )
    )
    ttv_half_ms: int = 600_000
    execution_half_ms: int = 300_000
    preferences: Mapping[str, int] = field(default_factory=lambda: PREFERENCES)

    def __post_init__(self) -> None:
        """Refuse weights that are not a division of one.

        Raises:
            ValueError: naming what is wrong.
        """
        if tuple(self.weights) != TERMS or any(weight < 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be given, none negative, for exactly: {', '.join(TERMS)}")
        if sum(self.weights.values()) != 1:
            raise ValueError(f"weights must sum to 1, these sum to {sum(self.weights.values())}")
        if self.ttv_half_ms <= 0 or self.execution_half_ms <= 0:
            raise ValueError("the half-value times must be positive milliseconds")

    def parameters(self) -> dict[str, str]:
        """See Profile."""
        numbers = {
            "profile": self.name,
            "ttv_half_ms": str(self.ttv_half_ms),
            "execution_half_ms": str(self.execution_half_ms),
            "preference_max": str(PREFERENCE_MAX),
            "places": str(self.places),
        }
        weights = {f"weight.{term}": str(weight) for term, weight in self.weights.items()}
        return numbers | weights | _preference_parameters(self.preferences)

    def terms(self, measured: Measured) -> dict[str, Decimal]:
        """See Profile."""
        shares = {
            INVARIANTS: _share(measured.proven, measured.provable),
            TIME_TO_VALUE: Fraction(self.ttv_half_ms, self.ttv_half_ms + measured.ttv_ms),
            EXECUTION: Fraction(self.execution_half_ms, self.execution_half_ms + measured.execution_ms),
            PREFERENCE: _share(self.preferences.get(measured.agent, 0), PREFERENCE_MAX),
        }
        fit = Fraction(measured.fit, FIT_MAX)
        return {
            term: _rounded(share * fit * Fraction(self.weights[term]), self.places) for term, share in shares.items()
        }


DEFAULT_PROFILE = "balanced"
PROFILES: Mapping[str, Profile] = MappingProxyType({"balanced": Balanced(), "seed-v1": SeedV1()})


def profile_named(name: str, weights: Mapping[str, Decimal] | None = None) -> Profile:
    """The profile called `name`.

    Args:
        name: a key of `PROFILES`.
        weights: instead of the default ones, by term in the order of `TERMS`; `balanced` only.

    Raises:
        ValueError: no such profile, names those there are; or weights that it cannot have.
    """
    if name not in PROFILES:
        raise ValueError(f"there is no scoring profile {name!r}; choose one of: {', '.join(sorted(PROFILES))}")
    if weights is None:
        return PROFILES[name]
    if name != DEFAULT_PROFILE:
        raise ValueError(f"the profile {name} has no weights to set; only {DEFAULT_PROFILE} has")
    return Balanced(weights=MappingProxyType({term: weights[term] for term in TERMS if term in weights}))


def profile_digest(profile: Profile) -> str:
    """Hex SHA-256 of the profile's parameters.

    The bytes are JSON of an object of strings, keys sorted, no spaces, ASCII: for such objects that is RFC 8785.
    """
    text = json.dumps(profile.parameters(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def shown(score: Decimal, profile: Profile) -> str:
    """The score as people see it: the profile's decimals, halves away from zero."""
    return str(score.quantize(Decimal(1).scaleb(-profile.places), rounding=ROUND_HALF_UP))


def _seconds(milliseconds: int) -> Decimal:
    return Decimal(milliseconds).scaleb(-3)


def _share(part: int, whole: int) -> Fraction:
    return Fraction(min(part, whole), whole) if whole > 0 else Fraction(0)


def _rounded(value: Fraction, places: int) -> Decimal:
    scaled = round(value * 10**places)  # Fraction rounds halves to even, exactly
    return Decimal(scaled).scaleb(-places)


def _preference_parameters(preferences: Mapping[str, int]) -> dict[str, str]:
    return {f"preference.{agent}": str(points) for agent, points in preferences.items()}
