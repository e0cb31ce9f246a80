"""Witness policies: what is read, what each refusal says and of which line, and who has vouched."""

import re
from collections.abc import Sequence

import pytest

from ledger.cosignature import witness_key
from ledger.errors import NoteError, PolicyError, QuorumError
from ledger.keys import Signer
from ledger.merkle import root
from ledger.note import Note, Signature, VerifierKey, parse_note
from ledger.policy import LINES_MAX, POLICY_BYTES_MAX, Group, cosigned, cosigned_text, parse_policy

ORIGIN = "optr/octocat/hello"
LOG = Signer(ORIGIN, bytes(32))
HEAD = LOG.sign_checkpoint(7, root([]))
W = [Signer(f"witness.example/w{number}", bytes([number]) * 32) for number in range(4)]
KEYS = [witness_key(one) for one in W]


def policy(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def witnesses(count: int) -> list[str]:
    return [f"witness w{number} {KEYS[number]}" for number in range(count)]


def signed_by(*who: int, head: bytes = HEAD, seconds: Sequence[int] = (1, 2, 3, 4)) -> bytes:
    note = parse_note(head)
    more = [
        Signature(W[n].origin, KEYS[n].key_id, at.to_bytes(8, "big") + W[n].sign(cosigned_text(note.text, at)))
        for n, at in zip(who, seconds, strict=False)
    ]
    return Note(note.text, (*note.signatures, *more)).encode()


def test_a_policy_is_read_as_it_is_written() -> None:
    read = parse_policy(
        policy(
            "  # a comment may begin anywhere",
            "",
            " \t ",
            f"log {LOG.vkey}",
            f"log {Signer('optr/octocat/other', b'o' * 32).vkey} https://log.example",
            f"witness\tw0   {KEYS[0]}",
            f"witness w1 {KEYS[1]} https://w.example/x",
            "group both all w0 w1",
            f"witness w2 {KEYS[2]}",
            "group one any both w2",
            "quorum one",
        )
    )
    assert [key.name for key in read.logs] == [ORIGIN, "optr/octocat/other"]
    assert dict(read.witnesses) == {"w0": KEYS[0], "w1": KEYS[1], "w2": KEYS[2]}
    assert dict(read.urls) == {"w1": "https://w.example/x"}
    assert dict(read.groups) == {"both": Group(2, ("w0", "w1")), "one": Group(1, ("both", "w2"))}
    assert read.quorum == "one"


FORM = "lines are: log VKEY [URL], witness NAME VKEY [URL], group NAME all|any|K NAME..., quorum NAME"
REFUSED: list[tuple[list[str], str]] = [
    (["quorums none"], f"line 1 of the policy: {FORM}"),
    (["", "# x", f"log {LOG.vkey} u v", "quorum none"], f"line 3 of the policy: {FORM}"),
    ([f"witness w {KEYS[0]} u v", "quorum w"], f"line 1 of the policy: {FORM}"),
    (["witness w", "quorum none"], f"line 1 of the policy: {FORM}"),
    ([*witnesses(1), "group g any", "quorum none"], f"line 2 of the policy: {FORM}"),
    (["quorum"], f"line 1 of the policy: {FORM}"),
    (["quorum none", "quorum none"], "line 2 of the policy: a second quorum"),
    (["quorum w"], "line 1 of the policy: 'w' is not defined before"),
    (["group g any w", *witnesses(1), "quorum g"], "line 1 of the policy: 'w' is not defined before"),
    ([*witnesses(1), "group g any g", "quorum g"], "line 2 of the policy: 'g' is not defined before"),
    ([*witnesses(1), "group g any none", "quorum g"], "line 2 of the policy: 'none' is not defined before"),
    ([*witnesses(1), f"witness w0 {KEYS[1]}", "quorum none"], "line 2 of the policy: the name 'w0' is taken"),
    ([*witnesses(1), "group w0 any w0", "quorum none"], "line 2 of the policy: the name 'w0' is taken"),
    ([*witnesses(1), "group g 1 w0", f"witness g {KEYS[1]}"], "line 3 of the policy: the name 'g' is taken"),
    ([*witnesses(2), "group g any w0", "group g any w1"], "line 4 of the policy: the name 'g' is taken"),
    ([f"witness none {KEYS[1]}"], "line 1 of the policy: the name 'none' is taken"),
    ([*witnesses(1), "group none any w0"], "line 2 of the policy: the name 'none' is taken"),
    ([*witnesses(1), "group g any w0 w0"], "line 2 of the policy: 'w0' is a member already"),
    ([*witnesses(1), "group g any w0", "group h 1 g w0"], "line 3 of the policy: 'w0' is a member already"),
    ([f"witness w {LOG.vkey}"], "line 1 of the policy: the verification key is not an Ed25519 key (type byte 0x04"),
    ([f"log {KEYS[0]}"], "line 1 of the policy: the verification key is not an Ed25519 key (type byte 0x01"),
    ([f"log {LOG.vkey}"] * 2, f"line 2 of the policy: the public key of {LOG.vkey.label} stands there already"),
    (
        [*witnesses(1), f"witness x {VerifierKey('other', KEYS[0].public, KEYS[0].kind)}"],
        "line 2 of the policy: the public key of other+",
    ),
    (witnesses(1), "the policy has no line 'quorum NAME' (or 'quorum none')"),
    ([], "the policy has no line 'quorum NAME' (or 'quorum none')"),
]


@pytest.mark.parametrize(("lines", "words"), REFUSED)
def test_a_policy_out_of_form_is_refused_by_its_line(lines: list[str], words: str) -> None:
    with pytest.raises(PolicyError, match=f"^{re.escape(words)}"):
        parse_policy(policy(*lines))


def test_a_key_may_sign_as_a_log_and_as_a_witness() -> None:
    both = VerifierKey("other", LOG.vkey.public, KEYS[0].kind)
    assert parse_policy(policy(f"log {LOG.vkey}", f"witness w {both}", "quorum w")).witnesses == {"w": both}


@pytest.mark.parametrize(
    ("said", "threshold"),
    [("all", 3), ("any", 1), ("1", 1), ("2", 2), ("3", 3), ("0003", 3)]
    + [(odd, None) for odd in ("0", "4", "-1", "+1", "1.0", "ALL", "00003", "9" * 5000, "\u0663")],
)
def test_a_threshold_is_all_any_or_a_number_of_members(said: str, threshold: int | None) -> None:
    lines = policy(*witnesses(3), f"group g {said} w0 w1 w2", "quorum g")
    if threshold is not None:
        assert parse_policy(lines).groups == {"g": Group(threshold, ("w0", "w1", "w2"))}
        return
    with pytest.raises(PolicyError, match=r"line 4 of the policy: the threshold .* is not all, any, or 1 to 3"):
        parse_policy(lines)


def test_bytes_are_read_up_to_the_limit_and_control_characters_are_not() -> None:
    end = b"\nquorum none\n"
    assert POLICY_BYTES_MAX == 1_000_000
    assert parse_policy(b"#".ljust(POLICY_BYTES_MAX - len(end), b"x") + end).quorum == "none"
    with pytest.raises(PolicyError, match="the policy has 1000001 bytes; at most 1000000 are read"):
        parse_policy(b"#".ljust(POLICY_BYTES_MAX - len(end) + 1, b"x") + end)
    plain = [b"\t", b"\n", *(bytes([byte]) for byte in [*range(0x20, 0x7F), *range(0x80, 0x100)])]
    assert parse_policy(b"#" + b"\n#".join(plain) + end).quorum == "none"
    for byte in {*range(0x20), 0x7F} - {0x09, 0x0A}:
        words = f"holds the byte 0x{byte:02x}; of control characters only tab and line feed may"
        with pytest.raises(PolicyError, match=words):
            parse_policy(b"# " + bytes([byte]) + end)
    with pytest.raises(PolicyError, match="the policy's last line does not end in a line feed"):
        parse_policy(end[:-1])


def test_lines_are_counted_without_comments_and_empty_ones() -> None:
    assert LINES_MAX == 1000
    logs = [f"log {VerifierKey('l', number.to_bytes(32, 'big'))}" for number in range(LINES_MAX)]
    read = parse_policy(policy("# a", "", "quorum none", *logs[:-1]))
    assert len(read.logs) == LINES_MAX - 1
    with pytest.raises(PolicyError, match="line 1002 of the policy: more than 1000 lines"):
        parse_policy(policy("# a", "quorum none", *logs))


GROUPS = [*witnesses(4), "group a 2 w0 w1", "group b any w2 w3", "group c all a b", "quorum c"]


@pytest.mark.parametrize(
    ("who", "met"),
    [((), False), ((0, 1), False), ((0, 2), False), ((0, 1, 2), True), ((1, 0, 3), True), ((2, 3), False)],
)
def test_a_quorum_of_groups_is_reached_by_their_members(who: tuple[int, ...], *, met: bool) -> None:
    read = parse_policy(policy(*GROUPS))
    names = tuple(f"w{number}" for number in sorted(who))
    if met:
        assert read.check(signed_by(*who)) == names
        return
    words = f"the quorum 'c' is not reached: cosigned by {', '.join(names) or 'nobody'}"
    with pytest.raises(QuorumError, match=f"^{words}$"):
        read.check(signed_by(*who))


def test_without_a_quorum_those_who_cosigned_are_told() -> None:
    read = parse_policy(policy(*witnesses(2), "quorum none"))
    assert (read.check(HEAD), read.check(signed_by(1))) == ((), ("w1",))
    assert read.check(Note(parse_note(HEAD).text, parse_note(signed_by(1)).signatures[1:]).encode()) == ("w1",)


def test_a_log_that_is_named_must_have_signed_itself_or_through_its_successor() -> None:
    later = Signer(ORIGIN, b"l" * 32)
    signed_later = later.sign_checkpoint(7, root([]))
    read = parse_policy(policy(f"log {LOG.vkey}", "quorum none"))
    assert read.check(HEAD) == ()
    assert read.check(signed_later, [LOG.vkey, later.vkey]) == ()
    for lineage in ((), [later.vkey]):
        with pytest.raises(NoteError, match=f"the note is not signed by {re.escape(LOG.vkey.label)}"):
            read.check(signed_later, lineage)
    elsewhere = parse_policy(policy(f"log {Signer('optr/octocat/other', bytes(32)).vkey}", "quorum none"))
    with pytest.raises(NoteError, match="the note is not signed by any known key"):
        elsewhere.check(HEAD)
    either = parse_policy(policy(f"log {later.vkey}", f"log {LOG.vkey}", "quorum none"))
    assert (either.check(HEAD), either.check(signed_later)) == ((), ())


def test_a_cosignature_is_of_its_witness_its_time_and_its_text() -> None:
    assert cosigned_text("a\n1\n", 5) == b"cosignature/v1\ntime 5\na\n1\n"
    assert cosigned(HEAD, KEYS[0]) is None
    twice = signed_by(0, 0, 0, seconds=(20, 2**40, 3))
    assert cosigned(twice, KEYS[0]) == 2**40
    assert cosigned(twice, KEYS[1]) is None
    note = parse_note(signed_by(0))
    good = note.signatures[1].blob
    for blob in (good[:-1], good + b"x", good[8:]):
        odd = Note(note.text, (note.signatures[0], Signature(W[0].origin, KEYS[0].key_id, blob))).encode()
        with pytest.raises(NoteError, match=r"the cosignature by witness\.example/w0\+.* does not have a time"):
            cosigned(odd, KEYS[0])
    late = b"\0" * 7 + b"\2" + good[8:]
    odd = Note(note.text, (Signature(W[0].origin, KEYS[0].key_id, late),)).encode()
    with pytest.raises(NoteError, match="is wrong"):
        cosigned(odd, KEYS[0])
    under_another_name = Note(note.text, (Signature("witness.example/x", KEYS[0].key_id, late),)).encode()
    assert cosigned(under_another_name, KEYS[0]) is None
