"""`python -m tools.flow_lint`: the rules that keep recovery sound, checked in the source of every durable workflow.

A recovered workflow is run again from its beginning, and its finished steps are answered from the journal in the order
in which they were begun. So what decides the order, or differs the second time, must not stand in a workflow's body.
The bodies are the functions that call `step` or are registered with `DBOS.workflow`.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("execution", "bot")
CONCURRENT = frozenset({"gather", "create_task", "ensure_future", "TaskGroup", "as_completed", "wait", "to_thread"})
CHANGING = frozenset(
    {"time", "monotonic", "now", "utcnow", "today", "uuid4", "uuid1", "token_hex", "urandom", "random"}
)
CHANGING_MODULES = frozenset({"random", "secrets", "uuid", "time"})
EFFECTS = frozenset({"open", "write_text", "write_bytes", "read_text", "read_bytes", "run_git", "Popen", "unlink"})
STEP = "step"


@dataclass(frozen=True)
class Finding:
    """A rule broken: where, and what to do."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """As compilers say it."""
        return f"{self.path}:{self.line}: {self.text}"


def lint(path: str, source: str) -> list[Finding]:
    """What is wrong in one module's workflow bodies."""
    found: list[Finding] = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.AsyncFunctionDef) and function.name != STEP and _is_workflow(function):
            found += [Finding(path, line, f"{function.name}: {text}") for line, text in _broken(function)]
    return found


def _is_workflow(function: ast.AsyncFunctionDef) -> bool:
    registered = any(_name(_called(one)) == "workflow" for one in function.decorator_list)
    return registered or any(_is_step(node) for node in _own(function))


def _broken(function: ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    yield from _unnamed(function)
    awaited = {id(node.value) for node in _own(function) if isinstance(node, ast.Await)}
    for node in _own(function):
        if isinstance(node, ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "async for and async with do work outside of a step; put it into one"
        if isinstance(node, ast.comprehension) and isinstance(node.iter, ast.Set | ast.SetComp):
            yield node.iter.lineno, "a set has no order that a second run would repeat; use a list or a tuple"
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Set | ast.SetComp):
            yield node.lineno, "a set has no order that a second run would repeat; use a list or a tuple"
        if isinstance(node, ast.Call):
            yield from _call(node, id(node) in awaited)


def _call(node: ast.Call, awaited: bool) -> Iterator[tuple[int, str]]:  # noqa: FBT001 - a fact about the node
    name, owner = _name(node.func), _owner(node.func)
    if name in CONCURRENT:
        yield node.lineno, f"{name} makes the order of steps a matter of chance; a branch is a child workflow"
    if owner in CHANGING_MODULES or (name in CHANGING and owner not in {"DBOS", ""}):
        yield node.lineno, f"{name} differs when the workflow is run again; ask for it inside a step"
    if name in EFFECTS:
        yield node.lineno, f"{name} is an effect; put it into a step"
    if _is_step(node):
        first = node.args[0] if node.args else None
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            yield node.lineno, "a step's name is a plain string, because recovery compares it"
        if not awaited:
            yield node.lineno, "a step is awaited where it is begun, one after the other"
    if name == "get_result" and not awaited:
        yield node.lineno, "handles are awaited where they are asked, in a fixed order"
    if name == "sleep" and owner == "asyncio":
        yield node.lineno, "asyncio.sleep is forgotten by a restart; use DBOS.sleep_async"


def _unnamed(function: ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    for one in function.decorator_list:
        if _name(_called(one)) == "workflow":
            names = [key.value for key in one.keywords if key.arg == "name"] if isinstance(one, ast.Call) else []
            if not (names and isinstance(names[0], ast.Constant)):
                yield function.lineno, "a workflow has a fixed name, because recovery finds it by name"


def _own(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Everything in the body but what functions inside it hold: those run in steps, or are workflows themselves."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting += [] if inner else list(ast.iter_child_nodes(node))


def _is_step(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == STEP


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _owner(node: ast.expr) -> str:
    return _name(node.value) if isinstance(node, ast.Attribute) else ""


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    found: list[Finding] = []
    bodies = 0
    for path in sorted(path for directory in SOURCES for path in (ROOT / directory).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        found += lint(path.relative_to(ROOT).as_posix(), source)
        bodies += sum(isinstance(n, ast.AsyncFunctionDef) and _is_workflow(n) for n in ast.walk(ast.parse(source)))
    lines = [*map(str, found), f"flow lint: {bodies} workflow bodies: {'refused' if found else 'ok'}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found or bodies == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
