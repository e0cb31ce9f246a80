"""No secret survives on its way to a commit, a comment or a log."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from execution.redaction import REDACTED, secrets_of

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
