r"""How much of a long text a message shows. What is left out is always said: a cut name must not pass for a whole one.

cut("0123456789", 4)        0123... (4 of 10 characters)
quoted("a\nb")              'a\nb'
ending("0123456789", 4)     (the last 4 of 10 characters) ...6789
"""

SHOWN_CHARS_MAX = 200  # characters of a name or a path in a message
OUTPUT_CHARS_MAX = 500  # characters of what git said in a message


def cut(text: str, chars_max: int = SHOWN_CHARS_MAX) -> str:
    """Return a text; of a longer one its beginning and how long it is."""
    return text if len(text) <= chars_max else f"{text[:chars_max]}... ({chars_max} of {len(text)} characters)"


def quoted(text: str, chars_max: int = SHOWN_CHARS_MAX) -> str:
    """Return `text` in quotes and in printable ASCII, as hostile names are shown, cut like `cut`."""
    return cut(ascii(text), chars_max)


def ending(text: str, chars_max: int = OUTPUT_CHARS_MAX) -> str:
    """Return a text; of a longer one its end, where programs say why they stopped, and how long it is."""
    return (
        text if len(text) <= chars_max else f"(the last {chars_max} of {len(text)} characters) ...{text[-chars_max:]}"
    )
