"""No secret survives on its way to a commit, a comment or a log."""

import base64
from urllib.parse import quote

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
        VALUE.encode().hex(),
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
