"""What `make mutate` changes, and what it leaves alone."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from tools import mutate
from tools.mutants import functions, mutants
from tools.mutate_trace import TRACED, whose
from tools.mutate_warm import functions_by_file, swaps_of

ROOT = Path(__file__).resolve().parents[2]
SOURCE = b'''"""A docstring == stays."""

from a import b

LIMIT: int = 5  # \xe2\x80\x94


@cached(maxsize=1)
def clip(value: "int == 1", *, least: int = 0) -> int:
    """So does == this."""
    if value < least and ready():
        raise ValueError(f"{value < 1} is prose")
    note("two words", "word")
    return value + LIMIT
'''


def changes() -> set[tuple[str, str]]:
    return {(one.was, one.becomes) for one in mutants("m.py", SOURCE)}


def test_each_kind_of_code_is_changed() -> None:
    assert changes() == {
        ("5", "(6)"),
        ("0", "(1)"),
        ("value < least and ready()", "(value < least or ready())"),
        ("value < least", "(value <= least)"),
        ('raise ValueError(f"{value < 1} is prose")', "pass"),
        ('note("two words", "word")', "pass"),
        ('"word"', "('wordX')"),
        ("return value + LIMIT", "return None"),
        ("value + LIMIT", "(value - LIMIT)"),
    }


def test_a_change_is_applied_at_its_place_after_characters_of_several_bytes() -> None:
    (one,) = [one for one in mutants("m.py", SOURCE) if one.was == "value + LIMIT"]
    assert one.apply(SOURCE) == SOURCE.replace(b"value + LIMIT", b"(value - LIMIT)")
    assert (one.scope, one.line, one.function) == ("clip", 14, functions(SOURCE)[8])


def test_an_id_survives_changes_elsewhere_and_not_in_its_function() -> None:
    def ids(source: bytes) -> set[str]:
        return {one.id for one in mutants("m.py", source) if one.scope == "clip"}

    assert ids(b"ONE = 1\n" + SOURCE) == ids(SOURCE)
    assert not ids(SOURCE.replace(b'"word"', b'"ward"')) & ids(SOURCE)


def test_a_test_is_known_to_run_a_function_wherever_it_moves_however_it_changes_and_not_what_stands_there_now(
    tmp_path: Path,
) -> None:
    module = tmp_path / "m.py"
    module.write_bytes(SOURCE + b"\n\nclass Door:\n    def fits(self) -> bool:\n        return len(self.name) < 9\n")
    opened = {"seconds": 2.0, "shared": {}, "ran": whose([f"{module}:18"])}
    tests = {"opens": opened, "clips": {"seconds": 1.0, "shared": {}, "ran": whose([f"{module}:8", f"{module}:1"])}}

    def asked(source: bytes) -> list[str]:
        (one,) = [one for one in mutants(str(module), source) if one.scope.startswith("Door.") and "<=" in one.becomes]
        return mutate.tests_of(one, tests, seconds_max=9.0)[0]

    whole = module.read_bytes()
    assert asked(whole) == ["opens"]
    moved = b"ONE = 1\n\n\n" + whole.replace(b"@cached(maxsize=1)", b"@cached(\n    maxsize=1\n)")
    assert asked(moved) == ["opens"]
    assert asked(whole.replace(b"self.name", b"self.nick")) == ["opens"]
    assert asked(whole.replace(b"def fits", b"def suits")) == ["clips", "opens"], "of an unknown function any may"


def test_a_fixture_of_several_tests_is_paid_once_and_no_test_asked_often_before_others() -> None:
    module = "m.py"
    (one,) = [one for one in mutants(module, SOURCE) if one.becomes == "(value - LIMIT)"]
    ran = [f"{module}:{one.function}"]
    tests = {f"a::{at}": {"seconds": 1.0 + at, "shared": {"house": 5.0}, "ran": ran} for at in range(3)}
    tests["b::quick"] = {"seconds": 6.5, "shared": {}, "ran": ran}
    assert mutate.tests_of(one, tests, seconds_max=14.6) == (["a::0", "a::1", "b::quick"], 14.5)
    assert mutate.tests_of(one, tests, seconds_max=5.9) == ([], 0.0)

    alike = {f"a::alike[{at}]": {"seconds": 1.0, "shared": {}, "ran": ran} for at in range(9)}
    other = {"b::other": {"seconds": 2.0, "shared": {}, "ran": ran}}
    assert mutate.tests_of(one, alike | other, seconds_max=4.0) == (["a::alike[0]", "a::alike[1]", "b::other"], 4.0)


def test_a_function_is_given_its_changed_code_in_place_and_nothing_else_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "doors.py"
    path.write_text(
        "LIMIT = 5\n\n\ndef fits(\n    age: int,\n) -> bool:\n    return (\n        age < 9\n    )\n", encoding="utf-8"
    )
    spec = importlib.util.spec_from_file_location("doors", path)
    assert spec is not None
    assert spec.loader is not None
    doors = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(doors)
    made = {one.becomes: one for one in mutants(str(path), path.read_bytes())}
    functions = functions_by_file()
    assert list(swaps_of(made["(6)"], functions)) == []
    ((function, code),) = swaps_of(made["(age <= 9)"], functions)
    assert not doors.fits(9)
    function.__code__ = code
    assert doors.fits(9)


def test_what_a_fixture_of_a_whole_module_runs_counts_for_each_test_that_uses_it(tmp_path: Path) -> None:
    (tmp_path / "door.py").write_text(
        "import threading\n\n\ndef opened():\n    return 1\n\n\ndef knocked():\n    pass\n\n\n"
        "def answered():\n    one = threading.Thread(target=knocked)\n    one.start()\n    one.join()\n",
        encoding="utf-8",
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_door.py").write_text(
        "import os\nimport pytest\nimport door\n\n"
        "@pytest.fixture(scope='module')\ndef house():\n    return door.opened()\n\n"
        "def test_first(house):\n    os.environ['FIRST'] = '1'\n\n"
        "def test_second(house):\n    door.answered()\n\n"
        "def test_third():\n    assert 'FIRST' in os.environ, 'after the first only'\n",
        encoding="utf-8",
    )
    traced = tmp_path / "traced.json"
    environ = {**os.environ, TRACED: str(traced), "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-p",
        "tools.mutate_trace",
        "-p",
        "no:cacheprovider",
        "tests",
    ]

    def measured() -> dict[str, Any]:
        subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True)
        return cast("dict[str, Any]", json.loads(traced.read_text(encoding="utf-8")))

    seen = measured()
    ran = {name.partition("::")[2]: {place.split()[0] for place in fact["ran"]} for name, fact in seen["tests"].items()}
    assert ran == {
        "test_first": {"door.py:opened"},
        "test_second": {"door.py:opened", "door.py:answered", "door.py:knocked"},
    }
    assert "after the first only" in seen["failed"]["tests/test_door.py::test_third"]
    assert [list(fact["shared"]) for fact in seen["tests"].values()] == [["tests/test_door.py::house"]] * 2

    for fact in seen["tests"].values():
        fact["seconds"] = 99
    traced.write_text(json.dumps(seen), encoding="utf-8")
    assert [fact["seconds"] for fact in measured()["tests"].values()] == [99, 99]
    file = tmp_path / "tests/test_door.py"
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert all(fact["seconds"] < 99 for fact in measured()["tests"].values())
