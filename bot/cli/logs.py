"""Logs of a command that people run: none, unless they ask; what they must know is said in the command's own words."""

import logging
import sys
from collections.abc import Mapping

LEVEL_VARIABLE = "OPTR_LOG_LEVEL"


def local_logs(environ: Mapping[str, str], level: str, *, verbose: bool) -> None:
    """Send the logs to standard error when `--verbose` or `OPTR_LOG_LEVEL` asks for them, nowhere otherwise.

    Call it before the engine is imported: it would install a console handler of its own.
    """
    logging.getLogger("dbos").addHandler(logging.NullHandler())
    if verbose or environ.get(LEVEL_VARIABLE):
        from bot.logs import log_to  # noqa: PLC0415 - nobody else needs it
        from execution.redaction import secrets_of  # noqa: PLC0415

        log_to(sys.stderr, level, secrets_of(environ))
    else:
        logging.getLogger().handlers[:] = [logging.NullHandler()]
