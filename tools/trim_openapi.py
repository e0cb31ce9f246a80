"""Cut GitHub's OpenAPI down to the operations and webhooks the local GitHub judges by.

Run ``python tools/trim_openapi.py`` to rewrite ``tests/github/spec`` from the two npm packages pinned below,
or with ``--check`` to fail when the stored files differ from what the packages give.
Sources: https://github.com/octokit/openapi and https://github.com/octokit/openapi-webhooks (both MIT).
"""

import argparse
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.node_setup import run_npm
from tools.openapi_selection import OPERATIONS, WEBHOOKS

REST_PACKAGE = "@octokit/openapi@23.0.2"
WEBHOOK_PACKAGE = "@octokit/openapi-webhooks@12.1.0"
SPEC_DIRECTORY = Path(__file__).resolve().parent.parent / "tests" / "github" / "spec"
REST_FILE = "api.github.com.trimmed.json"
WEBHOOK_FILE = "webhooks.trimmed.json"
LICENCE_FILE = "LICENSE.octokit-openapi"
COMPONENT_PREFIX = "#/components/"
PROSE = frozenset({"description", "summary", "example", "examples", "externalDocs", "tags", "x-github", "title"})
NAMED_MAPS = frozenset({"properties", "schemas", "patternProperties", "parameters", "headers", "responses"})

Json = dict[str, Any]


def drop_prose(node: object, *, named: bool = False) -> object:
    """Remove documentation from a schema; ``named`` maps hold user-chosen keys, which may be called "title"."""
    if isinstance(node, list):
        return [drop_prose(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: drop_prose(value, named=key in NAMED_MAPS and not named)
        for key, value in node.items()
        if named or key not in PROSE
    }


def references(node: object) -> Iterator[str]:
    """Yield every component path that the node refers to, such as ``schemas/issue``."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(COMPONENT_PREFIX)
        for value in node.values():
            yield from references(value)


def closure(roots: object, components: Mapping[str, Mapping[str, Any]]) -> Json:
    """Return the components reachable from ``roots``, in the order of their names."""
    kept: dict[str, Json] = {}
    waiting = list(references(roots))
    while waiting:
        path = waiting.pop()
        section, name = path.split("/", 1)
        if name in kept.setdefault(section, {}):
            continue
        kept[section][name] = drop_prose(components[section][name])
        waiting.extend(references(kept[section][name]))
    return {section: dict(sorted(entries.items())) for section, entries in sorted(kept.items())}


def trim_operation(operation: Json) -> Json:
    """Keep what judges a request and a successful answer of one operation."""
    kept: Json = {key: operation[key] for key in ("operationId", "parameters", "requestBody") if key in operation}
    kept["responses"] = {
        status: {"content": {kind: shape for kind, shape in answer.get("content", {}).items() if kind.endswith("json")}}
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    }
    return drop_prose(kept)  # type: ignore[return-value]


def trim_rest(description: Json) -> Json:
    """Keep the selected operations of the REST description."""
    paths: dict[str, Json] = {}
    found: set[str] = set()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            name = operation.get("operationId")
            if name in OPERATIONS:
                found.add(name)
                paths.setdefault(path, {})[method] = trim_operation(operation)
    require_all(OPERATIONS, found, REST_PACKAGE)
    components = closure(paths, description["components"])
    return {"openapi": description["openapi"], "source": REST_PACKAGE, "paths": paths, "components": components}


def trim_webhooks(description: Json) -> Json:
    """Keep the body schema of the selected webhooks, by the name GitHub gives each (``issues-labeled``)."""
    hooks = {
        name: drop_prose(description["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"])
        for name in WEBHOOKS
        if name in description["webhooks"]
    }
    require_all(WEBHOOKS, set(hooks), WEBHOOK_PACKAGE)
    components = closure(hooks, description["components"])
    return {"openapi": description["openapi"], "source": WEBHOOK_PACKAGE, "webhooks": hooks, "components": components}


def require_all(wanted: tuple[str, ...], found: set[str], package: str) -> None:
    """Raise ValueError naming what the package does not describe."""
    missing = sorted(set(wanted) - found)
    if missing:
        raise ValueError(f"{package} does not describe: {', '.join(missing)}")


def fetch(package: str, member: str, directory: Path) -> dict[str, bytes]:
    """Download one npm package and return the named member and its licence."""
    (packed,) = json.loads(run_npm(["pack", package, "--json", "--silent"], directory))
    with tarfile.open(directory / packed["filename"]) as archive:
        wanted = {"member": member, "licence": "package/LICENSE"}
        return {key: archive.extractfile(name).read() for key, name in wanted.items()}  # type: ignore[union-attr]


def build() -> dict[str, str]:
    """Return the text of every file of the spec directory, from freshly fetched packages."""
    with tempfile.TemporaryDirectory() as name:
        rest = fetch(REST_PACKAGE, "package/generated/api.github.com.json", Path(name))
        hooks = fetch(WEBHOOK_PACKAGE, "package/generated/api.github.com.json", Path(name))
    compact = {"separators": (",", ":"), "ensure_ascii": False}
    notice = f"The JSON files of this directory are cut from {REST_PACKAGE} and {WEBHOOK_PACKAGE}.\n\n"
    return {
        REST_FILE: json.dumps(trim_rest(json.loads(rest["member"])), **compact) + "\n",  # type: ignore[arg-type]
        WEBHOOK_FILE: json.dumps(trim_webhooks(json.loads(hooks["member"])), **compact) + "\n",  # type: ignore[arg-type]
        LICENCE_FILE: notice + rest["licence"].decode(),
    }


def main() -> int:
    """Write the files, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when a stored file differs")
    check = parser.parse_args().check
    stale = []
    for name, text in build().items():
        target = SPEC_DIRECTORY / name
        if check and (not target.exists() or target.read_text() != text):
            stale.append(name)
        elif not check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            print(f"{target.name}: {len(text.encode())} bytes")
    if stale:
        print(
            f"differs from the pinned packages: {', '.join(stale)}; run python tools/trim_openapi.py", file=sys.stderr
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
