"""What a run's record does not hold and says so: texts kept as digests only, for `optr ledger show` and `replay`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from governance.keeping import Missing
    from ledger.entry import Entry
    from ledger.extract import Extract

RUNS = "workflows/"


def not_kept(entries: "Iterable[Entry]", record: "Extract") -> "list[Missing]":
    """The texts that these entries, or the files that they speak for, name and do not hold."""
    from governance.keeping import missing  # noqa: PLC0415 - `--help` must not wait for it

    found = []
    for entry in entries:
        found += missing(f"ledger entry {entry.seq + 1}", entry.line)
        for path in sorted(entry.files):
            found += missing(path.removeprefix(RUNS), record.files[path])
    return found


def told(found: "Iterable[Missing]") -> list[str]:
    """The same for people: one line for each file, or nothing."""
    by_file: dict[str, list[Missing]] = defaultdict(list)
    for one in found:
        by_file[one.place.rpartition(" ")[0]].append(one)
    if not by_file:
        return []
    lines = ["Not in the record, their SHA-256 and size only (--json lists each):"]
    return lines + [
        f"  {name}: {len(texts)} {'text' if len(texts) == 1 else 'texts'}, {sum(one.size for one in texts)} bytes"
        for name, texts in by_file.items()
    ]


def listed(found: "Iterable[Missing]") -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"place": one.place, "sha256": one.sha256, "bytes": one.size} for one in found]


def keeps_digests(record: Mapping[str, Any]) -> bool:
    """Whether this ledger line says that its run's texts are kept as digests only."""
    from governance.keeping import Capture  # noqa: PLC0415 - `--help` must not wait for it

    return record.get("capture") == Capture.DIGEST
