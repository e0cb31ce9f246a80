"""The judge: GitHub's own OpenAPI, applied to what an App sends and to what the local GitHub delivers."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs

from tests.github.wire import Json

SPEC_DIRECTORY = Path(__file__).parent / "spec"
REST_URI = "urn:github:rest"
HOOK_URI = "urn:github:webhooks"
PROBLEMS_MAX = 5  # per request, to keep the record readable
# Documented in public preview but not yet part of the OpenAPI description of issues.
PREVIEW_KEYS = frozenset({"agent_assignment"})
# Parameters that GitHub reads on every list operation.
COMMON_QUERY = frozenset({"per_page", "page"})
NO_ACTION_HOOKS = frozenset({"push", "create", "delete", "status", "ping"})


@dataclass(frozen=True)
class Operation:
    """One REST operation of the trimmed description."""

    name: str
    method: str
    pattern: re.Pattern[str]
    literal_parts: int
    parameters: tuple[Json, ...]
    body: Json | None
    body_required: bool
    successes: tuple[int, ...]


@dataclass(frozen=True)
class Judgement:
    """The operation a request is, and what is wrong with the request by the description."""

    operation: str | None
    problems: tuple[str, ...]


class Judge:
    """Validates requests and webhook payloads. Loading takes about a tenth of a second; share one."""

    def __init__(self) -> None:
        rest = json.loads((SPEC_DIRECTORY / "api.github.com.trimmed.json").read_text())
        hooks = json.loads((SPEC_DIRECTORY / "webhooks.trimmed.json").read_text())
        rest_schemas = {"components": to_json_schema(rest["components"], REST_URI)}
        hook_schemas = {"components": to_json_schema(hooks["components"], HOOK_URI)}
        self._registry = jsonschema_rs.Registry([(REST_URI, rest_schemas), (HOOK_URI, hook_schemas)])
        self._parameters: Mapping[str, Json] = rest["components"]["parameters"]
        self._hooks: Mapping[str, Json] = hooks["webhooks"]
        self._operations = sorted(self._load(rest["paths"]), key=lambda one: -one.literal_parts)
        self._answers = {
            (operation["operationId"], status): content["content"]["application/json"]["schema"]
            for methods in rest["paths"].values()
            for operation in methods.values()
            for status, content in operation["responses"].items()
            if "application/json" in content["content"]
        }
        self._compiled: dict[tuple[str, str], jsonschema_rs.Validator] = {}

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a request, the most literal template first."""
        path = f"{path}/" if path.endswith("/contents") else path  # the root directory is an empty {path}
        for operation in self._operations:
            if operation.method == method and operation.pattern.fullmatch(path):
                return operation
        return None

    def success_status(self, method: str, path: str, status: int) -> int:
        """Return the status GitHub documents for a success that the emulator answers with another one."""
        operation = self.find(method, path)
        if operation is None or not operation.successes or status in operation.successes:
            return status
        return operation.successes[0]

    def judge(self, method: str, path: str, query: str, body: bytes) -> Judgement:
        """Judge a request by its decoded path, raw query and raw body."""
        operation = self.find(method, path)
        if operation is None:
            return Judgement(None, (f"{method} {path} is not an operation of the trimmed OpenAPI",))
        problems = [*self._path_problems(operation, path), *self._query_problems(operation, query)]
        problems += self._body_problems(operation, body)
        return Judgement(operation.name, tuple(problems[:PROBLEMS_MAX]))

    def webhook_problems(self, event: str, payload: Mapping[str, Any]) -> list[str]:
        """Return what GitHub's webhook schema says against a payload; unknown events are a problem too."""
        name = event.replace("_", "-")
        if event not in NO_ACTION_HOOKS:
            name += "-" + str(payload.get("action")).replace("_", "-")
        schema = self._hooks.get(name)
        if schema is None:
            return [f"no webhook {name} in the trimmed description"]
        return self._problems(("webhook", name), schema, HOOK_URI, payload)

    def answer_problems(self, operation: str, status: int, body: object) -> list[str]:
        """Return what the description says against our own answer; nothing when it has no JSON schema."""
        schema = self._answers.get((operation, str(status)))
        return [] if schema is None else self._problems((operation, str(status)), schema, REST_URI, body)

    def _load(self, paths: Mapping[str, Mapping[str, Json]]) -> Iterable[Operation]:
        for template, methods in paths.items():
            pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", self._parameter_pattern, re.escape(template)))
            literals = sum(not part.startswith("{") for part in template.split("/"))
            for method, operation in methods.items():
                content = operation.get("requestBody", {}).get("content", {}).get("application/json")
                yield Operation(
                    operation["operationId"],
                    method.upper(),
                    pattern,
                    literals,
                    tuple(self._resolve(one) for one in operation.get("parameters", [])),
                    content["schema"] if content else None,
                    bool(operation.get("requestBody", {}).get("required")) and content is not None,
                    tuple(sorted(map(int, operation["responses"]))),
                )

    @staticmethod
    def _parameter_pattern(found: re.Match[str]) -> str:
        # These three are documented to hold slashes.
        wide = {"ref", "path", "basehead", "branch"}
        return f"(?P<{found[1]}>.*)" if found[1] in wide else f"(?P<{found[1]}>[^/]+)"

    def _resolve(self, parameter: Json) -> Json:
        return self._parameters[parameter["$ref"].rsplit("/", 1)[1]] if "$ref" in parameter else parameter

    def _path_problems(self, operation: Operation, path: str) -> Iterable[str]:
        found = operation.pattern.fullmatch(path)
        for name, text in (found.groupdict() if found else {}).items():
            declared = next((one for one in operation.parameters if one["name"] == name and one["in"] == "path"), None)
            if declared and not self._fits(operation, declared, text):
                yield f"path parameter {name}={text!r} breaks {json.dumps(declared['schema'])}"

    def _query_problems(self, operation: Operation, query: str) -> Iterable[str]:
        declared = {one["name"]: one for one in operation.parameters if one["in"] == "query"}
        given = dict(parse_qsl(query, keep_blank_values=True))
        for name, text in given.items():
            if name in declared and not self._fits(operation, declared[name], text):
                yield f"query parameter {name}={text!r} breaks {json.dumps(declared[name]['schema'])}"
            elif name not in declared and name not in COMMON_QUERY:
                yield f"query parameter {name} is not part of {operation.name}"
        for name, one in declared.items():
            if one.get("required") and name not in given:
                yield f"query parameter {name} is missing"

    def _fits(self, operation: Operation, parameter: Json, text: str) -> bool:
        validator = self._validator((operation.name, f"{parameter['in']}:{parameter['name']}"), parameter["schema"])
        return any(validator.is_valid(value) for value in _readings(text))

    def _body_problems(self, operation: Operation, body: bytes) -> list[str]:
        if operation.body is None:
            return [f"{operation.name} takes no body"] if body.strip() not in {b"", b"{}", b"null"} else []
        if not body.strip():
            return [f"{operation.name} needs a body"] if operation.body_required else []
        try:
            decoded = json.loads(body)
        except (ValueError, RecursionError) as error:
            return [f"the body is not JSON: {error}"]
        problems = self._problems((operation.name, "body"), operation.body, REST_URI, decoded)
        if isinstance(decoded, dict):
            known = _known_keys(operation.body)
            extra = sorted(set(decoded) - known - PREVIEW_KEYS) if known else []
            problems += [f"body key {key} is not part of {operation.name}" for key in extra]
        return problems

    def _problems(self, key: tuple[str, str], schema: Json, uri: str, value: object) -> list[str]:
        validator = self._validator(key, schema, uri)
        found = validator.iter_errors(value)
        return [f"/{'/'.join(map(str, one.instance_path))}: {one.message[:300]}" for one in found][:PROBLEMS_MAX]

    def _validator(self, key: tuple[str, str], schema: Json, uri: str = REST_URI) -> jsonschema_rs.Validator:
        if key not in self._compiled:
            self._compiled[key] = jsonschema_rs.Draft202012Validator(
                to_json_schema(schema, uri), registry=self._registry, validate_formats=False
            )
        return self._compiled[key]


@cache
def shared_judge() -> Judge:
    """Return the judge of this process."""
    return Judge()


def to_json_schema(node: Any, uri: str) -> Any:
    """Turn an OpenAPI 3.0 schema into JSON Schema: ``nullable`` becomes a type, references become absolute."""
    if isinstance(node, list):
        return [to_json_schema(item, uri) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: to_json_schema(value, uri) for key, value in node.items() if key != "nullable"}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = uri + made["$ref"]
    if node.get("nullable") is not True:
        return made
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    if isinstance(made.get("type"), str):
        return {**made, "type": [made["type"], "null"]}
    return {"anyOf": [{"type": "null"}, made]}


def _readings(text: str) -> Iterable[object]:
    yield text
    if re.fullmatch(r"-?\d+", text):
        yield int(text)
    if text in {"true", "false"}:
        yield text == "true"


def _known_keys(schema: Json) -> set[str]:
    """Return the top-level keys a body may have, or nothing when the schema is open."""
    keys: set[str] = set(schema.get("properties", {}))
    for part in ("oneOf", "anyOf", "allOf"):
        for option in schema.get(part, []):
            if "$ref" in option:
                return set()
            keys |= _known_keys(option)
    return keys
