"""Ledger lines: what a caller drafts, what the sequencer seals, what a reader parses.

A sealed line, broken here for the eye only; on the branch it is one line of canonical JSON:

    {"actor":"octocat","files":{
    "keys/c3d927c8.vkey":"380514e1812eca16fa68d9188e1ba1a90ea4a00127a8e417b492ecfb9c3b01c7",
    "workflows/issue-33/plan.md":"1b4025dc7b8d27cf38df85e77b20ed44a00851a2c28b338560560d85deded8e3"},
    "hash":"c94d366455cfaa24ddf8271640ce668c6573fc083eb923afa02b690aa52ea7c0","id":"run33/OPTR_SELECTED","n":33,
    "previousHash":"dc3d8462d4d56468dbcb7ec287cec9389330834df880205c35b32f29d5dcdf41","run":"run33",
    "selectedOptr":"codex","seq":33,"timestamp":1764000000033,"type":"OPTR_SELECTED","v":1,
    "workflow":"issue-33"}

`n` and `selectedOptr` are the draft's body; `files`, where present, maps paths relative to `datalake/` to hex SHA-256
digests. `hash` is the hex SHA-256 of the canonical line without the member `hash`; `previousHash` is the `hash` of the
line before, and "0" in the first. Canonical form: RFC 8785, https://www.rfc-editor.org/rfc/rfc8785.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger import canonical
from ledger.errors import DraftError, EntryError, VersionError
from ledger.layout import check_workflow_name, is_file_path
from ledger.shown import quoted

VERSION = 1
GENESIS = "0"
COMMON = frozenset(
    {"v", "seq", "id", "timestamp", "type", "workflow", "run", "actor", "previousHash", "hash"},
)
TEXT_CHARS_MAX = 200  # characters of id, run and actor
_HEX64 = re.compile(r"[0-9a-f]{64}")
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True)
class Draft:
    """A line before it has a place: the sequencer adds seq, previousHash and hash.

    Attributes:
        id: unique in the ledger and deterministic (`<run>/<TYPE>` or `<run>/<TYPE>/<n>`): appending again is a no-op.
        type: MAEG_CREATED, OPTR_SELECTED, PR_OPENED, WRAP_ORCH_ACCEPTED and the others of governance.events.
        workflow: directory under datalake/workflows/.
        run: the run's id.
        actor: who caused it.
        timestamp: milliseconds since the epoch; raised to the previous line's if it is smaller.
        body: further members, JSON without floats.
    """

    id: str
    type: str
    workflow: str
    run: str
    actor: str
    timestamp: int
    body: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A line that was read and has the right shape; whether it is true is for the chain and the checkpoint to say.

    Attributes:
        line: the exact bytes, without the line feed. Hash these, never a re-serialised form.
        record: every member, in canonical order.
        seq, id, timestamp, previous_hash, hash: as in the line.
        files: digests by path relative to `datalake/`; empty when the line speaks for none.
    """

    line: bytes
    record: Mapping[str, Any]
    seq: int
    id: str
    timestamp: int
    previous_hash: str
    hash: str
    files: Mapping[str, str]

    def true_hash(self) -> str:
        """Compute the hash that the line should carry."""
        return hashlib.sha256(canonical.without(self.record, "hash")).hexdigest()


def seal(draft: Draft, seq: int, previous_hash: str) -> bytes:
    """Give a draft its place and return the line's bytes, without the line feed.

    Raises:
        EntryError: a field has the wrong shape, a body member shadows a common field, or the line is too long.
        CanonicalError: the body holds what canonical JSON here does not allow.
    """
    shadowed = sorted(COMMON & set(draft.body))
    if shadowed:
        raise EntryError(f"draft {draft.id!r}: body must not carry the common fields {', '.join(shadowed)}")
    record: dict[str, object] = {
        **draft.body,
        "v": VERSION,
        "seq": seq,
        "id": draft.id,
        "timestamp": draft.timestamp,
        "type": draft.type,
        "workflow": draft.workflow,
        "run": draft.run,
        "actor": draft.actor,
        "previousHash": previous_hash,
    }
    line = canonical.encode({**record, "hash": canonical.digest(record)})
    if len(line) > canonical.LINE_BYTES_MAX:
        raise EntryError(
            f"draft {draft.id!r}: the line would have {len(line)} bytes, at most {canonical.LINE_BYTES_MAX} are "
            "allowed: put the content into a file and let the line carry its digest"
        )
    parse(line)
    return line


def parse(line: bytes) -> Entry:
    """Read one line, strictly.

    Raises:
        CanonicalError: the bytes are not canonical JSON.
        VersionError: the line's format version is not 1.
        EntryError: a common field is missing or has the wrong shape.
    """
    record = canonical.decode(line)
    version = record.get("v")
    if type(version) is int and version > VERSION:
        raise VersionError(f"format version {version} is newer than this verifier: use a newer one")
    for name, (right, wanted) in _SHAPES.items():
        if name not in record:
            raise EntryError(f"field {name} is missing")
        if not right(record[name]):
            raise EntryError(f"field {name} must be {wanted}")
    return Entry(
        line=line,
        record=record,
        seq=record["seq"],
        id=record["id"],
        timestamp=record["timestamp"],
        previous_hash=record["previousHash"],
        hash=record["hash"],
        files=spoken(record.get("files", {})),
    )


def spoken(value: object) -> Mapping[str, str]:
    """Return `value` if it is what a line's member `files` may hold: digests by path.

    Raises:
        EntryError: naming the first that is out of form.
    """
    if not isinstance(value, dict):
        raise EntryError("field files must be an object of digests by path")
    for path, digest in value.items():
        if not is_file_path(path) or not _is_digest(digest):
            raise EntryError(f"field files: {quoted(path)} must be a path under workflows/ or keys/ with a digest")
    return value


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _HEX64.fullmatch(value) is not None


def is_text(value: object) -> bool:
    """Tell whether `value` may stand in a line's members `id`, `run` and `actor`."""
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX and value.isprintable()


def is_type(value: object) -> bool:
    """Tell whether `value` may stand in a line's member `type`."""
    return isinstance(value, str) and _TYPE.fullmatch(value) is not None


def is_workflow(value: object) -> bool:
    """Tell whether `value` may stand in a line's member `workflow`."""
    try:
        return isinstance(value, str) and check_workflow_name(value) == value
    except DraftError:
        return False


_SHAPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "v": (lambda value: type(value) is int and value == VERSION, f"the integer {VERSION}"),
    "seq": (_is_count, "an integer from 0"),
    "id": (is_text, f"1 to {TEXT_CHARS_MAX} printable characters"),
    "timestamp": (_is_count, "milliseconds since the epoch, an integer"),
    "type": (is_type, "an UPPER_CASE word"),
    "workflow": (is_workflow, "a workflow name"),
    "run": (is_text, f"1 to {TEXT_CHARS_MAX} printable characters"),
    "actor": (is_text, f"1 to {TEXT_CHARS_MAX} printable characters"),
    "previousHash": (lambda value: value == GENESIS or _is_digest(value), 'a hex SHA-256, or "0" in the first line'),
    "hash": (_is_digest, "a hex SHA-256"),
}
