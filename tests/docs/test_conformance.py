"""Each owed id has a test or a reason, and the page says which."""

from pathlib import Path

from tools.conformance import Owed, covered, owed, problems


def test_every_id_has_a_test_or_a_reason() -> None:
    assert problems(owed(), covered()) == []


def test_no_id_is_missing_from_the_list() -> None:
    listed = owed()
    assert list(listed["governance"]) == [f"F3.{number:02}" for number in range(1, 54)]
    assert list(listed["trust"]) == [f"F5.{number:02}" for number in range(1, 35)]


def test_marks_are_read_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_x.py").write_text(
        'import pytest\npytestmark = [pytest.mark.covers("F1")]\n'
        '@pytest.mark.covers("F2", "F3")\ndef test_a(): ...\n@pytest.mark.covers("F2")\nclass TestB: ...\n'
    )
    assert covered(tmp_path) == {
        "F1": ["tests/test_x.py"],
        "F2": ["tests/test_x.py::test_a", "tests/test_x.py::TestB"],
        "F3": ["tests/test_x.py::test_a"],
    }


def test_what_is_unknown_unmapped_or_said_twice_is_a_problem() -> None:
    ids = {"part": {"F1": Owed("one"), "F2": Owed("two", "not yet"), "F3": Owed("three", "never")}}
    assert problems(ids, {"F2": ["t"], "F9": ["t"]}) == [
        "F9 is covered by t but not listed in tests/conformance.toml",
        "F1 has no test: mark one with covers, or say why in tests/conformance.toml",
        "F2 has a test, t: take its not_met out of tests/conformance.toml",
    ]
