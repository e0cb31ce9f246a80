"""Every example workflow, and every workflow on a page, is what `optr workflow check` accepts."""

import json
from pathlib import Path

import pytest

from bot.cli.app import run
from governance.patterns import PATTERNS
from tests.docs.pages import ROOT, blocks

EXAMPLES = sorted((ROOT / "examples/workflows").glob("*.yml"))
PAGE = ROOT / "docs/workflows.md"


def test_there_is_an_example_of_every_pattern() -> None:
    assert set(PATTERNS) <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_checked_and_drawn(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["workflow", "check", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pattern"] == {"race_f1_19": "race"}.get(path.stem, path.stem)
    for option, start in (("--svg", "<svg "), ("--mermaid", "flowchart TD\n")):
        assert run(["workflow", "draw", str(path), option]) == 0
        assert capsys.readouterr().out.startswith(start)


def test_the_page_shows_workflows_that_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = blocks(PAGE, "yaml")
    assert len(shown) == 3
    for text in shown:
        file = tmp_path / "shown.yml"
        file.write_text(text, encoding="utf-8")
        assert run(["workflow", "check", str(file)]) == 0
        file.write_text(text.replace("version: 1", "version: 3").replace("select_optr", "any"), encoding="utf-8")
        assert run(["workflow", "check", str(file)]) == 2
    assert capsys.readouterr().err.count("\n  where: ") == 3


def test_the_builder_on_the_page_builds(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = blocks(PAGE, "python")
    exec(compile(code, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.count("Node(") == 3
