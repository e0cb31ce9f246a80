"""No code without somebody who raises it, and none without a test that meets it."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from governance.reasons import CODES

ROOT = Path(__file__).parents[2]
CODE_CLASSES = {"ReasonCode", "PatchCode", "WhyNot"}
# What declares, explains or shows codes raises none.
DECLARE = re.compile(r"governance/(codes|entry_types|patch_reasons|\w+_reasons|reasons)\.py|bot/render/.*")
WORD = re.compile(r"[A-Z][A-Z0-9_]+")
HERE = {"test_reason_coverage.py", "test_reason_registry.py"}


@cache
def mentions(path: Path) -> frozenset[tuple[str, bool]]:
    """Every code that a module names outside its docstrings, and whether it stands there as itself."""
    return frozenset(_mentions(path))


def _mentions(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    declared = {
        statement.value
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in CODE_CLASSES
        for statement in node.body
        if isinstance(statement, ast.Assign)
    }
    for node in ast.walk(tree):
        if node in prose or node in declared:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in CODE_CLASSES:
            yield node.attr, True
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for word in WORD.findall(node.value):
                yield word, word == node.value


def sources() -> Iterable[Path]:
    found = (
        path for package in ("bot", "execution", "governance", "scoring") for path in (ROOT / package).rglob("*.py")
    )
    return [path for path in found if not DECLARE.fullmatch(path.relative_to(ROOT).as_posix())]


def names() -> dict[str, str]:
    """What a code may be called in a source: its value, and its member's name."""
    return {name: code.value for code in CODES for name in (code.value, code.name)}


def unraised(known: Mapping[str, str], modules: Iterable[Path]) -> list[str]:
    """The codes that no module names as itself."""
    raised = {known[word] for path in modules for word, itself in mentions(path) if itself and word in known}
    return sorted(set(known.values()) - raised)


def unmet(known: Mapping[str, str], tests: Iterable[Path]) -> list[str]:
    """The codes that no test names."""
    met = {known[word] for path in tests for word, _ in mentions(path) if word in known}
    return sorted(set(known.values()) - met)


def written_tests() -> list[Path]:
    return [path for path in (ROOT / "tests").rglob("test_*.py") if path.name not in HERE]


def test_every_code_is_raised_somewhere() -> None:
    assert unraised(names(), sources()) == []


def test_every_code_is_met_by_a_test() -> None:
    assert unmet(names(), written_tests()) == []


def test_a_new_code_that_nothing_raises_or_no_test_meets_is_named() -> None:
    invented = "NEWLY_INVENTED"
    known = {**names(), invented: invented}
    assert (unraised(known, sources()), unmet(known, written_tests())) == ([invented], [invented])


@pytest.mark.parametrize("code", ["GS_201", "GS_205", "TRUST_REVOKED", "PATCH_TOO_LARGE"])
def test_a_code_whose_raisers_or_tests_are_taken_away_is_named(code: str) -> None:
    member = {value: name for name, value in names().items()}[code]
    raisers = [path for path in sources() if {(code, True), (member, True)} & mentions(path)]
    assert raisers
    assert code in unraised(names(), set(sources()) - set(raisers))
    meeting = [path for path in written_tests() if {code, member} & {word for word, _ in mentions(path)}]
    assert meeting
    assert code in unmet(names(), set(written_tests()) - set(meeting))


def test_an_invented_code_would_be_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""GS_999 in prose."""\nraised(ReasonCode.GS_998, code="GS_997", text="GS_996: no")\n', "utf-8")
    assert dict(mentions(module)) == {"GS_998": True, "GS_997": True, "GS_996": False}
