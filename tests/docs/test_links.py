import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchor, anchors, docs, links, pages, text

_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
_FILE = re.compile(
    r"`((?:bot|execution|governance|scoring|ledger|tests|tools|benchmarks|examples|\.github)/[\w./-]*)[`:]"
)
# Of the reader's repository.
NOT_OURS = (".github/optr.yml", ".github/optr/policy.cedar", ".github/agents/", ".github/workflows/**")


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        name, _, part = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: there is no {target}"
        assert ROOT in target.parents, f"{link} leads out of the repository"
        assert not part or part in anchors(target), f"{link}: the headings there are {sorted(anchors(target))}"


def test_the_index_lists_every_page_once() -> None:
    listed = [link for link in links(ROOT / "docs/index.md") if not link.startswith("../")]
    assert sorted(listed) == sorted(page.name for page in docs() if page.name != "index.md")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_is_there(page: Path) -> None:
    for file, name in _TEST.findall(text(page)):
        assert (ROOT / file).exists(), f"{page.name} names {file}"
        assert name in functions_of(file), f"{page.name} names {file}::{name}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    for name in _FILE.findall(text(page)):
        if not name.startswith(NOT_OURS):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_every_defence_names_a_test() -> None:
    page = text(ROOT / "docs/threat-model.md")
    rows = [row for row in page.partition("## Attack, defence, test")[2].splitlines() if row.startswith("| ")]
    attacks = [row for row in rows if not row.startswith("| attack |")]
    assert len(attacks) > 40
    for row in attacks:
        assert _TEST.search(row.split(" | ")[2]), row


def test_anchors_are_made_as_github_makes_them() -> None:
    assert anchor("`.github/optr.yml`") == "githuboptryml"
    assert anchor("What OPTR does not protect against") == "what-optr-does-not-protect-against"
    assert anchor("seed-v1") == "seed-v1"
    assert anchor("Who, [when](x.md) and `why`?") == "who-when-and-why"
