"""Which logs and witnesses a reader trusts, in the format of https://c2sp.org/tlog-policy.

    log optr/octocat/hello+c3d927c8+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop
    witness w w.example+188d5013+BMhTrQ8M0rYZrqks7sT9VqJNZJnVhM55JX5Fz9gTm2Cn https://w.example
    group all-of-them all w
    quorum all-of-them

Where a witness takes requests may follow its key. A checkpoint is good when one of the logs signed it (any, if none is
named) and the quorum cosigned it. A cosignature (https://c2sp.org/tlog-cosignature, Ed25519, type 0x04) is eight bytes
of time and a signature over

    cosignature/v1
    time 1764000100
    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.checkpoint import parse_checkpoint
from ledger.errors import NoteError, PolicyError, QuorumError
from ledger.note import COSIGNATURE, VerifierKey, check_signature, parse_note, parse_vkey, verify_note

POLICY_BYTES_MAX = 1_000_000  # bytes of a policy file
LINES_MAX = 1000  # lines that are neither empty nor comments
NONE = "none"
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_ALL, _ANY = "all", "any"


@dataclass(frozen=True)
class Group:
    """`threshold` of `members` (names of witnesses and groups) must vouch."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A policy that was read.

    Attributes:
        logs: any one of them must have signed; none, to leave that to other checks.
        witnesses: keys by name.
        groups: by name; each refers to names defined before it only.
        quorum: a witness, a group, or "none".
        urls: where witnesses take requests, by name, of those for which the policy says so.
    """

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, Group]
    quorum: str
    urls: Mapping[str, str] = field(default_factory=dict)

    def check(self, checkpoint: bytes, lineage: Sequence[VerifierKey] = ()) -> tuple[str, ...]:
        """Check a signed checkpoint and return the names of the witnesses that cosigned it.

        Args:
            checkpoint: the signed note.
            lineage: keys that were verified to have handed over to each other, up to one that signed; a log of the
                policy that is one of them has signed through its successor.

        Raises:
            NoteError: it is malformed, none of the logs signed it, or a cosignature by a known witness is wrong.
            QuorumError: too few witnesses cosigned it.
        """
        origin = parse_checkpoint(checkpoint).origin
        if self.logs and not set(self.logs) & set(lineage):
            verify_note(checkpoint, [key for key in self.logs if key.name == origin])
        found = tuple(name for name, key in self.witnesses.items() if cosigned(checkpoint, key) is not None)
        if self.quorum != NONE and not self._vouches(self.quorum, found):
            seen = ", ".join(found) or "nobody"
            raise QuorumError(f"the quorum {self.quorum!a} is not reached: cosigned by {seen}")
        return found

    def _vouches(self, name: str, found: Sequence[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in found
        return sum(self._vouches(member, found) for member in group.members) >= group.threshold


def cosigned(checkpoint: bytes, witness: VerifierKey) -> int | None:
    """Return when `witness` cosigned a signed checkpoint, seconds since the epoch; None when it did not.

    Raises:
        NoteError: the checkpoint is malformed, or the witness's cosignature is wrong.
    """
    note = parse_note(checkpoint)
    times = []
    for signature in note.signatures:
        if (signature.name, signature.key_id) == (witness.name, witness.key_id):
            if len(signature.blob) != _TIME_BYTES + _SIGNATURE_BYTES:
                raise NoteError(f"the cosignature by {witness.label} does not have a time and a signature")
            time = int.from_bytes(signature.blob[:_TIME_BYTES], "big")
            check_signature(witness, signature.blob[_TIME_BYTES:], cosigned_text(note.text, time))
            times.append(time)
    return max(times) if times else None


def cosigned_text(text: str, seconds: int) -> bytes:
    """Return what a witness signs: `text` is the checkpoint's, `seconds` since the epoch."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def parse_policy(data: bytes) -> Policy:
    """Read a policy file.

    Raises:
        PolicyError: naming the line and what is wrong there.
    """
    if len(data) > POLICY_BYTES_MAX:
        raise PolicyError(f"the policy has {len(data)} bytes; at most {POLICY_BYTES_MAX} are read")
    odd = _FORBIDDEN.search(data)
    if odd is not None:
        raise PolicyError(
            f"the policy holds the byte 0x{odd[0].hex()}; of control characters only tab and line feed may"
        )
    if data and not data.endswith(b"\n"):
        raise PolicyError("the policy's last line does not end in a line feed")
    draft = _Draft()
    # Octets above 0x7f stand for themselves: two names are the same only if all their bytes are.
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        items = line.replace("\t", " ").split(" ")
        words = [item for item in items if item]
        if words and not words[0].startswith("#"):
            try:
                draft.take(words)
            except (PolicyError, NoteError) as error:
                raise PolicyError(f"line {number} of the policy: {error}") from error
    if draft.quorum is None:
        raise PolicyError("the policy has no line 'quorum NAME' (or 'quorum none')")
    return Policy(tuple(draft.logs), draft.witnesses, draft.groups, draft.quorum, draft.urls)


@dataclass
class _Draft:
    """A policy as far as it was read."""

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    quorum: str | None = None
    lines: int = 0

    def take(self, words: Sequence[str]) -> None:
        self.lines += 1
        if self.lines > LINES_MAX:
            raise PolicyError(f"more than {LINES_MAX} lines")
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(_new(parse_vkey(vkey), self.logs))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self.witnesses[self._name(name)] = _new(parse_vkey(vkey, COSIGNATURE), self.witnesses.values())
                self.urls.update((name, one) for one in url)
            case ["group", name, threshold, *members] if members:
                self.groups[self._name(name)] = self._group(threshold, members)
            case ["quorum", name] if self.quorum is None:
                self.quorum = name if name == NONE else self._defined(name)
            case ["quorum", _]:
                raise PolicyError("a second quorum")
            case _:
                raise PolicyError(
                    "lines are: log VKEY [URL], witness NAME VKEY [URL], group NAME all|any|K NAME..., quorum NAME"
                )

    def _name(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name!a} is taken")
        return name

    def _defined(self, name: str) -> str:
        if name not in self.witnesses and name not in self.groups:
            raise PolicyError(f"{name!a} is not defined before")
        return name

    def _group(self, threshold: str, members: Sequence[str]) -> Group:
        for member in members:
            if self._defined(member) in self.used:
                raise PolicyError(f"{member!a} is a member already")
            self.used.add(member)
        number = {_ALL: str(len(members)), _ANY: "1"}.get(threshold, threshold)
        plain = number.isascii() and number.isdigit() and len(number) <= len(str(LINES_MAX))
        if not plain or not 1 <= int(number) <= len(members):
            raise PolicyError(f"the threshold {threshold!a} is not all, any, or 1 to {len(members)}")
        return Group(int(number), tuple(members))


def _new(key: VerifierKey, others: Iterable[VerifierKey]) -> VerifierKey:
    if any(key.public == other.public for other in others):
        raise PolicyError(f"the public key of {key.label} stands there already")
    return key
