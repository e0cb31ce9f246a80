"""A storm of webhook deliveries: what is sent, how each class is answered, and what the process weighs meanwhile."""

import asyncio
import io
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bot.webhook import BODY_BYTES_MAX, JSON_DEPTH_MAX, signature

CONNECTIONS = 16
SAMPLES = 20  # of the memory, over one storm
NO_ANSWER = 0  # the sender hung up
ANSWER_SECONDS_MAX = 30.0
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Kind:
    """One class of deliveries.

    Attributes:
        name: as the table says it.
        answers: every status that is right, and `NO_ANSWER`.
        effect: what one of them does, however often it comes.
    """

    name: str
    answers: frozenset[int]
    effect: str


NOTHING = "nothing"
GENUINE = Kind(
    "genuine, up to five times under one id", frozenset({200, 202}), "a command is answered, a run starts, once"
)
REPLAYED = Kind("a signed command again, under another id", frozenset({202}), NOTHING)
OVERTAKING = Kind("an issue's closing that overtook its label", frozenset({202}), NOTHING)
OVERTAKEN = Kind("the label that it overtook", frozenset({202}), "a word that the issue is closed, no run")
OURS = Kind("by ourselves, by other bots, quoted or in code", frozenset({200, 202}), NOTHING)
UNWANTED = Kind("events that nobody wants, edited comments, pings", frozenset({200}), NOTHING)
SHAPELESS = Kind("signed, but not of GitHub's form", frozenset({202}), "a warning in the log")
HOSTILE_TEXT = Kind(
    "signed, with hostile text in its command", frozenset({202}), "one answer a person and issue at most"
)
NOT_JSON = Kind("signed, other encodings, not JSON, not an object", frozenset({400}), NOTHING)
DEEP = Kind(f"signed, nested deeper than {JSON_DEPTH_MAX} levels", frozenset({400}), NOTHING)
NAMELESS = Kind("signed, its id or event missing or malformed", frozenset({400}), NOTHING)
UNSIGNED = Kind("without a signature, or with SHA-1's alone", frozenset({401}), NOTHING)
FORGED = Kind("signed with another secret, over other bytes, not in ASCII", frozenset({403}), NOTHING)
WRONG_TYPE = Kind("form-encoded, compressed, of no type", frozenset({415}), NOTHING)
TOO_LARGE = Kind("announced larger than 25 MiB", frozenset({413}), NOTHING)
TWICE = Kind("a header twice, bytes that are not HTTP", frozenset({400}), NOTHING)
OTHER_METHOD = Kind("not POST", frozenset({405}), NOTHING)
CUT = Kind("cut off in the middle of the body", frozenset({NO_ANSWER}), NOTHING)

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Shot:
    """One request: through an HTTP client, or `raw` bytes on a socket."""

    kind: Kind
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    method: str = "POST"
    raw: bytes = b""


@dataclass(frozen=True)
class Gunner:
    """Makes shots that carry the App's secret, and those that do not."""

    secret: bytes

    def headers(self, event: str, body: bytes, guid: str = "", **changes: str | None) -> dict[str, str]:
        made: dict[str, str | None] = {
            "Content-Type": "application/json",
            "X-GitHub-Delivery": guid or str(uuid.uuid4()),
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": signature(self.secret, body),
        }
        made |= {name.replace("_", "-"): text for name, text in changes.items()}
        return {name: text for name, text in made.items() if text is not None}

    def shot(self, kind: Kind, event: str, body: bytes, guid: str = "", **changes: str | None) -> Shot:
        return Shot(kind, body, self.headers(event, body, guid, **changes))

    def raw(self, kind: Kind, body: bytes, *lines: bytes, declared: int | None = None) -> Shot:
        """A request spelt out, signed unless `lines` say otherwise."""
        length = len(body) if declared is None else declared
        own = () if any(line.lower().startswith(b"x-hub") for line in lines) else (self._signed(body),)
        head = (b"POST /webhook HTTP/1.1", b"Host: x", b"Connection: close", b"Content-Length: %d" % length)
        usual = (b"Content-Type: application/json", b"X-GitHub-Event: issues", b"X-GitHub-Delivery: " + _guid())
        return Shot(kind, raw=b"\r\n".join([*head, *usual, *own, *lines, b"", b""]) + body)

    def _signed(self, body: bytes) -> bytes:
        return b"X-Hub-Signature-256: " + signature(self.secret, body).encode()


