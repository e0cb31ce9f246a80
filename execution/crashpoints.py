"""Named points at which a test may kill the process, between an effect and its record.

In production `reach` and `count` compare strings and return.
"""

import os
import signal
from collections import Counter

VARIABLE = "OPTR_CRASH_AT"
_COUNTED: Counter[str] = Counter()


def reach(name: str) -> None:
    """Die here, as hard as a power cut to a process can be, if a test asked for it by name."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)


def count(effect: str) -> None:
    """Die after the n-th effect of that name in this process, if a test asked for `<effect>.<n>`."""
    if os.environ.get(VARIABLE, "").startswith(f"{effect}."):
        _COUNTED[effect] += 1
        reach(f"{effect}.{_COUNTED[effect]}")
