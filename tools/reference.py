"""Tables of the keys that people write into a file, made from the models that read it: key, type, default, meaning."""

import json
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

HEAD = ("| Key | Is | Default | Meaning |", "|---|---|---|---|")
_ATTRIBUTE = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<meaning>.*(?:\n {4,}.*)*)", re.MULTILINE)
_MEANINGS = {  # by key, where the model's docstring speaks to programmers
    "version": "the format of this file",
    "agents": "names of the profiles that compete",
    "checks": "what judges every candidate; without any, a usual test command is looked for by file names",
    "checks[].timeout_s": "seconds after which it counts as failed",
    "prepare.timeout_s": "seconds after which the run ends",
    "scoring.profile": "how the admissible are ranked, see [scoring](scoring.md)",
    "scoring.weights.invariants": "share of what is proven",
    "scoring.weights.time_to_value": "share of the time until verified",
    "scoring.weights.execution": "share of the time the agent worked",
    "scoring.weights.preference": "share of the agent's name",
    "race": "who starts when, and when nobody else has to",
    "type": "what it is reached through",
    "limits": "bounds of one attempt",
}
_WORDS = {  # a pattern in words; one that is not here is shown as it is
    "^(0(\\.\\d{1,4})?|1(\\.0{1,4})?)$": " in quotes, a decimal from 0 to 1 with up to four places",
    "^\\d{1,4}(\\.\\d{1,4})?$": " in quotes, a decimal",
    "^[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*)*$": ", a path inside the tree",
}


def table(
    model: type[BaseModel],
    leave_out: frozenset[str] = frozenset(),
    explained_by: Mapping[type[BaseModel], type[BaseModel]] = MappingProxyType({}),
) -> str:
    """One row for each key, those of parts below the part's own, in the order of the model.

    Args:
        model: what the file is read into.
        leave_out: members that are no keys.
        explained_by: for a part whose members only narrow those of another model: that other one.
    """
    return "\n".join([*HEAD, *_rows(model, "", leave_out, explained_by)]) + "\n"


def _rows(
    model: type[BaseModel],
    prefix: str,
    leave_out: frozenset[str],
    explained_by: Mapping[type[BaseModel], type[BaseModel]],
) -> Iterator[str]:
    schema = model.model_json_schema()
    parts, explaining = schema.get("$defs", {}), explained_by.get(model, model)
    said = dict(_said(explaining))
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        key, shape, part = f"{prefix}{name}", _resolved(schema["properties"][name], parts), _part(field.annotation)
        meaning = _MEANINGS.get(key) or said.get(name) or (_first_sentence(part) if part else "")
        yield f"| `{key}` | {_shape(shape, parts)} | {_default(explaining.model_fields[name])} | {_cell(meaning)} |"
        if part is not None:
            below = f"{key}[]." if shape.get("type") == "array" else f"{key}."
            yield from _rows(part, below, frozenset(), explained_by)


def _said(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    _, _, attributes = cleandoc(model.__doc__ or "").partition("Attributes:\n")
    for found in _ATTRIBUTE.finditer(cleandoc(attributes)):
        for name in found["names"].split(", "):
            yield name, " ".join(found["meaning"].split()).rstrip(".")


def _part(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[Check, ...]` or `Prepare | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inside in get_args(annotation) if (found := _part(inside)) is not None), None)


def _first_sentence(model: type[BaseModel]) -> str:
    return " ".join(cleandoc(model.__doc__ or "").partition("\n\n")[0].split()).rstrip(".")


def _resolved(shape: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shape behind a reference, and behind `or null`, which a file says by leaving the key out."""
    if "$ref" in shape:
        return _resolved(parts[shape["$ref"].rpartition("/")[2]], parts)
    real = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(real[0], parts) if len(real) == 1 else shape


def _shape(given: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    shape = _resolved(given, parts)
    if "const" in shape:
        return f"`{shape['const']}`"
    if "enum" in shape:
        return ", ".join(f"`{one}`" for one in shape["enum"])
    kind = shape.get("type")
    if kind == "array":
        most = f", at most {shape['maxItems']}" if "maxItems" in shape else ""
        inner = _resolved(shape["items"], parts)
        return f"list of {'mappings' if inner.get('type') == 'object' else _shape(inner, parts)}{most}"
    if kind == "object":
        return _mapping(shape, parts)
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return f"{words[str(kind)]}{_bounds(shape)}"


def _mapping(shape: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    if "propertyNames" not in shape:
        return "mapping"
    names, values = _shape(shape["propertyNames"], parts), _shape(shape["additionalProperties"], parts)
    return f"mapping of {names} to {values}"


def _bounds(shape: Mapping[str, Any]) -> str:
    low = shape.get("minimum", shape.get("exclusiveMinimum"))
    words = [f" from {low}" if "minimum" in shape else f" above {low}" if low is not None else ""]
    words.append(f" to {shape['maximum']}" if "maximum" in shape else "")
    words.append(f", at most {shape['maxLength']} characters" if "maxLength" in shape else "")
    if "pattern" in shape:
        words.append(_WORDS.get(shape["pattern"]) or f", `{_cell(shape['pattern'])}`")
    return "".join(words)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its keys' own"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
