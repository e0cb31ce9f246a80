"""Shared parts of the bot's tests: deliveries as GitHub sends them, and a simulator that asserts."""

import json
import stat
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = "a-webhook-secret-of-some-length"


@pytest.fixture(scope="session")
def rsa_pem() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


@pytest.fixture
def key_file(tmp_path: Path, rsa_pem: bytes) -> Path:
    path = tmp_path / "app.pem"
    path.write_bytes(rsa_pem)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


@pytest.fixture
def environ(tmp_path: Path, key_file: Path) -> dict[str, str]:
    return {
        "OPTR_APP_ID": "123",
        "OPTR_PRIVATE_KEY_FILE": str(key_file),
        "OPTR_WEBHOOK_SECRET": SECRET,
        "OPTR_STATE": str(tmp_path / "state"),
        "OPTR_PORT": "0",
        "HOME": str(tmp_path),
    }


Payload = dict[str, Any]


PAYLOADS = Path(__file__).parent / "payloads"
EVENT_OF = {  # the member that tells which event a test speaks of, most telling first
    "check_run": "check_run",
    "review": "pull_request_review",
    "comment": "issue_comment",
    "pull_request": "pull_request",
    "issue": "issues",
}


def merged(base: Any, changes: Any) -> Any:
    """`changes` over `base`, object by object."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}


def number_of(login: str) -> int:
    """One account for each login, whatever its case."""
    return zlib.crc32(login.lower().encode())


@pytest.fixture
def payload() -> Callable[..., Payload]:
    """Build a payload: a delivery that GitHub's schema accepts, with a test's members laid over it."""

    def build(action: str, sender: str = "maria", **members: Any) -> Payload:
        event = next((name for member, name in EVENT_OF.items() if member in members), "issues")
        kind = "Bot" if sender.endswith("[bot]") else "User"
        samples = sorted(PAYLOADS.glob(f"{event}.*.json"))
        sample = next((path for path in samples if path.name == f"{event}.{action}.json"), samples[0])
        ours = {
            "action": action,
            "sender": {"login": sender, "id": number_of(sender), "type": kind},
            "repository": {"id": 77, "full_name": "octo/site", "private": True, "default_branch": "main"},
            "installation": {"id": 5, "node_id": "x"},
        }
        made: Payload = merged(json.loads(sample.read_text(encoding="utf-8")), {**ours, **members})
        return made

    return build


@pytest.fixture
def encode() -> Callable[[Mapping[str, Any]], bytes]:
    return lambda members: json.dumps(members).encode()
