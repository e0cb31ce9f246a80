"""Strict YAML into a strict model, with errors that name the line.

YAML 1.1 through PyYAML's safe loader (https://yaml.org/spec/1.1/), made narrower: one document, unique keys, no anchors
and no tags, because a reader of a rule file must be able to believe what the page shows.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

YAML_BYTES_MAX = 262_144
YAML_DEPTH_MAX = 20

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]


class ConfigError(ValueError):
    """A file that people write is wrong.

    Attributes:
        where: `path:line:column`, counted from 1.
        problem: what is wrong.
        remedy: what to write instead, or where that is told.
    """

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}. {remedy}")
        self.where = where
        self.problem = problem
        self.remedy = remedy


def load_model(data: bytes, model: type[M], path: str, *, first_line: int = 1) -> M:
    """Read `data` as one YAML document and validate it.

    Args:
        data: the file's bytes, at most YAML_BYTES_MAX.
        model: a strict pydantic model.
        path: the name that errors show.
        first_line: the line of the file on which `data` begins.

    Raises:
        ConfigError: not UTF-8, not YAML, or not the model; names the line, the key and what to write instead.
    """
    return load_located(data, model, path, first_line=first_line)[0]


def load_located(data: bytes, model: type[M], path: str, *, first_line: int = 1) -> tuple[M, Mapping[Path, int]]:
    """See `load_model`; beside the model, the line of each value, by the keys and places that lead to it."""
    plain, lines = load_plain(data, path, first_line=first_line)
    try:
        return model.model_validate(plain), lines
    except ValidationError as error:
        raise _explain(error, model, path, first_line, dict(lines)) from None


def load_plain(data: bytes, path: str, *, first_line: int = 1) -> tuple[dict[str, Any], Mapping[Path, int]]:
    """The mapping that the file holds, not validated, and the line of each value.

    Raises:
        ConfigError: not UTF-8, not YAML, or no mapping.
    """
    root = _compose(data, path, first_line)
    lines: dict[Path, int] = {}
    plain = {} if root is None else _plain(root, path, first_line, (), lines)
    if not isinstance(plain, dict):
        raise ConfigError(f"{path}:{first_line}:1", "the file must be a mapping", "Write `key: value` lines")
    return plain, lines


def _compose(data: bytes, path: str, first_line: int) -> yaml.Node | None:
    if len(data) > YAML_BYTES_MAX:
        raise ConfigError(f"{path}:1:1", f"the file has {len(data)} bytes", f"Keep it under {YAML_BYTES_MAX}")
    try:
        text = data.decode("utf-8")
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = first_line + (event.start_mark.line if event.start_mark else 0)
                raise ConfigError(f"{path}:{line}:1", "anchors and aliases are not allowed", "Write the value out")
        return yaml.compose(text, Loader=yaml.CSafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1:1", f"byte {error.start} is not UTF-8", "Save the file as UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = first_line + (mark.line if mark else 0)
        column = mark.column + 1 if mark else 1
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise ConfigError(f"{path}:{line}:{column}", str(problem), "Check indentation, quotes and colons") from None


def _plain(node: yaml.Node, path: str, first_line: int, at: Path, lines: dict[Path, int]) -> Any:
    line = first_line + node.start_mark.line
    here = f"{path}:{line}:{node.start_mark.column + 1}"
    lines[at] = line
    if len(at) > YAML_DEPTH_MAX:
        raise ConfigError(here, f"nested deeper than {YAML_DEPTH_MAX} levels", "Flatten the file")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, path, first_line, (*at, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, first_line, at, lines)
    try:
        return yaml.CSafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(here, f"tag {node.tag!r} is not allowed", "Write a plain value") from None


def _mapping(node: yaml.MappingNode, path: str, first_line: int, at: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        here = f"{path}:{first_line + key_node.start_mark.line}:{key_node.start_mark.column + 1}"
        key = key_node.value
        if not isinstance(key, str):
            raise ConfigError(here, "a key must be a word", "Write `key: value`")
        if key in found:
            raise ConfigError(here, f"key {key!r} stands twice", "Keep one of them")
        found[key] = _plain(value_node, path, first_line, (*at, key), lines)
        lines[(*at, key)] = first_line + key_node.start_mark.line
    return found


def _explain(
    error: ValidationError, model: type[BaseModel], path: str, first_line: int, lines: dict[Path, int]
) -> ConfigError:
    first = error.errors(include_url=False)[0]
    at: Path = tuple(first["loc"])
    name = ".".join(str(part) for part in at) or "the file"
    known = at
    while known and known not in lines:
        known = known[:-1]
    where = f"{path}:{lines.get(known, first_line)}:1"
    if first["type"] == "extra_forbidden":
        close = get_close_matches(str(at[-1]), _keys(model, at), n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else f"Known keys here: {', '.join(sorted(_keys(model, at)))}"
        return ConfigError(where, f"unknown key {name!r}", remedy)
    if first["type"] == "string_type" and type(first["input"]) in (int, float):
        return ConfigError(where, f"{name}: a number where text is wanted", f'Write it in quotes: "{first["input"]}"')
    return ConfigError(where, f"{name}: {first['msg']}", f"Found: {str(first['input'])[:80]!r}")


def _keys(model: type[BaseModel], at: Path) -> list[str]:
    """The keys that the innermost model on the way to `at` knows."""
    current = model
    for part in at[:-1]:
        field = current.model_fields.get(part) if isinstance(part, str) else None
        inner = _inner_model(field.annotation) if field else None
        current = inner or current
    return [info.alias or name for name, info in current.model_fields.items()]


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _inner_model(argument)) is not None:
            return found
    return None
