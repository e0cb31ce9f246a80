"""Copies of the ledger's head where the App cannot take them back: which texts must bear one, and which do not."""

import re
from collections.abc import Iterable, Mapping

SIZE_AND_ROOT = re.compile(r"[Ss]ize \d+, root `[0-9a-f]{64}`")
# Said where there is nothing to copy: no line yet, a ledger that cannot be read, none at all, a run that nobody knows.
SAID = (
    "no line of this run stands on a ledger",
    "Ledger unreadable:",
    "Nothing was ever signed",
    "What it had recorded stands on the `datalake` branch",
)
CHECKS = frozenset({"optr", "optr/gate", ""})  # a trial of a stranger's commit is nobody's run; comments have no name
RUNS_OWN = "<!-- optr:run="  # answers to people's commands begin otherwise, and bear none


def bare(written: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Check runs, pull requests and runs' own comments without size and root, where no fitting word says why.

    Args:
        written: method, path, name and text of what the App wrote, oldest first.
    """
    found, bearing = [], set()
    for one in written:
        path, text = one["path"], one["text"]
        if ("/comments" in path and not text.startswith(RUNS_OWN)) or one["name"] not in CHECKS:
            continue
        if SIZE_AND_ROOT.search(text):
            bearing.add(path)
        elif "/pulls" in path or not any(said in text for said in SAID) or (path in bearing and SAID[0] in text):
            found.append(one)
    return found
