"""Fail when a function or module outgrows the house: functions 60 lines, modules 500, medians watched.

A function's lines are counted without its docstring, so that explaining costs nothing.
"""

import ast
import statistics
import sys
from pathlib import Path

PACKAGES = ("bot", "execution", "governance", "scoring", "ledger")
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_P90_MAX = 25
FUNCTION_LINES_MEDIAN_MAX = 10
MODULE_LINES_MAX = 500


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring left out."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        doc = node.body[0]
        lines -= (doc.end_lineno or doc.lineno) - doc.lineno + 1
    return lines


def measure(path: Path) -> tuple[list[int], list[str]]:
    """The sizes of a module's functions, and what in it is too large."""
    text = path.read_text(encoding="utf-8")
    findings = []
    if (count := text.count("\n")) > MODULE_LINES_MAX:
        findings.append(f"{path}: {count} lines, at most {MODULE_LINES_MAX}")
    sizes = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            sizes.append(function_lines(node))
            if sizes[-1] > FUNCTION_LINES_MAX:
                findings.append(f"{path}:{node.lineno}: {node.name}: {sizes[-1]} lines, at most {FUNCTION_LINES_MAX}")
    return sizes, findings


def main() -> int:
    """Print what is too large and return 1 if anything is."""
    modules = [path for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))]
    measured = [measure(path) for path in modules if "demo/project" not in path.as_posix()]
    sizes = sorted(size for found, _ in measured for size in found)
    findings = [finding for _, found in measured for finding in found]
    median, p90 = statistics.median(sizes), sizes[len(sizes) * 9 // 10]
    if median >= FUNCTION_LINES_MEDIAN_MAX:
        findings.append(f"median function has {median} lines, must stay under {FUNCTION_LINES_MEDIAN_MAX}")
    if p90 > FUNCTION_LINES_P90_MAX:
        findings.append(f"90 % of functions have up to {p90} lines, at most {FUNCTION_LINES_P90_MAX}")
    for finding in findings:
        print(finding)
    verdict = "too large" if findings else "ok"
    print(f"size gate: {len(sizes)} functions, median {median:.0f}, p90 {p90}, largest {sizes[-1]}: {verdict}")
    return min(len(findings), 1)


if __name__ == "__main__":
    sys.exit(main())
