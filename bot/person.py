"""Who sits at this machine's terminal, as records name them."""

import getpass
import os


def person() -> str:
    """The login name; a user without one, as in a container, is told by number."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
