"""docs/conformance.md: `python -m tools.conformance` prints which tests cover which id, read from the tests themselves.

A test names what it covers with `@pytest.mark.covers("F3.05")`, on a function, a class or, as `pytestmark`, a module.
`tests/conformance.toml` lists every id; one that no test covers needs the reason there.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
IDS = "tests/conformance.toml"
MARK = "covers"

_HEADER = """\
# Conformance

What the rules of governance and trust ask, by id, and the tests that show it. Made by `make docs` from the tests'
own marks (`@pytest.mark.covers`) and from `tests/conformance.toml`; a test fails for an id without a test or a reason.
"""


@dataclass(frozen=True)
class Owed:
    """One id: what it asks, and why it is not met, if it is not."""

    title: str
    not_met: str = ""


def owed(root: Path = ROOT) -> dict[str, dict[str, Owed]]:
    """Every id, by section."""
    read = tomllib.loads((root / IDS).read_text(encoding="utf-8"))
    return {section: {id_: Owed(**fields) for id_, fields in ids.items()} for section, ids in read.items()}


def covered(root: Path = ROOT) -> dict[str, list[str]]:
    """By id, the tests that say they cover it, `path::name`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for name, id_ in _marked(ast.parse(path.read_text(encoding="utf-8"))):
            place = path.relative_to(root).as_posix()
            found[id_].append(f"{place}::{name}" if name else place)
    return dict(found)


def _marked(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and id for each mark; a module's mark has no name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "pytestmark" for one in node.targets):
            yield from (("", id_) for id_ in _ids(node.value))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from ((node.name, id_) for decorator in node.decorator_list for id_ in _ids(decorator))


def _ids(expression: ast.expr) -> Iterator[str]:
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == MARK:
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def problems(ids: Mapping[str, Mapping[str, Owed]], tests: Mapping[str, list[str]]) -> list[str]:
    """One sentence for each id that is unknown, unmapped, or both met and not met."""
    known = {id_: entry for entries in ids.values() for id_, entry in entries.items()}
    found = [f"{id_} is covered by {tests[id_][0]} but not listed in {IDS}" for id_ in sorted(set(tests) - set(known))]
    for id_, entry in known.items():
        if id_ in tests and entry.not_met:
            found.append(f"{id_} has a test, {tests[id_][0]}: take its not_met out of {IDS}")
        if id_ not in tests and not entry.not_met:
            found.append(f"{id_} has no test: mark one with covers, or say why in {IDS}")
    return found


def page() -> str:
    """The whole page."""
    ids, tests = owed(), covered()
    parts = [_HEADER]
    for section, entries in ids.items():
        met = sum(not entry.not_met for entry in entries.values())
        parts.append(
            f"\n## {section.capitalize()}\n\n{met} of {len(entries)} met.\n\n| id | asks | shown by |\n|---|---|---|\n"
        )
        parts += [
            f"| {id_} | {entry.title} | {_shown(entry, tests.get(id_, []))} |\n" for id_, entry in entries.items()
        ]
    return "".join(parts)


def _shown(entry: Owed, tests: list[str]) -> str:
    return f"**not met**: {entry.not_met}" if entry.not_met else "<br>".join(f"`{test}`" for test in tests)


if __name__ == "__main__":
    sys.stdout.write(page())
