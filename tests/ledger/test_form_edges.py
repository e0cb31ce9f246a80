"""Canonical bytes at the values where they turn, and what the durable writes leave behind on a real disk."""

import stat
from pathlib import Path
from typing import Any

import pytest

from ledger import canonical, durable
from ledger.canonical import DEPTH_MAX, INTEGER_MAX
from ledger.commit import Blob, Commit, stream
from ledger.errors import CanonicalError


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("number", [INTEGER_MAX, -INTEGER_MAX, 0, -1])
def test_every_integer_of_ieee_754_is_written_and_read(number: int) -> None:
    line = b'{"a":%d}' % number
    assert canonical.encode({"a": number}) == line
    assert canonical.decode(line) == {"a": number}


@pytest.mark.parametrize("number", [INTEGER_MAX + 1, -INTEGER_MAX - 1])
def test_the_next_integer_is_refused_both_ways(number: int) -> None:
    with pytest.raises(CanonicalError, match=r"\$\.a: the integer is out of range"):
        canonical.encode({"a": number})
    with pytest.raises(CanonicalError, match=f"integer {number} is out of range"):
        canonical.decode(b'{"a":%d}' % number)


def nested(depth: int) -> dict[str, Any]:
    """So many objects and lists around each other, in turn, with nothing in the innermost."""
    value: Any = {} if depth % 2 else []
    for at in range(depth - 1, 0, -1):
        value = {"a": value} if at % 2 else [value]
    assert isinstance(value, dict)
    return value


def test_lists_and_objects_count_alike_towards_the_depth() -> None:
    allowed, over = nested(DEPTH_MAX + 1), nested(DEPTH_MAX + 2)
    line = canonical.encode(allowed)
    assert canonical.decode(line) == allowed
    with pytest.raises(CanonicalError, match=f"nested deeper than {DEPTH_MAX}"):
        canonical.encode(over)
    raw = line.replace(b"[]", b"[{}]") if b"[]" in line else line.replace(b"{}", b'{"a":[]}')
    with pytest.raises(CanonicalError, match=f"nested deeper than {DEPTH_MAX}"):
        canonical.decode(raw)


def test_many_lists_side_by_side_are_not_deep() -> None:
    line = b'{"a":[' + b",".join([b"[]"] * 2 * DEPTH_MAX) + b"]}"
    assert canonical.encode(canonical.decode(line)) == line


def test_the_first_key_that_stands_twice_is_named() -> None:
    with pytest.raises(CanonicalError, match="duplicate key 'b'"):
        canonical.decode(b'{"a":1,"b":1,"b":2,"c":3}')


def test_keys_beyond_ascii_are_read_in_the_order_of_utf_16() -> None:
    line = '{"a":0,"\U0001f600":2,"\uffff":1}'.encode()
    assert list(canonical.decode(line)) == ["a", "\U0001f600", "\uffff"]
    with pytest.raises(CanonicalError, match="not sorted"):
        canonical.decode('{"a":0,"\uffff":1,"\U0001f600":2}'.encode())


def test_what_is_refused_is_quoted_in_part_only() -> None:
    with pytest.raises(CanonicalError) as refused:
        canonical.decode(b'{"a":%s}' % (b"9" * 30_000))
    assert str(refused.value) == (
        f"integer {'9' * 20}... (20 of 30000 characters) is out of range; magnitudes stay below 2^53"
    )
    with pytest.raises(CanonicalError) as refused:
        canonical.decode(b'{"a":1.%s}' % (b"0" * 30_000))
    assert str(refused.value) == (
        f"float 1.{'0' * 18}... (20 of 30002 characters); write a decimal string or an integer"
    )


