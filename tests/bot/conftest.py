"""Shared parts of the bot's tests: deliveries as GitHub sends them, and a simulator that asserts."""

import json
import stat
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


@pytest.fixture
def payload() -> Callable[..., Payload]:
    """Build a payload with the members that every delivery of ours has."""

    def build(action: str, sender: str = "maria", **members: Any) -> Payload:
        return {
            "action": action,
            "sender": {"login": sender, "id": 1, "type": "Bot" if sender.endswith("[bot]") else "User"},
            "repository": {"id": 77, "full_name": "octo/site", "private": True, "default_branch": "main"},
            "installation": {"id": 5, "node_id": "x"},
            **members,
        }

    return build


@pytest.fixture
def encode() -> Callable[[Mapping[str, Any]], bytes]:
    return lambda members: json.dumps(members).encode()
