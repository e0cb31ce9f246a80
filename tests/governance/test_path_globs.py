import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.globs import GLOB_MAX, covers, is_plain, matches


@pytest.mark.parametrize(
    ("pattern", "path", "inside"),
    [
        ("**", "a", True),
        ("**", "a/b/c.py", True),
        ("src/**", "src/a/b.py", True),
        ("src/**", "src", True),
        ("src/**", "srcs/a.py", False),
        ("src/*", "src/a.py", True),
        ("src/*", "src/a/b.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "x/y/a.py", True),
        ("**/*.py", "x/y/a.pyc", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a/b/c", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("src/*.py", "src/od*d.py", True),
        ("[ab]", "a", False),
        ("src", "src/a.py", False),
        ("**", "../etc/passwd", False),
        ("**", "/etc/passwd", False),
        ("**", "a//b", False),
        ("**", "a/./b", False),
        ("**", "a\\..\\b", False),
        ("**", "a\nb", False),
        ("**", "", False),
        ("**", "a" * (GLOB_MAX + 1), False),
    ],
)
def test_matches(pattern: str, path: str, *, inside: bool) -> None:
    assert matches(pattern, path) is inside


@pytest.mark.parametrize(
    ("outer", "inner", "covered"),
    [
        ("**", "**", True),
        ("**", "a/*/b?", True),
        ("src/**", "src/a/**", True),
        ("src/**", "src/*.py", True),
        ("src/*", "src/*.py", True),
        ("src/*", "src/**", False),
        ("src/*.py", "src/*", False),
        ("src/*.py", "src/a.py", True),
        ("src/**", "**", False),
        ("src/**", "lib/**", False),
        ("a/*/**", "a/**", False),
        ("src/**", "src/../**", False),
        ("**/x", "**/y/x", True),
    ],
)
def test_covers(outer: str, inner: str, *, covered: bool) -> None:
    assert covers(outer, inner) is covered


segments = st.sampled_from(["a", "b", "ab", "*", "a*", "?", "**"])
globs = st.lists(segments, min_size=1, max_size=4).map("/".join)
paths = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=5).map("/".join)


@given(globs, globs, paths)
def test_what_is_covered_is_inside(outer: str, inner: str, path: str) -> None:
    if covers(outer, inner) and matches(inner, path):
        assert matches(outer, path)


@given(globs)
def test_every_glob_covers_itself(glob: str) -> None:
    assert covers(glob, glob)


def test_hostile_patterns_cost_little() -> None:
    started = time.perf_counter()
    assert not matches("/".join(["**"] * 300 + ["z"]), "/".join(["a"] * 300))
    assert not matches("*a" * 400 + "b", "a" * 900)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("path", ["a", "a/b", "ünï/c", "..a/b..", "a b"])
def test_plain_paths(path: str) -> None:
    assert is_plain(path)
