"""The webhook's address is public: whatever is thrown at it gets the right refusal and changes nothing."""

import http.client
import json
import uuid
from collections.abc import Mapping

import pytest

from bot.webhook import BODY_BYTES_MAX, signature
from tests.e2e.service import Place, Service, racing
from tests.github.client import Answer, RestClient

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def issue_labeled(service: Service, sample: dict[str, bytes]) -> tuple[Place, int, bytes]:
    """A genuine delivery's bytes, which the App has not acted on: the label was another."""
    place = service.settle(racing(sample, "regex-order"))
    issue = place.open_issue()
    place.label(issue, name="bug")
    service.github.knob("webhooks/drain")
    sent = [one for one in service.github.deliveries(place.repository, "issues") if one["action"] == "labeled"]
    payload = sent[-1]["request"]["payload"]
    payload["label"]["name"] = "optr-workflow"
    return place, issue, json.dumps(payload).encode()


def headers(service: Service, body: bytes, **changes: str | None) -> dict[str, str]:
    """GitHub's headers for `body`, with changes; None takes one away."""
    secret = service.environ["OPTR_WEBHOOK_SECRET"].encode()
    made: dict[str, str | None] = {
        "Content-Type": "application/json",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Event": "issues",
        "X-Hub-Signature-256": signature(secret, body),
    }
    made |= {name.replace("_", "-"): text for name, text in changes.items()}
    return {name: text for name, text in made.items() if text is not None}


def send(service: Service, body: bytes, sent: Mapping[str, str], method: str = "POST") -> Answer:
    return RestClient(service.url).send(method, "/webhook", body, sent)


def test_refusals_have_the_right_status_and_change_nothing(
    service: Service, issue_labeled: tuple[Place, int, bytes]
) -> None:
    place, issue, genuine = issue_labeled
    malformed, nested = b'{"action": "labeled",', b'{"action": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    wrong_shape = b'{"action": "labeled", "sender": [], "repository": 7}'
    cases: list[tuple[int, bytes, dict[str, str], str]] = [
        (401, genuine, headers(service, genuine, X_Hub_Signature_256=None), "POST"),
        (401, genuine, headers(service, genuine, X_Hub_Signature_256=None, X_Hub_Signature="sha1=0"), "POST"),
        (403, genuine, headers(service, genuine + b" "), "POST"),
        (403, genuine, headers(service, genuine, X_Hub_Signature_256="sha256=" + "0" * 64), "POST"),
        (400, malformed, headers(service, malformed), "POST"),
        (400, b"[]", headers(service, b"[]"), "POST"),
        (400, b"\xff\xfe", headers(service, b"\xff\xfe"), "POST"),
        (400, nested, headers(service, nested), "POST"),
        (400, genuine, headers(service, genuine, X_GitHub_Delivery=None), "POST"),
        (400, genuine, headers(service, genuine, X_GitHub_Event="../issues"), "POST"),
        (415, genuine, headers(service, genuine, Content_Type="application/x-www-form-urlencoded"), "POST"),
        (405, b"", {}, "GET"),
        (405, genuine, headers(service, genuine), "PUT"),
        (200, b"{}", headers(service, b"{}", X_GitHub_Event="deployment"), "POST"),
        (200, b"{}", headers(service, b"{}", X_GitHub_Event="ping"), "POST"),
        (202, wrong_shape, headers(service, wrong_shape), "POST"),
    ]
    service.tolerated.append("unreadable payload dropped")
    answers = [(send(service, body, sent, method), status) for status, body, sent, method in cases]
    assert [answer.status for answer, _ in answers] == [status for _, status in answers]
    assert answers[-3][0].body["status"] == "ignored"
    assert all(answer.headers["server"] == "optr" for answer, _ in answers)
    assert RestClient(service.url).send("GET", "/nowhere").status == 404
    place.drained()
    assert place.nothing_happened(issue)
    assert service.answers("/health")
    assert service.answers("/ready")


@pytest.mark.parametrize("announced", [True, False])
def test_an_oversized_body_is_refused_without_being_kept(service: Service, *, announced: bool) -> None:
    """26 MiB, with its length announced or in chunks that never say how many will come."""
    block, blocks = b" " * MEBIBYTE, 26
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    try:
        connection.putrequest("POST", "/webhook")
        for name, text in headers(service, b"").items():
            connection.putheader(name, text)
        length = ("Content-Length", str(blocks * MEBIBYTE)) if announced else ("Transfer-Encoding", "chunked")
        connection.putheader(*length)
        connection.endheaders()
        try:
            for _ in range(blocks):
                connection.send(block if announced else f"{MEBIBYTE:x}\r\n".encode() + block + b"\r\n")
            if not announced:
                connection.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer came before the end, which is its point
        assert connection.getresponse().status == 413
    finally:
        connection.close()
    assert blocks * MEBIBYTE > BODY_BYTES_MAX
    assert service.answers("/health")
    assert service.answers("/ready")


def test_the_genuine_delivery_is_still_taken(service: Service, issue_labeled: tuple[Place, int, bytes]) -> None:
    place, issue, genuine = issue_labeled
    answer = send(service, genuine, headers(service, genuine))
    assert (answer.status, answer.body["status"]) == (202, "queued")
    place.opened(issue)
