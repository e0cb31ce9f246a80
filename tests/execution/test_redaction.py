"""No secret survives on its way to a commit, a comment or a log."""

import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.settings_table import TABLE
from execution.redaction import REDACTED, secrets_of
from ledger.keys import Signer

VALUE = "correct horse/battery+staple>>>???"
ENVIRON = {
    "OPENAI_API_KEY": VALUE,
    "OPTR_WEBHOOK_SECRET": "hunter22hunter22",
    "PATH": "/usr/bin:/bin",
    "A_KEY": "short",
}


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote(VALUE, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3E", "%3e").replace("%3F", "%3f"),
        quote_plus(VALUE),
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)
def test_a_live_secret_is_replaced_in_every_form(form: str) -> None:
    redacted = secrets_of(ENVIRON).redact(f"before {form} after")
    assert form.rstrip("=") not in redacted
    assert redacted.startswith(f"before {REDACTED}")


@pytest.mark.parametrize(
    "shape",
    [
        "ghs_" + "x" * 36,
        "ghs_123456_eyJhbGciOi.eyJpc3MiOiJ.c2lnbmF0dXJl-and-more-of-any-length",
        "github_pat_" + "A1" * 20,
        "sk-ant-api03-" + "b" * 40,
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdef",
        Signer("optr/octocat/hello", bytes(32)).secret_text().strip(),
    ],
)
def test_known_shapes_are_replaced(shape: str) -> None:
    assert shape not in secrets_of({}).redact(f"token={shape};")


def test_a_private_key_goes_whole() -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----\nrest"
    assert secrets_of({}).redact(text) == f"{REDACTED}\nrest"


def test_ordinary_words_stay() -> None:
    text = "PATH is /usr/bin:/bin and the short one stays short"
    assert secrets_of(ENVIRON).redact(text) == text


def test_a_secret_split_over_diff_lines_is_found() -> None:
    patch = b"+const a = 'correct horse/\n+battery+staple>>>???';\n"
    assert secrets_of(ENVIRON).found_in(patch)
    assert not secrets_of(ENVIRON).found_in(b"+nothing here\n")


FORMS = [VALUE, quote(VALUE, safe=""), VALUE.encode().hex(), base64.b64encode(VALUE.encode()).decode().rstrip("=")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gap", ["\n", "\r\n", "\n+", "\n-", "\n "])
def test_a_form_split_at_any_character_is_found_and_replaced(form: str, gap: str) -> None:
    secrets = secrets_of(ENVIRON)
    for at in range(1, len(form)):
        split = form[:at] + gap + form[at:]
        assert secrets.found_in(split.encode()), at
        assert secrets.redact(f"<{split}>").startswith(f"<{REDACTED}"), at


@pytest.mark.parametrize("form", FORMS)
def test_a_form_over_many_lines_is_replaced_and_the_lines_around_it_stay(form: str) -> None:
    wrapped = "\n".join(form[at : at + 7] for at in range(0, len(form), 7))
    assert secrets_of(ENVIRON).redact(f"one\n{wrapped}\ntwo\n") == f"one\n{REDACTED}\ntwo\n"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "z", "yz", "xyz"])
def test_a_secret_inside_a_longer_base64_text_is_found_and_replaced(before: str, after: str) -> None:
    secrets = secrets_of(ENVIRON)
    encoded = base64.b64encode(f"{before}{VALUE}{after}".encode())
    assert secrets.found_in(encoded)
    assert REDACTED in secrets.redact(encoded.decode())
    assert not secrets.found_in(base64.b64encode(f"{before}nothing of the kind{after}".encode()))


def test_a_secret_of_many_lines_is_found_in_a_diff_and_in_json() -> None:
    key = "first line of it\nsecond line of it\nthird line"
    secrets = secrets_of({"A_PRIVATE_KEY": key})
    for written in (key, key.replace("\n", "\n+"), key.replace("\n", "\r\n"), json.dumps(key)):
        assert secrets.found_in(written.encode())
        assert "second line" not in secrets.redact(written)


def test_a_secret_of_line_ends_alone_redacts_nothing_else() -> None:
    text = "ordinary\nwords\n"
    assert secrets_of({"A_KEY": "\n" * 9}).redact(text) == text
    assert not secrets_of({"A_KEY": "\n" * 9}).found_in(text.encode())


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\n+"])
def test_a_split_secret_is_found_once_its_text_stands_in_json(gap: str) -> None:
    secrets = secrets_of(ENVIRON)
    written = json.dumps({"output": f"before {VALUE[:9]}{gap}{VALUE[9:]} after"})
    assert secrets.found_in(written.encode())
    assert json.loads(secrets.redact(written)) == {"output": f"before {REDACTED} after"}


AWKWARD = "q\"uo\\te/'two'\nnew line \t%41+é=&<end>"


def _unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04X}" for char in text)


