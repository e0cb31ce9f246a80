"""Where things stand on the `datalake` branch.

    datalake/ledger.jsonl                the open segment: the newest 1 to 32 lines
    datalake/ledger/000/000/000.jsonl    sealed segments of 32 lines, never touched again
    datalake/checkpoint                  signed tree head
    datalake/cosigned                    the newest checkpoint that witnesses cosigned; may be of fewer lines
    datalake/witnesses                   the keys of those witnesses
    datalake/tile/...                    C2SP tlog-tiles
    datalake/keys/<key id>.vkey          verification keys
    datalake/keys/<key id>.rotation      how that key took over from the one before
    datalake/workflows/<workflow>/...    the files that lines speak for

Paths here are relative to `datalake/` unless they are called repository paths.
"""

import re
from collections.abc import Iterable

from ledger.errors import DraftError
from ledger.shown import quoted

DIRECTORY = "datalake"
BRANCH = "refs/heads/datalake"
OPEN_SEGMENT = "ledger.jsonl"
SEALED = "ledger/"
CHECKPOINT = "checkpoint"
COSIGNED = "cosigned"
WITNESSES = "witnesses"
TILES = "tile/"
KEYS = "keys/"
WORKFLOWS = "workflows/"
SEGMENT_LINES = 32  # lines; larger segments make every append rewrite more
FILE_BYTES_MAX = 32 * 2**20  # bytes of one file; the forge refuses 100 MiB and warns from 50 MiB
PATH_CHARS_MAX = 400  # characters of a repository path
_WORKFLOW = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]{0,127}")
_GROUP = 1000  # names in one directory


def check_workflow_name(name: str) -> str:
    """Return `name` if it may name a directory under `workflows/`.

    Raises:
        DraftError: saying which rule it breaks.
    """
    if not _WORKFLOW.fullmatch(name):
        raise DraftError(
            f"workflow name {quoted(name)} is not allowed: use 1 to 64 of a-z, 0-9, dot, underscore and hyphen, "
            "starting with a letter or digit"
        )
    if ".." in name or name.endswith((".", ".lock")):
        raise DraftError(f"workflow name {name!r} is not allowed: it must not contain '..' nor end in '.' or '.lock'")
    return name


def is_file_path(path: str) -> bool:
    """Tell whether `path`, relative to `datalake/`, is one that a line may speak for."""
    parts = path.split("/")
    return (
        len(path) <= PATH_CHARS_MAX
        and len(parts) > 1
        and path.startswith((WORKFLOWS, KEYS))
        and all(_PART.fullmatch(part) and not part.endswith(".") for part in parts)
    )


def check_file(path: str, size: int, workflows: Iterable[str]) -> str:
    """Return the repository path `path` made relative to `datalake/`.

    Raises:
        DraftError: when it is not under the directory of one of `workflows`, has an odd name, or `size` bytes are too
            many.
    """
    relative = path.removeprefix(f"{DIRECTORY}/")
    roots = sorted({f"{WORKFLOWS}{name}/" for name in workflows})
    if relative == path or not relative.startswith(tuple(roots)) or not is_file_path(relative):
        places = ", ".join(f"{DIRECTORY}/{root}" for root in roots)
        raise DraftError(f"file path {quoted(path)} is not allowed: it must be a plain name under {places}")
    if size > FILE_BYTES_MAX:
        raise DraftError(f"file {path} has {size} bytes; at most {FILE_BYTES_MAX} are allowed")
    return relative


def check_nesting(paths: set[str]) -> None:
    """Refuse a set of file paths in which one is also a directory of another.

    Raises:
        DraftError: naming both.
    """
    for path in paths:
        parts = path.split("/")
        for length in range(1, len(parts)):
            if "/".join(parts[:length]) in paths:
                raise DraftError(f"{path} cannot be written: {'/'.join(parts[:length])} is a file")


def segment_path(index: int) -> str:
    """Return the path of sealed segment `index`, from 0: `ledger/000/000/000.jsonl`."""
    rest, low = divmod(index, _GROUP)
    high, middle = divmod(rest, _GROUP)
    return f"{SEALED}{high:03d}/{middle:03d}/{low:03d}.jsonl"


def sealed_count(size: int) -> int:
    """Return how many segments are sealed when the ledger has `size` lines."""
    return max(size - 1, 0) // SEGMENT_LINES


def key_path(key_id: str) -> str:
    """Return the path of the verification key whose id is `key_id` (8 hex digits)."""
    return f"{KEYS}{key_id}.vkey"
