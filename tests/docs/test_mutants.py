"""What `make mutate` changes, and what it leaves alone."""

from tools.mutants import mutants

SOURCE = b'''"""A docstring == stays."""

from a import b

LIMIT: int = 5  # \xe2\x80\x94


@cached(maxsize=1)
def clip(value: "int == 1", *, least: int = 0) -> int:
    """So does == this."""
    if value < least and ready():
        raise ValueError(f"{value < 1} is prose")
    note("two words", "word")
    return value + LIMIT
'''


def changes() -> set[tuple[str, str]]:
    return {(one.was, one.becomes) for one in mutants("m.py", SOURCE)}


def test_each_kind_of_code_is_changed() -> None:
    assert changes() == {
        ("5", "(6)"),
        ("0", "(1)"),
        ("value < least and ready()", "(value < least or ready())"),
        ("value < least", "(value <= least)"),
        ('raise ValueError(f"{value < 1} is prose")', "pass"),
        ('note("two words", "word")', "pass"),
        ('"word"', "('wordX')"),
        ("return value + LIMIT", "return None"),
        ("value + LIMIT", "(value - LIMIT)"),
    }


def test_a_change_is_applied_at_its_place_after_characters_of_several_bytes() -> None:
    (one,) = [one for one in mutants("m.py", SOURCE) if one.was == "value + LIMIT"]
    assert one.apply(SOURCE) == SOURCE.replace(b"value + LIMIT", b"(value - LIMIT)")
    assert (one.scope, one.line, one.first_line) == ("clip", 14, 8)


def test_an_id_survives_changes_elsewhere_and_not_in_its_function() -> None:
    def ids(source: bytes) -> set[str]:
        return {one.id for one in mutants("m.py", source) if one.scope == "clip"}

    assert ids(b"ONE = 1\n" + SOURCE) == ids(SOURCE)
    assert not ids(SOURCE.replace(b'"word"', b'"ward"')) & ids(SOURCE)
