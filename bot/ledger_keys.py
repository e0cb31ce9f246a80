"""GET /ledger/keys: the verification keys of one ledger, with the tree heads that each of them signs.

Asked by name (`?repository=octocat/hello`), because a list of all ledgers would tell strangers the names of private
repositories. The keys themselves are public: they stand on the branch, too.
"""

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from bot.github.git import NameRefusedError
from bot.webhook import RefusedError
from ledger.errors import LedgerError
from ledger.rotation import Term

PARAMETER = "repository"

Terms = Callable[[str], Sequence[Term]]
"""The terms of the keys of `owner/name`'s ledger, oldest first; none when there is no such ledger. Reads files."""


async def answer(request: web.Request, terms: Terms) -> web.Response:
    """Answer for one ledger.

    Raises:
        RefusedError: 400 without a repository's name, 404 without such a ledger, 503 when its keys cannot be read now.
    """
    names = request.query.getall(PARAMETER, [])
    if len(names) != 1:
        raise RefusedError(400, f"name one ledger: /ledger/keys?{PARAMETER}=OWNER/NAME")
    try:
        found = await asyncio.to_thread(terms, names[0])
    except NameRefusedError:
        raise RefusedError(400, f"{PARAMETER} must be OWNER/NAME") from None
    except LedgerError:
        raise RefusedError(
            503, "the ledger's keys cannot be read now; its operator sees why in `optr doctor`"
        ) from None
    if not found:
        raise RefusedError(404, "there is no ledger of this name here")
    return web.json_response({"version": 1, "ledger": found[0].key.name, "keys": [term.record() for term in found]})
