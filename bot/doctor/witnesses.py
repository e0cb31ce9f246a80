"""The witnesses: whether they answer, and how far each ledger is cosigned."""

from collections.abc import Collection, Iterator
from pathlib import Path

from bot.cosigning import asked_policy, vouched
from bot.doctor.finding import Finding, failed, ok, warning
from bot.errors import OptrError
from bot.github.git import CACHE
from governance.shortening import shortened
from ledger.collect import post
from ledger.cosignature import PATH
from ledger.errors import LedgerError
from ledger.note import VerifierKey

NAME = "witnesses"
LISTED_MAX = 5  # ledgers that are named, and witnesses of each
WHY_CHARACTERS_MAX = 400  # of why a witness does not answer


def witnesses(policy_file: Path, state: Path) -> Finding:
    """Ask each witness for nothing, and compare what the branches' copies say of ledger and cosignatures; blocking."""
    try:
        policy = asked_policy(policy_file)
    except OptrError as error:
        return failed(NAME, f"{policy_file}: {error}", error.remedy or "Correct the file")
    silent = [f"{policy.witnesses[name].name}: {why}" for name, url in policy.urls.items() if (why := _silence(url))]
    behind = list(_behind(state, [policy.witnesses[name] for name in policy.urls]))
    lag = f"; cosigned of all lines: {', '.join(behind[:LISTED_MAX])}" if behind else ""
    more = f" and {len(behind) - LISTED_MAX} ledgers more" if len(behind) > LISTED_MAX else ""
    if silent:
        what = f"no answer from {'; '.join(silent)}{lag}{more}"
        return failed(NAME, what, "Start the witness or correct its URL; runs go on, and it is asked again")
    if behind:
        what = f"{len(policy.urls)} answer{lag}{more}"
        return warning(NAME, what, "Wait for the next pass; else look for `left for later` in the log")
    return ok(NAME, f"{len(policy.urls)} answer, and nothing waits for them")


def _silence(url: str) -> str:
    """Why a witness does not answer; empty when it does. An empty request is refused and changes nothing."""
    try:
        post(f"{url.rstrip('/')}{PATH}", b"")
    except OSError as error:
        return shortened(str(error), WHY_CHARACTERS_MAX)  # a witness may put its own words into it
    return ""


def _behind(state: Path, asked: Collection[VerifierKey]) -> Iterator[str]:
    """The ledgers whose newest head lacks a witness: how far any cosigned, and who is missing under all lines."""
    for copy in sorted((state / CACHE).glob("*/*.git")):
        name = f"{copy.parent.name}/{copy.stem}"
        try:
            seen = vouched(copy)
        except LedgerError as error:
            yield f"{name} cannot be read ({error})"
            continue
        lacking = seen.lacks(asked)
        if seen.head is None or not lacking:
            continue
        whom = f" without {_named(lacking)}" if seen.cosigned == seen.head else ""
        yield f"{name} {seen.cosigned.size if seen.cosigned else 0} of {seen.head.size}{whom}"


def _named(keys: Collection[VerifierKey]) -> str:
    names = [key.name for key in keys]
    more = f" and {len(names) - LISTED_MAX} more" if len(names) > LISTED_MAX else ""
    return f"{' and '.join(names[:LISTED_MAX])}{more}"
