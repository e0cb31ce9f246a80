"""What a reviewer says of one patch: its schema, and how an answer is read. An answer that does not fit says nothing.

The members are those of F1.30 without `admissible`, which is measured and nobody's to claim.
"""

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from execution.agents.report import scrub
from execution.models.conversation import AnswerForm
from execution.reviews import Complexity

ANSWER_CHARACTERS_MAX = 100_000
ITEMS_MAX = 50  # of one list
ITEM_CHARACTERS_MAX = 1_000
RATIONALE_CHARACTERS_MAX = 8_000
_FENCE = "```"

Item = Annotated[str, StringConstraints(max_length=ITEM_CHARACTERS_MAX)]
Items = Annotated[tuple[Item, ...], Field(max_length=ITEMS_MAX)]


def _list(description: str) -> dict[str, object]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


ANSWER_FORM = AnswerForm(
    name="review",
    schema={
        "type": "object",
        "properties": {
            "approved": {"type": "boolean", "description": "False only if the patch must not be merged."},
            "violations": _list("What is wrong, one sentence each, with the file. Empty when nothing is."),
            "requirements": _list("What the request asks for, each with whether the patch does it."),
            "invariants": _list("Names of properties that you find to hold, for example secure."),
            "rationale": {"type": "string", "description": "Why, in a few sentences."},
            "estimatedComplexity": {"type": "string", "enum": [str(one) for one in Complexity]},
        },
        "required": ["approved", "violations", "requirements", "invariants", "rationale", "estimatedComplexity"],
        "additionalProperties": False,
    },
)


class Answer(BaseModel):
    """A reviewer's answer. See ANSWER_FORM for each member's meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approved: bool = Field(strict=True)
    violations: Items
    requirements: Items
    invariants: Items
    rationale: str = Field(max_length=RATIONALE_CHARACTERS_MAX)
    complexity: Complexity = Field(alias="estimatedComplexity")


def parse_answer(text: str) -> Answer | None:
    """The answer; None when it is anything but one JSON object of the form, alone or in one code fence."""
    if len(text) > ANSWER_CHARACTERS_MAX:
        return None
    try:
        return Answer.model_validate(json.loads(_unfenced(scrub(text)), object_pairs_hook=_unique))
    except (ValueError, RecursionError, ValidationError):
        return None


def _unfenced(text: str) -> str:
    """Endpoints without structured output like to put JSON into a fence."""
    bare = text.strip()
    if not (bare.startswith(_FENCE) and bare.endswith(_FENCE) and "\n" in bare):
        return bare
    return bare[bare.index("\n") : -len(_FENCE)]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice, so it says two things")
    return members
