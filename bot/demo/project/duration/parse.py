"""From text to seconds."""

import re

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|s|ms)")


def parse_duration(text):
    """Return the seconds that `text` means, such as "1h30m", "45s" or "90".

    Raises ValueError when there is no duration in it.
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts:
        raise ValueError(f"not a duration: {text!r}")
    return sum(float(number) * UNITS[unit] for number, unit in parts)
