import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.junit import REPORT_BYTES_MAX, ReportError, parse_report, read_report, remove_report
from scoring.evidence import ReportCounts

REPORT = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="s" tests="999" failures="0">
  <properties><property name="a" value="b"/></properties>
  <testcase name="good"/>
  <testcase name="bad"><failure message="x">&lt;trace&gt;</failure><failure/></testcase>
  <testcase name="broken"><error/></testcase>
  <testcase name="later"><skipped/></testcase>
  <testcase name="noisy"><system-out>failure</system-out><properties><failure/></properties></testcase>
</testsuite></testsuites>"""
COUNTS = ReportCounts(tests=5, failures=1, errors=1, skipped=1)


def test_cases_are_counted_and_totals_are_not_believed() -> None:
    assert parse_report(REPORT) == COUNTS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not XML"),
        (b"1 passed", "not XML"),
        (b"<html/>", "not a JUnit report"),
        (b"<testsuite><testcase>", "not XML"),
        (b"<testsuite><testcase><testcase/></testcase></testsuite>", "inside another"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite><testcase name="&a;"/></testsuite>', "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>', "document type"),
        (b"<testsuite>" + b"<a>" * 10_000, "deeper"),
        (b"<testsuite " + b" ".join(b'a%d="1"' % n for n in range(101)) + b"/>", "attributes"),
        (b"<testsuite>" + b"<testcase/>" * 200_001 + b"</testsuite>", "test cases"),
        (b"<" + b"x" * REPORT_BYTES_MAX, "bytes"),
        (b'<?xml version="1.0" encoding="no-such"?><testsuite/>', "XML|encoding"),
    ],
)
def test_what_is_not_a_plain_report_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        parse_report(data)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: REPORT[:150] + tail))
def test_whatever_it_is_it_is_counted_or_refused(data: bytes) -> None:
    with contextlib.suppress(ReportError):
        assert parse_report(data).tests >= 0


def test_it_is_read_from_the_tree(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.xml").write_bytes(REPORT)
    assert read_report(tmp_path, "out/report.xml") == COUNTS
    remove_report(tmp_path, "out/report.xml")
    remove_report(tmp_path, "nowhere/report.xml")
    with pytest.raises(ReportError, match="wrote none"):
        read_report(tmp_path, "out/report.xml")


def test_links_pipes_and_directories_are_not_reports(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "report.xml").write_bytes(REPORT)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(elsewhere)
    (tree / "file").symlink_to(elsewhere / "report.xml")
    (tree / "directory").mkdir()
    os.mkfifo(tree / "pipe")
    for path in ("link/report.xml", "file", "directory", "pipe"):
        with pytest.raises(ReportError):
            read_report(tree, path)
    remove_report(tree, "link/report.xml")
    remove_report(tree, "file")
    assert (elsewhere / "report.xml").exists()
    assert not (tree / "file").is_symlink()
