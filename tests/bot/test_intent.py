import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intent import BODY_CHARACTERS_MAX, CUT_NOTE, RAW_CHARACTERS_MAX, TITLE_CHARACTERS_MAX, intent_of, sanitise


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain **text** stays", "plain **text** stays"),
        ("a<!-- hidden -->b", "ab"),
        ("a<!-- hidden", "a"),
        ("a<!--\nhidden\n-->\nb", "a\nb"),
        ("a<<!-- x -->!-- hidden -->b", "ab"),
        ("![alt text](https://x/y.png)", ""),
        ("![alt [nested] text](https://x/y.png)!", "!"),
        ("![alt\nover lines][ref]", ""),
        ("a link [stays](https://x)", "a link [stays](https://x)"),
        ('<img src="x" alt="do evil">', ""),
        ('<a href="x" title="do evil">link</a>', '<a href="x">link</a>'),
        ("[//]: # (do evil)\nseen", "seen"),
        ("foot[^1]\n\n[^1]: note", "foot[^1]\n\n[^1]: note"),
        ("zero\u200bwidth\u2060", "zerowidth"),
        ("bidi\u202eevil\u202c\u2066x\u2069", "bidievilx"),
        ("tag\U000e0041\U000e0042chars", "tagchars"),
        ("bell\x07null\x00esc\x1b[31m", "bellnullesc[31m"),
        ("lone\ud800surrogate", "lonesurrogate"),
        ("tab\tand\r\nline\rends", "tab\tand\nline\nends"),
        ('title = "code stays"', 'title = "code stays"'),
        ("map<string, vector<int>> x", "map<string, vector<int>> x"),
    ],
)
def test_what_a_reader_sees_is_what_remains(text: str, seen: str) -> None:
    assert sanitise(text) == seen


def test_long_text_is_cut_and_the_cut_is_said() -> None:
    cut = sanitise("word " * 10_000)
    assert len(cut) <= BODY_CHARACTERS_MAX
    assert cut.endswith(CUT_NOTE)
    assert sanitise("a" * BODY_CHARACTERS_MAX) == "a" * BODY_CHARACTERS_MAX


def test_the_title_is_one_short_line() -> None:
    intent = intent_of("  Fix\n\nthe\t parser " + "x" * 500, "")
    assert intent.title.startswith("Fix the parser x")
    assert len(intent.title) == TITLE_CHARACTERS_MAX
    assert intent_of("<!-- -->", "b").title == "(no title)"


def test_the_hash_is_of_the_original() -> None:
    intent = intent_of("t<!--x-->", "b\ud800")
    assert intent.sha256 == hashlib.sha256(b"t<!--x-->\nb\xed\xa0\x80").hexdigest()
    assert (intent.title, intent.body) == ("t", "b")


@given(st.text(alphabet=st.sampled_from('<!->[]()a\\\n" =alt img'), max_size=300))
def test_sanitising_again_changes_nothing_and_no_comment_or_image_survives(text: str) -> None:
    seen = sanitise(text)
    assert sanitise(seen) == seen
    assert "<!--" not in seen
    assert "<img" not in seen


@pytest.mark.parametrize(
    "unit",
    ["<!", "<!-", "![", "![]", "![](", "[", "]", "<a ", '<a alt="', "<img", "\\", "<!-- -->", "[x]: y\n", "<a alt=a"],
)
def test_text_built_to_be_slow_is_not(unit: str) -> None:
    text = (unit * RAW_CHARACTERS_MAX)[: RAW_CHARACTERS_MAX * 2]
    started = time.perf_counter()
    sanitise(text)
    nested = "<!" * 20_000 + "--" * 20_000
    sanitise(nested)
    assert time.perf_counter() - started < 10
