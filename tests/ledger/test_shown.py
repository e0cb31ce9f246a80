"""What a message shows of a long text, and that it says what it left out."""

from collections.abc import Callable

import pytest

from ledger import canonical
from ledger.branch import GitDir
from ledger.entry import spoken
from ledger.errors import GitError, LedgerError
from ledger.layout import check_file, check_workflow_name
from ledger.note import check_name, parse_vkey
from ledger.shown import cut, ending, quoted
from tests.ledger.conftest import World

LONG = "n" * 5000


def test_a_text_that_fits_is_shown_whole_and_a_longer_one_says_how_long_it_is() -> None:
    assert cut("0123456789", 10) == "0123456789"
    assert cut("0123456789", 4) == "0123... (4 of 10 characters)"
    assert quoted("a\n\u202eb") == r"'a\n\u202eb'"
    assert quoted("0123456789", 4) == "'012... (4 of 12 characters)"
    assert ending("0123456789", 10) == "0123456789"
    assert ending("0123456789", 4) == "(the last 4 of 10 characters) ...6789"


SAYERS: dict[str, Callable[[], object]] = {
    "a workflow's name": lambda: check_workflow_name(LONG),
    "a file's path": lambda: check_file(f"datalake/{LONG}", 0, ["w"]),
    "a ledger's name": lambda: check_name(f"{LONG} "),
    "a key's id": lambda: parse_vkey(f"a+{LONG}+AQFOTZIsWWo4Ct/J7tci6DWCLxI2dhaT5Lq7YeGvuwTx"),
    "a repeated key": lambda: canonical.decode(f'{{"{LONG}":1,"{LONG}":2}}'.encode()),
    "a number": lambda: canonical.decode(f'{{"a":{"9" * 3000}}}'.encode()),
    "a float": lambda: canonical.decode(f'{{"a":1.{"9" * 3000}}}'.encode()),
    "a place": lambda: canonical.encode({LONG: 2**60}),
    "a spoken path": lambda: spoken({LONG: "0" * 64}),
}


@pytest.mark.parametrize("sayer", SAYERS.values(), ids=SAYERS.keys())
def test_what_is_wrong_is_named_with_its_length_when_it_is_not_shown_whole(sayer: Callable[[], object]) -> None:
    with pytest.raises(LedgerError, match=r" of \d{4} characters\)") as raised:
        sayer()
    assert len(str(raised.value)) < 600


def test_a_file_that_does_not_belong_there_is_named_with_its_length(world: World) -> None:
    world.append(0)
    world.commit({f"datalake/workflows/{'d/' * 150}{'n' * 200}": b"?"})
    problem = world.verify().problem
    assert problem is not None
    assert "(200 of 510 characters)" in problem.detail


def test_long_words_of_git_end_where_it_says_why(world: World) -> None:
    with pytest.raises(GitError, match=r"\(the last 500 of \d{4} characters\) \.\.\.n+"):
        GitDir(world.git_dir).run("cat-file", "blob", LONG)
