"""What the long proofs measured, written where people read it: blocks of docs/reliability.md."""

import fcntl
import re

from tests.e2e.service import ROOT

PAGE = ROOT / "docs/reliability.md"


def publish(name: str, lines: list[str]) -> None:
    """Replace what stands between `<!-- measured: NAME -->` and `<!-- end: NAME -->`.

    Raises:
        LookupError: the page has no such block.
    """
    block = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- end: {re.escape(name)} -->)", re.DOTALL)
    with PAGE.open("r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        text = page.read()
        made, count = block.subn(lambda found: found[1] + "".join(f"{line}\n" for line in lines) + found[2], text)
        if count != 1:
            raise LookupError(f"{PAGE.name} has {count} blocks named {name}")
        page.seek(0)
        page.write(made)
        page.truncate()
