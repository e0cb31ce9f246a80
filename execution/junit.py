"""Reading a JUnit report that hostile code may have written: bounded, without DTD or entities, links never followed.

There is no standard; this reads what pytest, Jest, Surefire and the rest agree on: `testcase` elements with `failure`,
`error` or `skipped` children (https://github.com/testmoapp/junitxml). Cases are counted one by one; the totals that
the report states of itself are not read. What a report says is a fact about the report. The exit code decides.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat  # bare expat with DTDs refused below, which is what defusedxml would do

from scoring.evidence import ReportCounts

REPORT_BYTES_MAX = 8 * 2**20
DEPTH_MAX = 32  # nested elements
CASES_MAX = 200_000
ATTRIBUTES_MAX = 100  # of one element

_ROOTS = frozenset({"testsuites", "testsuite"})
_CASE = "testcase"
_VERDICTS = ("error", "failure", "skipped")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ReportError(ValueError):
    """There is no report, or none that can be read; the message is for people."""


def read_report(tree: Path, path: str) -> ReportCounts:
    """Count the cases of the report at `path` below `tree`.

    Raises:
        ReportError: missing, no regular file, reached through a link, too large, or no JUnit report.
    """
    try:
        with _parent(tree, path) as directory:
            data = _bytes(directory, path.rsplit("/", 1)[-1])
    except FileNotFoundError:
        raise ReportError("the command wrote none") from None
    except OSError as error:
        raise ReportError(f"it cannot be opened: {error.strerror}") from None
    return parse_report(data)


def remove_report(tree: Path, path: str) -> None:
    """Remove a file at `path`, so that what is read later was written by the check and not by the candidate's patch."""
    with contextlib.suppress(OSError), _parent(tree, path) as directory:
        os.unlink(path.rsplit("/", 1)[-1], dir_fd=directory)


def parse_report(data: bytes) -> ReportCounts:
    """Count the cases of a report.

    Raises:
        ReportError: not XML, not JUnit, or built to harm.
    """
    if len(data) > REPORT_BYTES_MAX:
        raise ReportError(f"it has more than {REPORT_BYTES_MAX} bytes")
    count = _Count()
    parser = expat.ParserCreate()
    parser.StartElementHandler = count.start
    parser.EndElementHandler = count.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)  # noqa: FBT003  # expat's own signature
    except expat.ExpatError as error:
        raise ReportError(f"it is not XML: {error}") from None
    except (ValueError, LookupError) as error:
        if isinstance(error, ReportError):
            raise
        raise ReportError(f"its encoding cannot be read: {error}") from None
    return count.result()


class _Count:
    """Expat's handlers: where we are, and what was seen."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._verdict = ""
        self._seen = dict.fromkeys((_CASE, *_VERDICTS), 0)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._open[-1] if self._open else None
        if parent is None and name not in _ROOTS:
            raise ReportError("it is not a JUnit report: its root is neither testsuites nor testsuite")
        if len(self._open) >= DEPTH_MAX or len(attributes) > ATTRIBUTES_MAX:
            raise ReportError(f"it nests deeper than {DEPTH_MAX} elements or one has over {ATTRIBUTES_MAX} attributes")
        if name == _CASE:
            self._start_case()
        elif parent == _CASE and name in _VERDICTS and not self._verdict:
            self._verdict = name
        self._open.append(name)

    def _start_case(self) -> None:
        if _CASE in self._open:
            raise ReportError("one test case stands inside another")
        self._verdict = ""
        self._seen[_CASE] += 1
        if self._seen[_CASE] > CASES_MAX:
            raise ReportError(f"it has more than {CASES_MAX} test cases")

    def end(self, name: str) -> None:
        self._open.pop()
        if name == _CASE and self._verdict:
            self._seen[self._verdict] += 1

    def result(self) -> ReportCounts:
        seen = self._seen
        return ReportCounts(tests=seen[_CASE], failures=seen["failure"], errors=seen["error"], skipped=seen["skipped"])


def _refuse_doctype(*_: object) -> None:
    raise ReportError("it declares a document type, which a JUnit report has no use for")


@contextlib.contextmanager
def _parent(tree: Path, path: str) -> Iterator[int]:
    """A descriptor of the directory that `path` lies in, reached through real directories only."""
    with contextlib.ExitStack() as stack:
        here = os.open(tree, _DIRECTORY)
        stack.callback(os.close, here)
        for segment in path.split("/")[:-1]:
            here = os.open(segment, _DIRECTORY, dir_fd=here)
            stack.callback(os.close, here)
        yield here


def _bytes(directory: int, name: str) -> bytes:
    # Non-blocking, because a named pipe in its place would hang us; judged by descriptor, so nothing is swapped.
    descriptor = os.open(name, _FILE, dir_fd=directory)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ReportError("it is not a regular file")
        return file.read(REPORT_BYTES_MAX + 1)
