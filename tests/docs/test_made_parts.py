import re

import pytest

from governance.states import TRANSITIONS
from tests.docs.conftest import Demo
from tests.docs.pages import ROOT, text
from tools import docs


def test_what_is_made_from_code_is_up_to_date() -> None:
    for path, made in docs.made():
        assert (ROOT / path).read_text(encoding="utf-8") == made, f"{path} is stale: run `make docs`"


def test_the_diagram_holds_every_move_and_no_other() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", text(ROOT / "README.md"), re.MULTILINE))
    assert drawn == {(state.value, to.value) for state, targets in TRANSITIONS.items() for to in targets}


def test_the_readme_shows_what_the_demo_prints(demo: Demo) -> None:
    shown, real = docs.part(text(ROOT / "README.md"), "demo"), docs.first_screen(demo.printed)
    assert docs.demo_rows(shown) == docs.demo_rows(real), "run `make readme`"
    assert [row["agent"] for row in docs.demo_rows(shown)] == ["**codex**", "claude", "regex-order", "snapshot"]
    assert re.findall(r"^- ([\w-]+): .*\(`(\w+)`\)", shown, re.MULTILINE) == [
        ("claude", "LOWER_SCORE"),
        ("regex-order", "LOWER_SCORE"),
        ("snapshot", "CHECK_FAILED"),
    ]
    assert re.findall(r"\(`\w+`\)", shown) == re.findall(r"\(`\w+`\)", real)
    assert shown.splitlines()[0].split(" · ")[:3] == real.splitlines()[0].split(" · ")[:3]


def test_a_part_is_replaced_between_its_marks_only() -> None:
    page = "a\n<!-- made: x -->\nold\n<!-- end: x -->\nb\n"
    assert docs.part(page, "x") == "old\n"
    assert docs.with_part(page, "x", "new \\1\n") == "a\n<!-- made: x -->\nnew \\1\n<!-- end: x -->\nb\n"
    with pytest.raises(ValueError, match="stands 0 times"):
        docs.with_part(page, "y", "")
    with pytest.raises(ValueError, match="stands 2 times"):
        docs.part(page + page, "x")
