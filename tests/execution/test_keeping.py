"""What stands in place of a text, and that nothing slips by because nobody thought of it."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.artifacts import Reviewed
from execution.capture import AGENT_OUTPUT, CORRECTION, REVIEW, SELECTION, Keeping, settled
from execution.problems import SetupProblem
from execution.redaction import Secrets
from execution.reviews import Ballot, Vote, VoteKind
from execution.stages.review_outputs import review_result
from governance.keeping import Capture, digested, least, missing
from governance.report import Report, Verdict

WORDS = "zebrawords"
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"abc"]), inner, max_size=3),
    max_leaves=12,
)


def marker(text: str) -> dict[str, Any]:
    data = text.encode()
    return {"notKept": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}


@given(value=Json)
def test_no_string_is_kept_where_no_place_is_named(value: object) -> None:
    assert WORDS not in json.dumps(digested(value, ["x.y", "a.b.c.z"]))


@given(value=Json)
def test_whatever_is_not_kept_is_listed_as_missing(value: object) -> None:
    told = digested({"a": value}, ["a.b"])
    listed = missing("file.json", json.dumps(told).encode())
    assert len(listed) == json.dumps(told).count('"notKept"')
    assert all(one.place.startswith("file.json a") for one in listed)


def test_only_named_places_keep_their_strings_and_an_unknown_object_is_replaced_whole() -> None:
    told = digested({"code": "X", "more": {WORDS: WORDS}, "pairs": [["X", WORDS]]}, ["code", "pairs.0"])
    assert told == {
        "code": "X",
        "more": marker(json.dumps({WORDS: WORDS})),
        "pairs": [["X", marker(WORDS)]],
    }


@pytest.mark.parametrize("ours", [AGENT_OUTPUT, REVIEW, SELECTION, CORRECTION])
def test_no_file_names_a_place_of_words(ours: tuple[str, ...]) -> None:
    spoken = {"text", "thought", "command", "output_tail", "error", "rationale", "problem", "reason", "title", "body"}
    assert not spoken & {place.rpartition(".")[2] for place in ours}


def test_a_reviewers_file_keeps_the_votes_and_none_of_the_words() -> None:
    vote = Vote(
        agent="codex",
        alias="patch-1",
        patch_sha256="0" * 64,
        kind=VoteKind.VETO,
        violations=(WORDS,),
        requirements=(WORDS,),
        invariants=(WORDS,),
        rationale=WORDS,
        problem=WORDS,
    )
    report = Report.model_construct(verdict=Verdict.PASS)
    reviewed = Reviewed.model_construct(ballot=Ballot(reviewer="judge", votes=(vote,)), report=report, reviewed_ms=1)
    kept = Keeping(Capture.DIGEST, Secrets([])).file(review_result("n", "m", reviewed), REVIEW)
    assert WORDS.encode() not in kept
    (told,) = json.loads(kept)["votes"]
    assert (told["vote"], told["agent"], told["rationale"]) == ("veto", "codex", marker(WORDS))


def test_a_digest_never_speaks_for_a_live_secret() -> None:
    secret = "live-secret-value-0123456789"
    kept = Keeping(Capture.DIGEST, Secrets([secret]))
    assert kept.words(f"say {secret}") == marker("say [redacted]")
    assert json.loads(kept.file({"a": f"say {secret}"}, ["b"]))["a"] == marker("say [redacted]")


@pytest.mark.parametrize("asked", list(Capture))
@pytest.mark.parametrize("bound", list(Capture))
def test_what_keeps_less_applies_and_a_wish_for_more_is_told(asked: Capture, bound: Capture) -> None:
    applied, warnings = settled(asked, {"OPTR_CAPTURE": bound.value})
    assert applied is least(asked, bound)
    order = [Capture.FULL, Capture.REDACTED, Capture.DIGEST]
    assert order.index(applied) == max(order.index(asked), order.index(bound))
    assert bool(warnings) is (applied is not asked and asked is Capture.FULL)


def test_the_operators_word_is_checked() -> None:
    assert settled(Capture.FULL, {})[0] is Capture.REDACTED
    with pytest.raises(SetupProblem, match="OPTR_CAPTURE"):
        settled(Capture.FULL, {"OPTR_CAPTURE": "most"})