def _percent_all(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


ESCAPED = {
    "json": lambda text: json.dumps(text)[1:-1],
    "json, not ascii only": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "json in json in json": lambda text: json.dumps(json.dumps(json.dumps(text)[1:-1])[1:-1])[1:-1],
    "json with the slash escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json with the slash by its number": lambda text: json.dumps(text)[1:-1].replace("/", "\\u002f"),
    "every character by its number": _unicode_escaped,
    "percent, upper case": lambda text: quote(text, safe=""),
    "percent, lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "percent, every byte": _percent_all,
    "percent in json": lambda text: json.dumps(quote(text))[1:-1],
    "a form's": quote_plus,
    "base64 in a URL": lambda text: quote(base64.b64encode(text.encode()), safe=""),
    "base64 in json, slashes escaped": lambda text: base64.b64encode(text.encode()).decode().replace("/", "\\/"),
    "base64 as mail wraps it": lambda text: base64.encodebytes(text.encode() * 3).decode(),
    "base64, indented": lambda text: re.sub("(.{9})", r"\1\n    ", base64.b64encode(text.encode()).decode()),
    "over four indented lines of a diff": lambda text: "\n+\t".join([text[:3], text[3:9], text[9:14], text[14:]]),
}


@pytest.mark.parametrize("value", [VALUE, AWKWARD])
@pytest.mark.parametrize("way", ESCAPED)
def test_a_secret_is_found_and_replaced_whichever_way_it_is_escaped(way: str, value: str) -> None:
    secrets = secrets_of({"A_TOKEN": value})
    written = ESCAPED[way](value)
    assert secrets.found_in(f"before {written} after".encode())
    redacted = secrets.redact(f"before {written} after")
    assert redacted.startswith(f"before {REDACTED}")
    assert redacted.endswith(" after")
    assert not secrets.found_in(redacted.encode())


@given(st.text(alphabet='\\"/nrtu%4+-\n\r\té ab', min_size=8, max_size=24), st.text(max_size=9), st.text(max_size=9))
def test_nothing_is_left_and_json_stays_json(value: str, before: str, after: str) -> None:
    value += "."  # one that ends in a backslash also stands in what JSON writes for it and a quotation mark
    secrets = secrets_of({"A_TOKEN": value})
    for ascii_only in (True, False):
        text = json.dumps({"output": [before + value + after]}, ensure_ascii=ascii_only)
        assert secrets.found_in(text.encode("utf-8", "surrogatepass"))
        redacted = secrets.remove(text)
        assert not secrets.found_in(redacted.encode("utf-8", "surrogatepass"))
        assert REDACTED in json.loads(redacted)["output"][0]


def test_a_secret_that_is_no_utf8_is_found_as_it_is_read() -> None:
    secrets = secrets_of({"A_TOKEN": "caf\udce9-au-lait"})
    assert secrets.found_in(b"<caf\xe9-au-lait>")
    assert secrets.remove("<caf%E9-au-lait>") == f"<{REDACTED}>"


def test_a_long_run_of_backslashes_is_read_in_one_go() -> None:
    run = "\\" * 200_000
    assert secrets_of(ENVIRON).remove(run) == run
    assert secrets_of(ENVIRON).remove(f"a{run}{VALUE}{run}n") == f"a{REDACTED}{run}n"


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PRIVATE KEY-----\n-MIIEvQ\n-IBADAN\n------END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC,00\n\nMIIEvQ\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQ\\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY-\n-----END PGP PRIVATE KEY BLOCK-----",
        "-----BEGIN PRIVATE KEY-----\n" + "\n+".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj" + "A" * 24] * 3),
    ],
)
def test_a_private_key_goes_whole_in_a_diff_with_headers_in_json_and_cut_off(key: str) -> None:
    assert secrets_of({}).redact(f"one\n{key}\n\ntwo") == f"one\n{REDACTED}\n\ntwo"


def test_what_stands_between_two_headers_without_an_end_stays() -> None:
    text = "-----BEGIN PRIVATE KEY-----\nwords\n-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"
    assert secrets_of({}).redact(text) == f"{REDACTED}\nwords\n{REDACTED}\n"


def test_a_private_key_that_begins_in_one_member_does_not_reach_into_the_next() -> None:
    value = {"a": "-----BEGIN PRIVATE KEY-----", "b": "A" * 64, "c": "-----END PRIVATE KEY-----"}
    assert json.loads(secrets_of({}).redact(json.dumps(value))) == value | {"a": REDACTED}


def test_every_setting_that_is_a_secret_is_known_by_its_value() -> None:
    names = [setting.variable for setting in TABLE if setting.secret]
    assert {"OPTR_WEBHOOK_SECRET_PREVIOUS", "OPTR_DATABASE_URL"} < set(names)
    for name in names:
        value = "postgresql://optr:hunter2%2Fhunter2@db.example/optr" if name.endswith("_URL") else "hunter2/hunter2"
        assert secrets_of({name: value}).found_in(b"<hunter2/hunter2>"), name


@pytest.mark.parametrize("value", ["https://[half", "user@example.org", "git@github.com:o/r.git", "http://u:p@h/", "@"])
def test_what_is_no_url_or_has_no_password_worth_the_name_is_no_secret(value: str) -> None:
    assert secrets_of({"A_PLACE": value}).redact(f"<{value}>") == f"<{value}>"
