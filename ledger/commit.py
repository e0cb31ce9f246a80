"""A commit to be staged, and its form as a stream for `git fast-import`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PLAIN_FILE = "100644"
IDENTITY = "OPTR <optr@localhost>"


@dataclass(frozen=True)
class Blob:
    """A tree's entry: `mode` as in git ("100644" for plain files) and the object's hex id."""

    mode: str
    oid: str


@dataclass(frozen=True)
class Commit:
    """What a commit to be staged holds.

    Attributes:
        parent: the commit it follows, None for the first.
        message: ends in a line feed.
        seconds: author and committer time, seconds since the epoch.
        write: content, or the id of a blob that is there already, by repository path; of bytes that are no UTF-8, as
            `os.fsdecode` gives them.
        delete: repository paths to remove, if they are there.
    """

    parent: str | None
    message: str
    seconds: int
    write: Mapping[str, bytes | Blob]
    delete: Sequence[str] = ()


def stream(commit: Commit, ref: str) -> bytes:
    """Return the stream that makes `commit`, lets `ref` hold it and prints its id; cut short, it makes nothing."""
    parts = [b"feature done\n", f"commit {ref}\nmark :1\n".encode()]
    parts += [f"{role} {IDENTITY} {commit.seconds} +0000\n".encode() for role in ("author", "committer")]
    parts.append(_data(commit.message.encode()))
    if commit.parent is not None:
        parts.append(f"from {commit.parent}\n".encode())
    parts += [b"D %s\n" % _path(path) for path in sorted(commit.delete)]
    for path, content in sorted(commit.write.items()):
        if isinstance(content, Blob):
            parts.append(f"M {content.mode} {content.oid} ".encode() + _path(path) + b"\n")
        else:
            parts += [f"M {PLAIN_FILE} inline ".encode() + _path(path) + b"\n", _data(content)]
    parts.append(b"get-mark :1\ndone\n")
    return b"".join(parts)


def _path(path: str) -> bytes:
    r"""The path as `git fast-import` reads it, which documents the quoting; others' files may be called anything.

    _path('a "b" c')      a "b" c
    _path('a\nD b')       "a\nD b"       one path and not two commands
    """
    raw = path.encode("utf-8", "surrogateescape")
    if b"\n" not in raw and not raw.startswith(b'"'):
        return raw
    return b'"%s"' % raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
