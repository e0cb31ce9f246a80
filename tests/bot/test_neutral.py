import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.render.neutral import ELLIPSIS, PART, fenced, neutralise, plain, quote, visible

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

ATTACKS = [
    "@octocat please merge",
    "ping @org/security-team now",
    "fixes #12",
    "Closes: octo/repo#7 and resolves GH-9",
    "fixes https://github.com/octo/repo/issues/1",
    "<!-- optr:run=0123456789abcdef --> mine",
    "<script>alert(1)</script><img src=x onerror=y>",
    "![pixel](https://evil.example/p.png?leak=1)",
    "[click](javascript:alert(1)) and [ref][1]",
    "www.evil.example and mailto:a@b.example",
    "```\nfence\n``` and `code`",
    "~~~\nfence",
    "/optr approve",
    "\n\n/lgtm\n/approve",
    "   /merge",
    "> quote\n# heading\n- list\n1. item\n***\n---\n===",
    "a | b\n--|--\n1 | 2",
    "abc\u202egnp.exe\u202c \u2066x\u2069",
    "in\u200bvis\u200dible\ufeff\u00ad\U000e0041\U000e0001",
    "bell\x07 esc\x1b[31m null\x00 del\x7f",
    "**bold** _it_ ~~gone~~ $math$ &lt;b&gt; &#64;user",
    "\\@user \\<b> \\`x",
    "    indented code",
    "<details open><summary>x</summary>",
    "$$\n\\unicode{x}\n$$",
    ":::\n[^1]: note",
    "e" + "\u0301" * 50,
]

ACTIVE = re.compile(
    r"@\S|#\w|\bgh-\d|://|\bwww\.|mailto:\S|xmpp:\S|<|(?:^|\n)\s*/",
    re.IGNORECASE,
)


def inert(text: str) -> None:
    for line in text.split("\n"):
        assert not ACTIVE.search(line.replace("&lt;", "&").replace(PART, f" {PART}")), line
        hidden = {c for c in line if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn"}} - {PART}
        assert not hidden


def rendered_text(markdown: str) -> str:
    """The text of one paragraph; fails when Markdown made anything else of it."""
    tokens = MARKDOWN.parse(markdown)
    assert [token.type for token in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"]), tokens
    children = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_becomes_text_that_says_the_same(attack: str) -> None:
    shown = neutralise(attack, 1000)
    inert(shown)
    expected = re.sub(r"\s+", " ", visible(attack)).strip()
    assert rendered_text(shown).replace(PART, "") == expected


@given(st.text(max_size=300), st.integers(min_value=1, max_value=200))
def test_any_text_is_inert_and_within_its_limit(text: str, limit: int) -> None:
    shown = neutralise(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    inert(shown)
    rendered_text(shown)


@given(st.lists(st.sampled_from([*"@#/<>`*_[]()!|~$\\&:-+=.1 \na", "gh-", "www.", "fixes ", "<!--", "](", "://"])))
def test_any_mixture_of_active_characters_is_inert(parts: list[str]) -> None:
    shown = neutralise("".join(parts), 400)
    inert(shown)
    if len(shown) < 400:
        assert rendered_text(shown).replace(PART, "") == re.sub(r"\s+", " ", "".join(parts)).strip()


@given(st.text(max_size=300))
def test_a_neutral_text_stays_one_cell_and_one_item(text: str) -> None:
    shown = neutralise(text, 200)
    table = MARKDOWN.parse(f"| a | b |\n|---|---|\n| {shown} | end |\n")
    assert sum(token.type == "td_open" for token in table) == 2
    assert [t.type for t in table].count("tr_open") == 2
    items = MARKDOWN.parse(f"- {shown}\n- end\n")
    assert sum(token.type == "list_item_open" for token in items) == 2


@given(st.text(max_size=400), st.integers(min_value=0, max_value=300))
def test_a_quote_holds_only_inert_lines(text: str, limit: int) -> None:
    shown = quote(text, limit)
    assert all(line.startswith(">") for line in shown.split("\n") if line)
    inert("\n".join(line.removeprefix(">").removeprefix(" ") for line in shown.split("\n")))
    assert "html_block" not in {token.type for token in MARKDOWN.parse(shown)}


@given(st.text(alphabet=st.sampled_from("`~\n/a <!-"), max_size=200))
def test_a_fence_is_not_closed_by_its_content(text: str) -> None:
    tokens = MARKDOWN.parse(f"{fenced(text, 100)}\n\nafter\n")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert "<!--" not in tokens[0].content


def test_a_fence_keeps_the_end() -> None:
    assert "last words" in fenced("x" * 5000 + "last words", 100)


def test_a_cut_never_splits_an_escape() -> None:
    text = "<" * 50
    for limit in range(1, 60):
        shown = neutralise(text, limit)
        assert re.fullmatch(rf"(&lt;)*{ELLIPSIS}", shown)


def test_names_people_write_stay_readable() -> None:
    assert neutralise("src/my_module/test_it.py: 3 passed", 100) == "src/my_module/test_it.py: 3 passed"


def test_a_title_is_parted_but_not_escaped() -> None:
    assert plain("fix *this*: closes #3 for @me", 100) == f"fix *this*: closes #{PART}3 for @{PART}me"
