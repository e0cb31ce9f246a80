"""Keep secrets out of everything that is committed, published or logged.

Two nets: the shapes of well-known credentials, and the exact values of the secrets that this process holds, also as
base64 (alone or inside a longer text), hex and percent-encoding, whole or split over lines, and with any of their
characters escaped as JSON or a URL writes them. Shapes are a net with holes; the real control is that no secret enters
a sandbox.
"""

import base64
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote, urlsplit

REDACTED = "[redacted]"
SECRET_CHARS_MIN = 8  # shorter values would redact ordinary words

# Names of variables whose values are secrets; a former one is until it is taken away. The last is AWS's name.
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIAL)S?(_PREVIOUS)?$|TOKEN_BEDROCK$")

# Where a value can be broken: a line end, also as JSON writes it, in JSON within JSON too; then what a diff puts in
# front of the next line, and what indents it. Bounded, or a run of backslashes would take its square in time.
_BREAK = r"(?:\r?\n|(?:\\{1,8}r)?\\{1,8}n)"
_BREAKS = tuple(re.compile(_BREAK + mark) for mark in ("", r"[+\- ]?", r"[+\- ]?[ \t]*"))

# One character as a URL or JSON writes it; before others JSON puts backslashes, which are not read at all.
_ESCAPE = re.compile(r"%[0-7][0-9A-Fa-f]|(?:%[89A-Fa-f][0-9A-Fa-f])+|\\u[0-9A-Fa-f]{4}")
_BACKSLASHES = re.compile(r"\\+")

_HALF = re.compile(r"\\u[0-9A-Fa-f]{0,3}\Z")  # of the escape that a value's own digits end

# GitHub's installation tokens are `ghs_` plus any length since April 2026; the others as their issuers document them.
# A private key may stand in a diff or in JSON, have headers, or be cut off; a quotation mark ends it, else two members
# of an object would become one.
SHAPES = re.compile(
    r"(gh[pousr]_[A-Za-z0-9._-]{16,}|github_pat_[A-Za-z0-9_]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16}|ASIA[A-Z0-9]{16}"
    r"|xox[abposr]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|AIza[A-Za-z0-9_-]{35}|glpat-[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,}|[rs]k_live_[A-Za-z0-9]{20,}"
    r"|PRIVATE\+KEY\+[^\s+\"]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{40,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----(?:BEGIN|END))[^\"])*+-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:[^A-Za-z0-9+/=\"]{0,8}[A-Za-z0-9+/=]{32,})*+))"
)


@dataclass(frozen=True)
class _Reading:
    """A text with parts of it read as something else: its characters, and where each began and ended before."""

    text: str
    begins: "array[int]"
    ends: "array[int]"

    @classmethod
    def of(cls, text: str) -> "_Reading":
        return cls(text, array("q", range(len(text))), array("q", range(1, len(text) + 1)))

    def read(self, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> "_Reading":
        """Each part that fits `pattern` read as `meaning` says. What means nothing counts to what comes after it."""
        words, begins, ends = [], array("q"), array("q")
        at = 0
        for part in pattern.finditer(self.text):
            words.append(self.text[at : part.start()])
            begins += self.begins[at : part.start()]
            ends += self.ends[at : part.start()]
            words.append(meant := meaning(part))
            begins += array("q", [self.begins[part.start()]] * len(meant))
            ends += array("q", [self.ends[part.end() - 1]] * len(meant))
            at = part.end()
        words.append(self.text[at:])
        return _Reading("".join(words), begins + self.begins[at:], ends + self.ends[at:])

    def places(self, form: str) -> Iterator[tuple[int, int]]:
        """From where to where `form` stands in the text as it was."""
        at = self.text.find(form)
        while at >= 0:
            last = at + len(form) - 1
            yield self.begins[at], self.ends[last]
            at = self.text.find(form, last + 1)


class Secrets:
    """The values that must never leave this process."""

    def __init__(self, values: Iterable[str]) -> None:
        kept = {value for value in values if len(value) >= SECRET_CHARS_MIN}
        forms = {form for value in kept for form in _forms(value)}
        self._forms = forms
        self._meanings = {meaning for form in forms if len(meaning := _meaning(form)) >= SECRET_CHARS_MIN}

    def redact(self, text: str) -> str:
        """`text` with every known secret and every secret-shaped word replaced."""
        return SHAPES.sub(REDACTED, self.remove(text))

    def remove(self, text: str) -> str:
        """`text` with every known secret replaced; what merely has the shape of one stands."""
        if any(form in text for form in self._forms):
            text = _cut(text, _Reading.of(text), self._forms)
        for gap in _BREAKS:
            if self._stands_in(_meaning(text, gap)):
                reading = _Reading.of(text).read(gap, _nothing).read(_ESCAPE, _escaped).read(_BACKSLASHES, _nothing)
                text = _cut(text, reading, self._meanings)
        return text

    def found_in(self, data: bytes) -> bool:
        """Whether a live secret's value stands in `data` in any of its forms."""
        text = data.decode("utf-8", "replace")
        if any(form in text for form in self._forms):
            return True
        return any(self._stands_in(_meaning(text, gap)) for gap in _BREAKS)

    def _stands_in(self, meaning: str) -> bool:
        return any(form in meaning for form in self._meanings)


def names_secret(variable: str) -> bool:
    """Whether the value of an environment variable of that name is kept secret."""
    return _SECRET_NAME.search(variable) is not None


def secrets_of(environ: Mapping[str, str]) -> Secrets:
    """The secrets of an environment, by the names of its variables, and the passwords in its URLs."""
    named = [value for name, value in environ.items() if names_secret(name)]
    return Secrets([*named, *(password for value in environ.values() for password in _passwords(value))])


def _passwords(value: str) -> set[str]:
    """The password in a URL, as it stands there and as it is meant."""
    try:
        password = urlsplit(value).password if "@" in value else None
    except ValueError:  # no URL
        return set()
    return {password, unquote(password)} if password else set()


def _cut(text: str, reading: _Reading, forms: Iterable[str]) -> str:
    """The text with each place replaced where one of the forms is read."""
    kept, at = [], 0
    for begin, end in sorted(place for form in forms for place in reading.places(form)):
        if begin >= at:
            kept += [_HALF.sub("", text[at:begin]).rstrip("\\"), REDACTED]  # half an escape would spoil JSON
        at = max(at, end)
    return "".join([*kept, text[at:]])


def _meaning(text: str, gap: re.Pattern[str] = _BREAKS[0]) -> str:
    """The text in one line, with what is escaped in it as the characters that are meant."""
    return _ESCAPE.sub(_escaped, gap.sub("", text)).replace("\\", "")


def _nothing(_part: re.Match[str]) -> str:
    return ""


def _escaped(part: re.Match[str]) -> str:
    escape = part[0]
    return unquote(escape) if escape.startswith("%") else chr(int(escape[-4:], 16))


def _forms(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogateescape")  # an environment's value may be no UTF-8
    plain = {value, raw.decode("utf-8", "replace")}
    in_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    lines = {_BREAKS[0].sub("", value)}  # a key of many lines
    quoted = {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    forms = plain | in_json | lines | quoted | {raw.hex(), raw.hex().upper()} | _base64_forms(raw)
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