@pytest.mark.parametrize(
    ("value", "place"),
    [({"a": [1, {"b": 0.5}]}, "$.a[1].b"), ([[], [0, b""]], "$[1][1]"), ({"x": {"y": {2}}}, "$.x.y")],
)
def test_the_place_of_what_is_not_allowed_is_exact(value: object, place: str) -> None:
    with pytest.raises(CanonicalError) as refused:
        canonical.encode(value)
    assert str(refused.value).startswith(f"{place}: a ")


def test_tuples_are_lists_and_one_member_can_be_left_out() -> None:
    assert canonical.encode((1, "a", None, True)) == b'[1,"a",null,true]'
    assert canonical.without({"a": 1, "hash": "x", "z": [1]}, "hash") == b'{"a":1,"z":[1]}'


def test_a_created_file_is_private_whole_and_alone(tmp_path: Path) -> None:
    durable.create(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        durable.create(tmp_path / "a", b"other")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert names(tmp_path) == {"a"}


def test_a_replaced_file_takes_its_mode_and_leaves_nothing_aside(tmp_path: Path) -> None:
    durable.replace(tmp_path / "a", b"1", 0o640)
    durable.replace(tmp_path / "a", b"2" * 3_000_000, 0o600)
    assert (tmp_path / "a").read_bytes() == b"2" * 3_000_000
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="b"):
        durable.replace(tmp_path / "b", b"1")
    assert names(tmp_path) == {"a", "b"}
    durable.replace(tmp_path / ("n" * 255), b"a name as long as they get")


def test_directories_are_made_private_and_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "a" / "b")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    durable.make_directory(tmp_path / "a" / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        durable.make_directory(tmp_path / "file")


class _Raced(durable.Disk):
    """Somebody else makes the directory between our look and our making it."""

    def mkdir(self, path: Path, mode: int) -> None:
        path.mkdir(mode)
        super().mkdir(path, mode)


def test_a_directory_that_another_process_made_meanwhile_is_fine(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "a", disk=_Raced())
    assert (tmp_path / "a").is_dir()


def test_the_disk_does_what_its_calls_say(tmp_path: Path) -> None:
    disk = durable.DISK
    handle = disk.create(tmp_path / "a", 0o600)
    disk.close(handle)
    for call in (disk.sync, disk.close):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call(handle)
    disk.link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").samefile(tmp_path / "b")
    with pytest.raises(FileExistsError):
        disk.link(tmp_path / "a", tmp_path / "b")
    disk.unlink(tmp_path / "b")
    disk.unlink(tmp_path / "b")
    assert names(tmp_path) == {"a"}
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "a", 0o600)
    with pytest.raises(NotADirectoryError):
        disk.open_directory(tmp_path / "a")


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    before = names(Path("/proc/self/fd"))
    durable.create(tmp_path / "a", b"1")
    durable.sync_directory(tmp_path)
    with pytest.raises(FileExistsError):
        durable.create(tmp_path / "a", b"1")
    assert names(Path("/proc/self/fd")) <= before


def test_a_staged_commit_as_git_is_given_it() -> None:
    commit = Commit("c" * 40, "said é\n", 7, {"b": Blob("100644", "d" * 40), "a": b"x\ny"}, ("z", "y"))
    assert (
        stream(commit, "refs/optr/staged/1")
        == (
            "feature done\n"
            "commit refs/optr/staged/1\nmark :1\n"
            "author OPTR <optr@localhost> 7 +0000\ncommitter OPTR <optr@localhost> 7 +0000\n"
            "data 8\nsaid é\n\n"
            f"from {'c' * 40}\n"
            "D y\nD z\n"
            "M 100644 inline a\ndata 3\nx\ny\n"
            f"M 100644 {'d' * 40} b\n"
            "get-mark :1\ndone\n"
        ).encode()
    )
    assert b'D "\\"a\\\\\\nD b"\n' in stream(Commit(None, "m\n", 7, {}, ('"a\\\nD b',)), "refs/optr/staged/1")
    assert b"from" not in stream(Commit(None, "m\n", 7, {}), "refs/optr/staged/1")
