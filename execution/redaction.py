"""Keep secrets out of everything that is committed, published or logged.

Two nets: the shapes of well-known credentials, and the exact values of the secrets that this process holds, also as
base64, hex and percent-encoding. Shapes are a net with holes; the real control is that no secret enters a sandbox.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

REDACTED = "[redacted]"
SECRET_CHARS_MIN = 8  # shorter values would redact ordinary words

# Names of environment variables whose values are secrets.
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)S?$|TOKEN_BEDROCK$")  # the last is AWS's name

# GitHub's installation tokens are `ghs_` plus any length since April 2026; the others as their issuers document them.
SHAPES = re.compile(
    r"(gh[pousr]_[A-Za-z0-9._-]{16,}|github_pat_[A-Za-z0-9_]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}"
    r"|xox[abposr]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]+-----END [A-Z ]*PRIVATE KEY-----)?)"
)


class Secrets:
    """The values that must never leave this process."""

    def __init__(self, values: Iterable[str]) -> None:
        kept = {value for value in values if len(value) >= SECRET_CHARS_MIN}
        forms = {form for value in kept for form in _forms(value)}
        # Longest first, so that a value that contains another is replaced whole.
        self._forms = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """`text` with every known secret and every secret-shaped word replaced."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        return SHAPES.sub(REDACTED, text)

    def found_in(self, data: bytes) -> bool:
        """Whether a live secret's value stands in `data` in any of its forms."""
        text = data.decode("utf-8", "replace")
        joined = re.sub(r"\n[+\- ]?", "", text)  # a value split over the lines of a diff
        return any(form in text or form in joined for form in self._forms)


def names_secret(variable: str) -> bool:
    """Whether the value of an environment variable of that name is kept secret."""
    return _SECRET_NAME.search(variable) is not None


def secrets_of(environ: Mapping[str, str]) -> Secrets:
    """The secrets of an environment, by the names of its variables."""
    return Secrets(value for name, value in environ.items() if names_secret(name))


def _forms(value: str) -> set[str]:
    raw = value.encode()
    return {
        value,
        quote(value, safe=""),
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
