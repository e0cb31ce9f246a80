"""Policies in layers, and the answer to one question: every layer must allow it, so that none can widen another.

A layer denies by default; a forbid outweighs every permit; an error while deciding denies, where Cedar alone would skip
the policy that failed, even a forbid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, TypeAlias

import cedarpy
from pydantic import Field

from governance.codes import ReasonCode, RefusedError
from governance.record import Record
from governance.shortening import shortened

WHY_CHARS_MAX = 400  # characters of a denial's reasons
POLICY_BYTES_MAX = 65_536  # of one layer
LAYERS_MAX = 4
COMPILED_MAX = 64  # layers kept compiled
LISTED_MAX = 5  # problems of one layer told one by one

Context: TypeAlias = Mapping[str, str | int | bool | Sequence[str]]


class Layer(Record):
    """One file of policies.

    Attributes:
        origin: where it came from, as people are told: `default`, `operator` or `repository`.
        text: Cedar.
    """

    origin: Annotated[str, Field(min_length=1, max_length=40)]
    text: Annotated[str, Field(max_length=POLICY_BYTES_MAX)]


class Policy(Record):
    """What is in force for a run. Its digest stands on every event of the run.

    Attributes:
        layers: the operator's first; at least one.
        schema_text: the questions that can be asked, a Cedar schema.
    """

    record_kind: ClassVar[str] = "optr/policy/1"

    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=LAYERS_MAX)]
    schema_text: str


@dataclass(frozen=True)
class Question:
    """May this principal do this?

    Attributes:
        principal: type and id: `("Agent", "claude")`.
        action: one of the schema's.
        repository: the resource's id.
        context: the facts that the schema lists for the action.
        attributes: of the principal.
    """

    principal: tuple[str, str]
    action: str
    repository: str
    context: Context
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class LayerAnswer:
    """What one layer says.

    Attributes:
        origin: the layer's.
        allowed: whether it allows it.
        reasons: names of the policies that decided; empty when no policy spoke, which denies.
        errors: what went wrong while deciding; any error denies.
    """

    origin: str
    allowed: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]


def problems(layer: Layer, schema_text: str) -> tuple[str, ...]:
    """What is wrong with a layer, one sentence each; empty when it can be used."""
    try:
        cedarpy.PolicySet.from_str(layer.text)
        found = cedarpy.validate_policies(layer.text, _schema(schema_text))
    except ValueError as error:
        return (str(error),)
    return tuple(str(one) for one in found.errors)


def require_valid(policy: Policy) -> None:
    """Refuse policies that do not fit the schema.

    Raises:
        ValueError: naming the layer and its first problems.
    """
    for layer in policy.layers:
        if found := problems(layer, policy.schema_text):
            more = f" (and {len(found) - LISTED_MAX} more)" if len(found) > LISTED_MAX else ""
            raise ValueError(f"the {layer.origin} policy is not valid: {'; '.join(found[:LISTED_MAX])}{more}")


def answers(policy: Policy, question: Question) -> tuple[LayerAnswer, ...]:
    """What each layer says, in their order."""
    return tuple(_answer(layer, policy.schema_text, question) for layer in policy.layers)


def require_allowed(policy: Policy, question: Question) -> None:
    """Refuse what some layer does not allow.

    Raises:
        RefusedError: POLICY_DENIED, naming the layer and the policy that denied it.
    """
    for answer in answers(policy, question):
        if not answer.allowed:
            kind, name = question.principal
            why = shortened("; ".join((*answer.errors, *answer.reasons)) or "no policy permits it", WHY_CHARS_MAX)
            raise RefusedError(
                ReasonCode.POLICY_DENIED,
                f"the {answer.origin} policy does not let {kind} {name!a} {question.action}: {why}",
            )


def _answer(layer: Layer, schema_text: str, question: Question) -> LayerAnswer:
    kind, name = question.principal
    request = {
        "principal": {"type": kind, "id": name},
        "action": {"type": "Action", "id": question.action},
        "resource": {"type": "Repository", "id": question.repository},
        "context": {key: list(value) if isinstance(value, tuple) else value for key, value in question.context.items()},
    }
    entities = [
        {"uid": request["principal"], "attrs": dict(question.attributes), "parents": []},
        {"uid": request["resource"], "attrs": {}, "parents": []},
    ]
    try:
        result = cedarpy.is_authorized(request, _policies(layer.text), entities, _schema(schema_text))
    except ValueError as error:
        return LayerAnswer(layer.origin, allowed=False, reasons=(), errors=(str(error),))
    told = result.diagnostics
    names = tuple(told.id_annotations_by_reason.get(reason) or reason for reason in told.reasons)
    # A request that the schema does not know gives no decision; a policy that failed was skipped. Both deny.
    allowed = result.decision is cedarpy.Decision.Allow and not told.errors
    return LayerAnswer(layer.origin, allowed, names, tuple(map(str, told.errors)))


@lru_cache(maxsize=COMPILED_MAX)
def _policies(text: str) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_str(text)


@lru_cache(maxsize=COMPILED_MAX)
def _schema(text: str) -> cedarpy.Schema:
    return cedarpy.Schema.from_str(text)