def _guid() -> bytes:
    return str(uuid.uuid4()).encode()


def encode(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def forgeries(gunner: Gunner, body: bytes) -> list[Callable[[], Shot]]:
    """Everything that is refused for how it is signed or sent, around one genuine body."""
    other, wrong = signature(b"another secret entirely", body), signature(gunner.secret, body + b" ")
    shot, raw = gunner.shot, gunner.raw
    return [
        lambda: shot(UNSIGNED, "issues", body, X_Hub_Signature_256=None),
        lambda: shot(UNSIGNED, "issues", body, X_Hub_Signature_256=None, X_Hub_Signature="sha1=" + "0" * 40),
        lambda: shot(FORGED, "issues", body, X_Hub_Signature_256=other),
        lambda: shot(FORGED, "issues", body, X_Hub_Signature_256=wrong),
        lambda: shot(FORGED, "issues", body, X_Hub_Signature_256="sha256="),
        lambda: raw(FORGED, body, b"X-Hub-Signature-256: sha256=\xff\xfe\xc3\xa9"),
        lambda: shot(WRONG_TYPE, "issues", body, Content_Type="application/x-www-form-urlencoded"),
        lambda: raw(WRONG_TYPE, body, b"Content-Encoding: gzip"),
        lambda: shot(WRONG_TYPE, "issues", body, Content_Type="text/plain"),
        lambda: raw(TOO_LARGE, b"", declared=BODY_BYTES_MAX + 1),
        lambda: raw(TWICE, body, b"X-Hub-Signature-256: sha256=0", b"X-Hub-Signature-256: sha256=1"),
        lambda: Shot(TWICE, raw=b"\x00\x01 not HTTP \xff\r\n\r\n"),
        lambda: Shot(OTHER_METHOD, body, gunner.headers("issues", body), "PUT"),
        lambda: raw(CUT, body, declared=len(body) + 50),
    ]


def hostilities(gunner: Gunner) -> list[Callable[[], Shot]]:
    """What nobody but the holder of the secret could send, and nobody should."""
    over = JSON_DEPTH_MAX + 1
    deep = [b"[" * 100_000, b'{"a":' * over + b"1" + b"}" * over, b'{"a":' + b"[" * over + b"]" * over + b"}"]
    encodings = ['{"action":"labeled"}'.encode(name) for name in ("utf-16", "utf-32", "utf-8-sig")]
    texts = [
        *encodings,
        b'{"action":"\xff\xfe"}',
        b'{"action":"\xc0\xaf"}',
        b'{"action":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b"[]",
        b'"labeled"',
        b"7",
        b"null",
        b"",
        b'{"action":"labeled"',
        b'{"action":"labeled"}{}',
        b"\x00",
    ]
    shapeless = [
        b'{"action":"labeled"}',
        b'{"action":"labeled","sender":[],"repository":7}',
        b'{"action":"labeled","issue":{"number":-1},"installation":{"id":"5"}}',
        b'{"action":"labeled","issue":1e999,"sender":{"login":"../../x"}}',
    ]
    bad_guids = ["", "7", "x" * 36, "{" + str(uuid.UUID(int=7)) + "}", "../" * 12]
    shot = gunner.shot
    return [
        *(lambda body=body: shot(DEEP, "issues", body) for body in deep),
        *(lambda body=body: shot(NOT_JSON, "issues", body) for body in texts),
        *(lambda body=body: shot(SHAPELESS, "issues", body) for body in shapeless),
        *(lambda guid=guid: shot(NAMELESS, "issues", b"{}", X_GitHub_Delivery=guid) for guid in bad_guids),
        *(lambda event=event: shot(NAMELESS, event, b"{}") for event in ("../issues", "Issues", "x" * 65)),
        lambda: shot(UNWANTED, "ping", b"{}"),
        lambda: shot(UNWANTED, "star", b'{"action":"created"}'),
        lambda: shot(UNWANTED, "issue_comment", b'{"action":"edited"}'),
        lambda: shot(UNWANTED, "push", b'{"padding":"' + b"a" * MEBIBYTE + b'"}'),
    ]


def filled(makers: Sequence[Callable[[], Shot]], count: int) -> list[Shot]:
    """`count` shots, each maker in its turn."""
    return [makers[number % len(makers)]() for number in range(count)]


@dataclass
class Storm:
    """What was sent and how it was answered.

    Attributes:
        answers: how often each class was answered with each status.
        resident: memory of the process, bytes, as the storm went on.
    """

    url: str
    pid: int
    answers: Counter[tuple[Kind, int]] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)
    _sent: int = 0

    async def rage(self, shots: Iterable[Shot]) -> None:
        """Send everything, CONNECTIONS at a time, in this order as far as the wire keeps it."""
        waiting = list(shots)
        total, left = len(waiting), iter(waiting)
        every = max(1, total // SAMPLES)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:

            async def gun() -> None:
                for shot in left:
                    status = await (self._raw(shot) if shot.raw else self._over_http(session, shot))
                    self.answers[shot.kind, status] += 1
                    self._sent += 1
                    if self._sent % every == 0:
                        self.weigh()

            await asyncio.gather(*(gun() for _ in range(CONNECTIONS)))

    async def _over_http(self, session: aiohttp.ClientSession, shot: Shot) -> int:
        async with session.request(
            shot.method, f"{self.url}/webhook", data=io.BytesIO(shot.body), headers=shot.headers
        ) as answer:
            await answer.read()
            return answer.status

    async def _raw(self, shot: Shot) -> int:
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(shot.raw)
            await writer.drain()
            if shot.kind is CUT:
                return NO_ANSWER
            line = await asyncio.wait_for(reader.readline(), ANSWER_SECONDS_MAX)
            return int(line.split()[1])
        finally:
            writer.close()

    def weigh(self) -> None:
        """Note what the process holds in memory now."""
        self.resident.append(resident_bytes(self.pid))

    def grown(self) -> int:
        """Bytes that came to the memory after the first fifth of what was noted."""
        return self.resident[-1] - self.resident[len(self.resident) // 5]

    @property
    def sent(self) -> int:
        return self._sent

    def wrong(self) -> list[str]:
        """Answers that are not right for their class."""
        return [
            f"{kind.name}: {status} {count} times, not {sorted(kind.answers)}"
            for (kind, status), count in self.answers.items()
            if status not in kind.answers
        ]


def resident_bytes(pid: int) -> int:
    """What a process holds in memory now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def shuffled(shots: Iterable[Shot], seed: int) -> list[Shot]:
    """In an order that nobody promised, the same for the same seed."""
    mixed = list(shots)
    random.Random(seed).shuffle(mixed)
    return mixed


def told(status: int) -> str:
    return "none" if status == NO_ANSWER else str(status)


def table(storm: Storm, effects: Sequence[tuple[str, int, int]]) -> str:
    """The part of docs/reliability.md that `make storm` writes.

    Args:
        storm: it is over.
        effects: what was to be there, how often it was asked for, and how often it is there.
    """
    kinds = dict.fromkeys(kind for kind, _ in storm.answers)
    lines = ["| deliveries | sent | answered | effect |", "|---|---|---|---|"]
    for kind in sorted(kinds, key=lambda kind: (min(kind.answers), kind.name)):
        given = {status: count for (one, status), count in storm.answers.items() if one == kind}
        said = ", ".join(f"{count:,} with {told(status)}" for status, count in sorted(given.items()))
        lines.append(f"| {kind.name} | {sum(given.values()):,} | {said} | {kind.effect} |")
    lines += ["", "| effect | asked for | there |", "|---|---|---|"]
    lines += [f"| {what} | {asked:,} | {there:,} |" for what, asked, there in effects]
    memory = ", ".join(f"{size / MEBIBYTE:.0f}" for size in storm.resident)
    lines += ["", f"Resident memory of the App, MiB, {SAMPLES} times in the storm and once after it: {memory}.", ""]
    return "\n".join(lines)
