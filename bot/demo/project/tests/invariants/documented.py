"""Every public module, class and function of the package has a docstring. Exit code 1 names those that have none."""

import ast
import pathlib
import sys

KINDS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def bare(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        name = getattr(node, "name", "module")
        if isinstance(node, KINDS) and not name.startswith("_") and not ast.get_docstring(node):
            yield f"{path}:{getattr(node, 'lineno', 1)}: {name} has no docstring"


found = [line for path in sorted(pathlib.Path("duration").rglob("*.py")) for line in bare(path)]
print("\n".join(found) or "every public name is documented")
sys.exit(1 if found else 0)
