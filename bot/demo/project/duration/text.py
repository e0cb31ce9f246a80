"""From seconds to text."""

from duration.parse import UNITS


def format_duration(seconds):
    """Return `seconds` in the largest whole units, such as "1h30m"; "0s" for nothing."""
    left = round(seconds * 1000)
    words = []
    for unit, size in UNITS.items():
        whole, left = divmod(left, round(size * 1000))
        if whole:
            words.append(f"{whole}{unit}")
    return "".join(words) or "0s"
