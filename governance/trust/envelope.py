"""Envelopes: named constraints that only ever get tighter on the way from the person to the act."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field

from governance.codes import ReasonCode, RefusedError
from governance.record import Record
from governance.trust.constraints import BUDGET, CONSTRAINTS_MAX, WINDOW, Constraint, Fact, kind_of

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Envelope(Record):
    """What an act must stay inside of.

    Attributes:
        constraints: by name. No constraint, no limit of that name; an empty set is a limit that allows nothing.
    """

    constraints: Annotated[dict[Name, Constraint], Field(max_length=CONSTRAINTS_MAX)] = Field(default_factory=dict)

    @property
    def budgets(self) -> dict[str, int]:
        """The amounts that siblings share, by name."""
        return {
            name: one.value
            for name, one in self.constraints.items()
            if one.type == BUDGET and isinstance(one.value, int) and not isinstance(one.value, bool)
        }

    def is_tighter(self, other: Self) -> bool:
        """Whether every act that this envelope allows is surely allowed by `other`: at least as tight, name by name.

        A name that `other` has and this one has not is looser, whatever it says. So is any type that is not known.
        """
        if any(kind_of(one) is None for one in self.constraints.values()):
            return False
        return all(_within(self.constraints.get(name), limit) for name, limit in other.constraints.items())

    def tighten(self, changes: Mapping[str, Constraint]) -> Self:
        """This envelope with some constraints added or tightened; those that are not named stay.

        Raises:
            RefusedError: TRUST_CONSTRAINT_UNKNOWN for a type that is not known, TRUST_WIDER for a looser value.
        """
        for name, change in changes.items():
            if kind_of(change) is None:
                raise _unknown(name, change)
            if name in self.constraints and not _within(change, self.constraints[name]):
                raise RefusedError(ReasonCode.TRUST_WIDER, f"`{name}` would allow more than the envelope it comes from")
        return type(self)(constraints={**self.constraints, **changes})

    def meet(self, other: Self) -> Self:
        """What both allow: at least as tight as either.

        Raises:
            RefusedError: TRUST_CONSTRAINT_UNKNOWN when a name has two types, or one that is not known.
        """
        met = {**self.constraints, **other.constraints}
        for name in self.constraints.keys() & other.constraints.keys():
            mine, theirs = self.constraints[name], other.constraints[name]
            kind = kind_of(mine)
            if kind is None or kind_of(theirs) is None or mine.type != theirs.type:
                raise _unknown(name, theirs)
            met[name] = Constraint(type=mine.type, value=kind.meet(mine.value, theirs.value))
        return type(self)(constraints=met)

    def require(self, facts: Mapping[str, Fact], now_ms: int) -> None:
        """Refuse an act that some constraint does not allow.

        Args:
            facts: what the act shows, by the constraint's name; what it does not show is not allowed.
            now_ms: the moment of the act, milliseconds since the epoch.

        Raises:
            RefusedError: TRUST_CONSTRAINT_UNKNOWN or TRUST_CONSTRAINT, naming the first constraint.
        """
        for name, limit in self.constraints.items():
            kind = kind_of(limit)
            if kind is None:
                raise _unknown(name, limit)
            if not kind.admits(limit.value, now_ms if limit.type == WINDOW else facts.get(name)):
                shown = f"{facts[name]!a}"[:100] if name in facts else "nothing"
                raise RefusedError(ReasonCode.TRUST_CONSTRAINT, f"`{name}` ({limit.type}) does not allow it: {shown}")


def _within(child: Constraint | None, parent: Constraint) -> bool:
    kind = kind_of(parent)
    if child is None or kind is None or kind_of(child) is None or child.type != parent.type:
        return False
    return kind.within(child.value, parent.value)


def _unknown(name: str, limit: Constraint) -> RefusedError:
    return RefusedError(
        ReasonCode.TRUST_CONSTRAINT_UNKNOWN,
        f"`{name}` has type {limit.type!a}, which is not known or does not fit its value or its counterpart",
    )
