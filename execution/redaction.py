"""Keep secrets out of everything that is committed, published or logged.

Two nets: the shapes of well-known credentials, and the exact values of the secrets that this process holds, also as
base64 (alone or inside a longer text), hex and percent-encoding, whole or split over lines. Shapes are a net with
holes; the real control is that no secret enters a sandbox.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
SECRET_CHARS_MIN = 8  # shorter values would redact ordinary words

# Names of environment variables whose values are secrets.
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)S?$|TOKEN_BEDROCK$")  # the last is AWS's name

# Where a value can be broken: a line end, also as JSON writes it, then what a diff puts in front of the next line.
_BREAK = r"(?:\r?\n|(?:\\r)?\\n)"
_DIFF_BREAK = _BREAK + r"[+\- ]?"

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
        return SHAPES.sub(REDACTED, self.remove(text))

    def remove(self, text: str) -> str:
        """`text` with every known secret replaced; what merely has the shape of one stands."""
        for form in self._forms:
            text = text.replace(form, REDACTED)
        for form in self._split_in(text):
            text = re.sub(f"(?:{_DIFF_BREAK})?".join(map(re.escape, form)), REDACTED, text)
        return text

    def found_in(self, data: bytes) -> bool:
        """Whether a live secret's value stands in `data` in any of its forms."""
        text = data.decode("utf-8", "replace")
        return any(form in text for form in self._forms) or bool(self._split_in(text))

    def _split_in(self, text: str) -> list[str]:
        """The forms that stand in `text` once its lines are joined, longest first."""
        # Joined both ways: the mark of a diff is no part of the value, but a value may itself begin a line with `+`.
        joined = [re.sub(gap, "", text) for gap in (_BREAK, _DIFF_BREAK)]
        return [form for form in self._forms if any(form in lines for lines in joined)]


def names_secret(variable: str) -> bool:
    """Whether the value of an environment variable of that name is kept secret."""
    return _SECRET_NAME.search(variable) is not None


def secrets_of(environ: Mapping[str, str]) -> Secrets:
    """The secrets of an environment, by the names of its variables."""
    return Secrets(value for name, value in environ.items() if names_secret(name))


def _forms(value: str) -> set[str]:
    raw = value.encode()
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    lower = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in quoted}
    plain = {value, json.dumps(value)[1:-1], re.sub(_BREAK, "", value)}  # a key of many lines, also in JSON or a diff
    forms = plain | quoted | lower | {raw.hex(), raw.hex().upper()} | _base64_forms(raw)
    return {form for form in forms if len(form) >= SECRET_CHARS_MIN}


def _base64_forms(raw: bytes) -> set[str]:
    """The value alone, and as it looks inside a longer text: `user:password` of basic authentication, say."""
    forms = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.add(encode(raw).decode().rstrip("="))
        for before, mixed in ((0, 0), (1, 2), (2, 3)):  # bytes ahead, characters that also hold bits of them
            encoded = encode(bytes(before) + raw).decode()
            # The last character before padding would hold bits of whatever follows.
            forms.add((encoded.rstrip("=")[:-1] if encoded.endswith("=") else encoded)[mixed:])
    return forms
