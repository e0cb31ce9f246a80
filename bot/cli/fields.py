"""Tables of what a JSON object holds, made from the record's own class and docstring."""

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from inspect import cleandoc
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

_WORDS = {str: "string", int: "whole number", bool: "true or false", type(None): "null", object: "any"}
_ATTRIBUTE = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<meaning>.*(?:\n {4,}.*)*)", re.MULTILINE)


def tables(record: type) -> str:
    """The tables of a record and of every record inside it, each once, in the order of first mention."""
    inner = list(dict.fromkeys(_inside(record)))
    return "\n\n".join([table(record), *(f"Each `{one.__name__}`:\n\n{table(one)}" for one in inner)])


def _inside(record: type) -> Iterator[type]:
    direct = [one for hint in members(record).values() for one in _records(hint)]
    yield from direct
    for one in direct:
        yield from _inside(one)


def _records(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and (issubclass(hint, BaseModel) or is_dataclass(hint)):
        yield hint
    for inside in get_args(hint):
        yield from _records(inside)


def table(record: type) -> str:
    """A Markdown table: one row for each member, in the order of the JSON, with what the docstring says of it."""
    said = dict(_said(record))
    rows = [f"| `{name}` | {_type(hint)} | {said.get(name, '')} |" for name, hint in members(record).items()]
    return "\n".join(["| Field | Type | Holds |", "|---|---|---|", *rows])


def members(record: type) -> Mapping[str, Any]:
    """Names and types of a pydantic model's or a dataclass's members."""
    hints = get_type_hints(record)
    names = record.model_fields if issubclass(record, BaseModel) else getattr(record, "__dataclass_fields__", ())
    return {name: hints[name] for name in names}


def _said(record: type) -> Iterator[tuple[str, str]]:
    _, _, attributes = cleandoc(record.__doc__ or "").partition("Attributes:\n")
    for found in _ATTRIBUTE.finditer(cleandoc(attributes)):
        meaning = " ".join(found["meaning"].split()).rstrip(".").replace("|", "\\|").replace("None", "null")
        for name in found["names"].split(", "):
            yield name, meaning


def _type(hint: Any) -> str:
    origin, inside = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(_type(one) for one in inside)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in {tuple, list}:
        return f"list of {_type(inside[0])}"
    if origin in {dict, Mapping}:
        return f"object of {_type(inside[1])}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    return _WORDS.get(hint) or f"`{getattr(hint, '__name__', hint)}`"
