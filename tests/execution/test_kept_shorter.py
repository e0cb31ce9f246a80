"""Nothing that is recorded is cut in silence: a note with the digest of the whole, or a refusal."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.agents.report import CLAIM_CHARACTERS_MAX, CLAIMS_MAX, FIELD_CHARACTERS_MAX, parse_report
from execution.policies import LINE_BYTES_MAX, require_command
from execution.records import Command
from governance.codes import ReasonCode, RefusedError
from governance.outputs import STRING_CHARS_MAX, STRINGS_MAX, plain
from governance.shortening import ending, shortened

LIMIT = 200


@given(text=st.text(max_size=400))
def test_what_fits_stays_and_what_does_not_names_the_whole(text: str) -> None:
    for cut, edge in ((shortened, text[:20]), (ending, text[-20:])):
        told = cut(text, LIMIT)
        if len(text) <= LIMIT:
            assert told == text
            continue
        assert len(told) <= LIMIT
        assert edge in told
        assert f"cut from {len(text.encode())} bytes" in told
        assert hashlib.sha256(text.encode()).hexdigest() in told


def test_a_reports_words_and_names_say_what_is_not_there() -> None:
    names = ["n" * 300, *(f"claim{number}" for number in range(CLAIMS_MAX + 9))]
    report = parse_report(json.dumps({"summary": "s" * 5000, "invariants": names}))
    assert len(report.summary) == FIELD_CHARACTERS_MAX
    assert hashlib.sha256(b"s" * 5000).hexdigest() in report.summary
    assert len(report.invariants) == CLAIMS_MAX
    assert report.invariants[-1] == "[… 11 more names …]"
    assert len(report.invariants[0]) <= CLAIM_CHARACTERS_MAX
    assert hashlib.sha256(b"n" * 300).hexdigest() in report.invariants[0]


def test_a_field_that_is_too_large_is_none_and_not_a_part_of_it() -> None:
    assert plain("x" * STRING_CHARS_MAX) == "x" * STRING_CHARS_MAX
    assert plain("x" * (STRING_CHARS_MAX + 1)) is None
    assert plain(["x"] * STRINGS_MAX) == ("x",) * STRINGS_MAX
    assert plain(["x"] * (STRINGS_MAX + 1)) is None
    assert plain(["x" * (STRING_CHARS_MAX + 1)]) is None


def test_a_command_too_long_for_a_policy_is_denied_before_anything_is_asked(tmp_path: Path) -> None:
    line = " " * LINE_BYTES_MAX + "curl https://example.com"
    command = Command(argv=("bash", "-c", line), workspace=tmp_path)
    with pytest.raises(RefusedError) as refused:
        require_command(None, None, command, 1)  # type: ignore[arg-type]
    assert refused.value.code == ReasonCode.POLICY_DENIED
