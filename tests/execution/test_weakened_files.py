"""A changed test file that is not compared with the base's is named: what was not looked at does not pass as sound."""

from execution.findings import TEST_FILE_BYTES_MAX, TEST_FILES_MAX, weakened_files
from execution.trees import Trees
from scoring.evidence import DiffFacts
from tests.execution.rooms import Origin

SOUND = "def test_a():\n    assert a == 1\n    assert b == 2\n"
WEAKER = "def test_a():\n    assert a == 1\n"
LONG = "# padding\n" * (TEST_FILE_BYTES_MAX // 10 + 1)


def told(origin: Origin, before: dict[str, str], after: dict[str, str], *changed: str) -> list[str]:
    base, candidate = origin.commit(before), origin.commit(after)
    trees = Trees(store=origin.git_dir, base=base, candidate=candidate, base_tests=base)
    found = list(weakened_files(trees, DiffFacts(tests_changed=changed or tuple(before))))
    assert {reason.code for reason in found} <= {"TESTS_WEAKENED"}
    return [reason.text for reason in found]


def test_a_test_file_that_is_too_large_to_read_is_named(origin: Origin) -> None:
    grown = told(origin, {"test_a.py": SOUND, "test_b.py": SOUND}, {"test_a.py": LONG + SOUND, "test_b.py": SOUND})
    assert grown == [f"`test_a.py` was not compared with the base's: more than {TEST_FILE_BYTES_MAX} bytes."]
    (shrunk,) = told(origin, {"test_a.py": LONG + SOUND}, {"test_a.py": SOUND})
    assert shrunk.startswith("`test_a.py` was not compared")


def test_what_lies_beyond_the_last_file_that_is_compared_is_counted(origin: Origin) -> None:
    names = [f"test_{number:03}.py" for number in range(TEST_FILES_MAX)]
    plain = [f"test_{number:03}.txt" for number in range(50)]  # assertions are not counted there, nor are they missed
    sound, more = dict.fromkeys([*names, *plain], SOUND), {"test_y.py": SOUND, "test_z.py": SOUND}
    assert told(origin, sound, {}) == []
    (text,) = told(origin, {**sound, **more}, {"test_z.py": WEAKER}, *plain, *names, *more)
    assert text.startswith("2 more changed test files were not looked at")


def test_a_file_that_is_gone_demands_nothing(origin: Origin) -> None:
    base = origin.commit({"test_a.py": SOUND, ":(glob)t*b.py": SOUND})
    origin.git("rm", "-rq", ".")
    candidate = origin.commit({"test_a.py/inner.py": SOUND})
    trees = Trees(store=origin.git_dir, base=base, candidate=candidate, base_tests=base)
    found = weakened_files(trees, DiffFacts(tests_changed=("test_a.py", ":(glob)t*b.py")))
    assert [reason.text.partition(" demands less: ")[2] for reason in found] == [
        "0 assertions where the base has 2."
    ] * 2
