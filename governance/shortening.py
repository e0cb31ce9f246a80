"""Texts that are kept shorter than they were say so: how many bytes went, and the digest of the whole."""

import hashlib


def shortened(text: str, limit: int) -> str:
    """`text`, or its beginning with a note, together at most `limit` characters (of which a note takes about 100)."""
    if len(text) <= limit:
        return text
    note = _note(text)
    return f"{text[: max(0, limit - len(note))]}{note}"


def ending(text: str, limit: int) -> str:
    """The same of its end, the note first."""
    if len(text) <= limit:
        return text
    note = _note(text)
    return f"{note}{text[len(text) - max(0, limit - len(note)) :]}"


def _note(text: str) -> str:
    whole = text.encode("utf-8", "replace")
    return f"[… cut from {len(whole)} bytes, sha256 {hashlib.sha256(whole).hexdigest()} …]"
