"""Small wrong changes to a module, each as a piece of text put in place of another.

What is changed: comparisons, arithmetic, `and`/`or`/`not`, conditions, numbers, truth values, words, returned values,
and statements that are left out. What is not: docstrings, annotations, decorators, imports, f-strings, `__all__`, and
text with a space in it, which is prose for people.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NOT_CODE = (ast.JoinedStr, ast.Import, ast.ImportFrom)
_CONDITIONS = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.NamedExpr)  # those with an operator change in it
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Mutant:
    """One wrong change.

    Attributes:
        id: the same as long as the function around it is the same.
        module: path of the file.
        line: where, from 1.
        scope: name of the function or class around it, empty at module level.
        function: name of the function around it, see `functions`; empty outside.
        start: offset in the module's UTF-8 bytes.
        end: likewise.
        was: the text that is replaced.
        becomes: what stands there instead.
    """

    id: str
    module: str
    line: int
    scope: str
    function: str
    start: int
    end: int
    was: str
    becomes: str

    def apply(self, source: bytes) -> bytes:
        """The module with the change."""
        return source[: self.start] + self.becomes.encode() + source[self.end :]


def mutants(module: str, source: bytes) -> list[Mutant]:
    """All wrong changes of a module that still compile."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []
    for scope, around, node, text in _walk(ast.parse(source), "", None):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        was = source[start:end].decode()
        offset, body = start, source
        if around is not None:
            first = starts[around.lineno - 1]
            offset, body = start - first, source[first : starts[around.end_lineno or 0]]
        name = hashlib.sha256(b"\0".join([module.encode(), body, str(offset).encode(), text.encode()])).hexdigest()[:16]
        function = scope if isinstance(around, _FUNCTIONS) else ""
        mutant = Mutant(name, module, node.lineno, scope, function, start, end, was, text)
        if _compiles(mutant.apply(source)):
            found.append(mutant)
    return found


def functions(source: bytes) -> dict[int, str]:
    """The names of a module's functions, with those of the classes and functions around them, by first line from 1.

    The first line is that of the first decorator, by which Python names a function's code.
    """
    return {_first_line(node): scope for scope, node in _functions(ast.parse(source), "")}


def _functions(node: ast.AST, scope: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        inside = f"{scope}.{child.name}".lstrip(".") if isinstance(child, (*_FUNCTIONS, ast.ClassDef)) else scope
        if isinstance(child, _FUNCTIONS):
            yield inside, child
        yield from _functions(child, inside)


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _walk(
    node: ast.AST, scope: str, around: ast.stmt | None
) -> Iterator[tuple[str, ast.stmt | None, ast.expr | ast.stmt, str]]:
    """Each change as (scope, function or class around, node, new text)."""
    for child in _children(node):
        if isinstance(child, _NOT_CODE) or _is_docstring(node, child) or _is_export(child):
            continue
        inside, near = scope, around
        if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            inside, near = f"{scope}.{child.name}".lstrip("."), child
        if isinstance(child, ast.expr | ast.stmt):
            for text in _changes(child):
                yield inside, near, child, text
            if child is getattr(node, "test", None) and isinstance(child, _CONDITIONS):
                yield inside, near, child, f"(not ({ast.unparse(child)}))"
        yield from _walk(child, inside, near)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "keywords"} and not isinstance(node, ast.Call):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST) and not _is_cast_type(node, item):
                yield item


def _is_cast_type(parent: ast.AST, node: ast.AST) -> bool:
    """The type in `cast("T", value)`: an annotation, which nothing looks at when it runs."""
    return isinstance(parent, ast.Call) and ast.unparse(parent.func) == "cast" and node is parent.args[0]


def _is_docstring(parent: ast.AST, node: ast.AST) -> bool:
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return alone and isinstance(parent, (ast.Module, ast.ClassDef, *_FUNCTIONS))


def _is_export(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _changes(node: ast.expr | ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.expr):
        for changed in _expressions(node):
            yield f"({ast.unparse(changed)})"
        return
    yield from _statements(node)


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left, ops, comparators):
            for at, operator in enumerate(ops):
                changed = [*ops[:at], _COMPARE[type(operator)](), *ops[at + 1 :]]
                yield ast.Compare(left, changed, comparators)
        case ast.BinOp(left, operator, right) if type(operator) in _ARITHMETIC:
            if not _is_typing(node):
                yield ast.BinOp(left, _ARITHMETIC[type(operator)](), right)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Constant(value):
            yield from _constants(value)
        case _:
            return


def _is_typing(node: ast.BinOp) -> bool:
    """`A | B` of types, as in isinstance or an alias."""
    return isinstance(node.op, ast.BitOr) and all(
        isinstance(side, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp)
        or (isinstance(side, ast.Constant) and side.value is None)
        for side in (node.left, node.right)
    )


def _constants(value: object) -> Iterator[ast.expr]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str() if value and " " not in value:
            yield ast.Constant(f"{value}X")
        case bytes() if value:
            yield ast.Constant(value + b"X")
        case _:
            return


def _statements(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Return(value) if value is not None and not _is_none(value):
            yield "return None"
        case ast.Expr(ast.Call() | ast.Await() | ast.YieldFrom()) | ast.Raise() | ast.AugAssign() | ast.Delete():
            yield "pass"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"
        case _:
            return


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
