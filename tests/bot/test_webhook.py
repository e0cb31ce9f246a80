"""The pure ladder, and every trap that a webhook receiver of this stack is known to fall into."""

import pytest

from bot import webhook
from bot.webhook import RefusedError, verify

SECRET = b"a-webhook-secret-of-some-length"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def _headers(body: bytes, **changes: str | None) -> dict[str, str]:
    headers: dict[str, str | None] = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": GUID,
        "X-Hub-Signature-256": webhook.signature(SECRET, body),
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    return {name: value for name, value in headers.items() if value is not None}


def _status(body: bytes, headers: dict[str, str]) -> int:
    try:
        webhook.check_headers(headers)
        verify(headers, body, (SECRET,))
    except RefusedError as refused:
        return refused.status
    pytest.fail("it was not refused")


def test_githubs_published_vector() -> None:
    # https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
    given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert webhook.verify_signature((b"It's a Secret to Everybody",), b"Hello, World!", given)
    assert not webhook.verify_signature((b"It's a Secret to Everybody",), b"Hello, World?", given)


def test_a_signed_delivery_passes() -> None:
    body = b'{"action": "labeled"}'
    verified = verify(_headers(body, X_GitHub_Delivery=GUID.upper()), body, (SECRET,))
    assert (verified.guid, verified.event, verified.action) == (GUID, "issues", "labeled")


def test_either_secret_passes_while_one_is_being_changed() -> None:
    body = b"{}"
    assert verify(_headers(body), body, (b"the-new-one-that-is-set", SECRET)).action == ""


@pytest.mark.parametrize("secrets", [(), (b"",), (SECRET, b"")])
def test_without_a_secret_nothing_is_ever_verified(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="without a secret"):
        webhook.verify_signature(secrets, b"{}", webhook.signature(b"", b"{}"))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        ("sha1=" + "0" * 40, 403),
        ("sha256=", 403),
        ("sha256=" + "0" * 64, 403),
        ("sha256=" + "é" * 64, 403),
        ("sha256=\udcff\udcfe", 403),
        ("0" * 64, 403),
    ],
)
def test_unsigned_and_wrongly_signed(given: str | None, status: int) -> None:
    assert _status(b"{}", _headers(b"{}", X_Hub_Signature_256=given)) == status


def test_a_sha1_signature_is_never_looked_at() -> None:
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    sha1 = "sha1=" + hmac.new(SECRET, b"{}", hashlib.sha1).hexdigest()
    assert _status(b"{}", _headers(b"{}", X_Hub_Signature_256=None) | {"X-Hub-Signature": sha1}) == 401
    assert _status(b"{}", _headers(b"{}", X_Hub_Signature_256=sha1)) == 403


def test_a_signature_of_other_bytes_that_mean_the_same_is_refused() -> None:
    assert _status(b'{"a": 1}', _headers(b'{"a":1}')) == 403


@pytest.mark.parametrize("guid", [None, "", "1", GUID + "0", GUID[:-1] + "g", GUID + "\n", "../" + GUID])
def test_a_missing_or_malformed_delivery_id(guid: str | None) -> None:
    assert _status(b"{}", _headers(b"{}", X_GitHub_Delivery=guid)) == 400


@pytest.mark.parametrize("event", [None, "", "Issues", "issues\n", "a" * 65, "issues; drop"])
def test_a_missing_or_malformed_event(event: str | None) -> None:
    assert _status(b"{}", _headers(b"{}", X_GitHub_Event=event)) == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 200_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_a_400_and_never_an_exception_of_another_kind(body: bytes) -> None:
    assert _status(body, _headers(body)) == 400


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = webhook.JSON_DEPTH_MAX
    body = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
    assert verify(_headers(body), body, (SECRET,)).event == "issues"


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"]
)
def test_a_wrong_content_type(content_type: str | None) -> None:
    assert _status(b"{}", _headers(b"{}", Content_Type=content_type)) == 415


@pytest.mark.parametrize("content_type", ["application/json; charset=bogus", "Application/JSON", "application/json;"])
def test_the_charset_is_the_senders_word_and_not_believed(content_type: str) -> None:
    headers = _headers(b"{}", Content_Type=content_type)
    webhook.check_headers(headers)
    assert verify(headers, b"{}", (SECRET,)).event == "issues"


def test_a_compressed_body_is_refused() -> None:
    assert _status(b"{}", _headers(b"{}", Content_Encoding="gzip")) == 415


def test_the_reason_never_repeats_what_was_sent() -> None:
    body = b'{"a": "ghs_secret'
    with pytest.raises(RefusedError) as caught:
        verify(_headers(body), body, (SECRET,))
    assert "ghs_" not in str(caught.value)


def test_only_a_true_action_word_is_an_action() -> None:
    body = b'{"action": {"deep": 1}}'
    assert verify(_headers(body), body, (SECRET,)).action == ""
