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


def main() -> int:
    """Print what is too large and return the number of findings, at most 1 as exit status."""
    findings: list[str] = []
    sizes: list[int] = []
    for package in PACKAGES:
        for path in sorted(Path(package).rglob("*.py")):
            if "demo/project" in path.as_posix():
                continue
            text = path.read_text(encoding="utf-8")
            if (count := text.count("\n")) > MODULE_LINES_MAX:
                findings.append(f"{path}: {count} lines, at most {MODULE_LINES_MAX}")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    sizes.append(function_lines(node))
                    if sizes[-1] > FUNCTION_LINES_MAX:
                        findings.append(
                            f"{path}:{node.lineno}: {node.name} has {sizes[-1]} lines, at most {FUNCTION_LINES_MAX}"
                        )
    median, p90 = statistics.median(sizes), sorted(sizes)[len(sizes) * 9 // 10]
    if median >= FUNCTION_LINES_MEDIAN_MAX:
        findings.append(f"median function has {median} lines, must stay under {FUNCTION_LINES_MEDIAN_MAX}")
    if p90 > FUNCTION_LINES_P90_MAX:
        findings.append(f"90 % of functions have up to {p90} lines, at most {FUNCTION_LINES_P90_MAX}")
    for finding in findings:
        print(finding)
    print(
        f"size gate: {len(sizes)} functions, median {median}, p90 {p90}, largest {max(sizes)}: {'too large' if findings else 'ok'}"
    )
    return min(len(findings), 1)


if __name__ == "__main__":
    sys.exit(main())
