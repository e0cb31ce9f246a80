"""What a node hands back beside a patch: typed fields, checked against what its workflow declares."""

from collections.abc import Mapping

from governance.codes import ReasonCode
from governance.nodes import FieldType, Node, choices
from ledger import canonical

STRING_CHARS_MAX = 20_000  # characters of one string
STRINGS_MAX = 200  # strings of one list
INTEGER_LIMIT = 2**53  # exclusive: canonical JSON keeps smaller integers exact

FieldValue = str | int | bool | tuple[str, ...]


def plain(value: object) -> FieldValue | None:
    """A value that a field can hold, what is no UTF-8 replaced; None for anything else, or larger: nothing is cut."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < INTEGER_LIMIT else None
    if isinstance(value, str):
        return _scrubbed(value) if len(value) <= STRING_CHARS_MAX else None
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        fits = len(value) <= STRINGS_MAX and all(len(item) <= STRING_CHARS_MAX for item in value)
        return tuple(_scrubbed(item) for item in value) if fits else None
    return None


def checked(node: Node, handed: Mapping[str, FieldValue]) -> tuple[dict[str, FieldValue], tuple[tuple[str, str], ...]]:
    """The declared fields that were handed back as declared, and a violation for each that was not.

    What was not declared is left out: it cannot flow anywhere.
    """
    kept: dict[str, FieldValue] = {}
    wrong: list[tuple[str, str]] = []
    for name, kind in node.output.items():
        value = handed.get(name)
        if value is None:
            what = (
                f"no {name} ({kind}) that fits: {STRING_CHARS_MAX} characters a string, {STRINGS_MAX} strings at most"
            )
            wrong.append((ReasonCode.OUTPUT_INVALID.value, f"node {node.id} handed back {what}"))
        elif not _fits(value, kind):
            text = f"node {node.id} handed back {name} as {str(value)[:80]!a}, which is not {kind}"
            wrong.append((ReasonCode.OUTPUT_INVALID.value, text))
        else:
            kept[name] = value
    return kept, tuple(wrong)


def chosen(node: Node, values: Mapping[str, FieldValue]) -> dict[str, str]:
    """Those fields that hold one of fixed words: they decide which edges hold."""
    return {name: str(value) for name, value in values.items() if choices(node.output.get(name, ""))}


def field_digest(value: FieldValue) -> str:
    """Hex SHA-256 that names this value in a mandate's manifest."""
    content = list(value) if isinstance(value, tuple) else value
    return canonical.digest({"kind": "optr/field/1", "value": content})


def shown(value: FieldValue) -> str:
    """A value as text for whoever it flows to; lists are numbered."""
    if isinstance(value, tuple):
        return "\n".join(f"{number}. {item}" for number, item in enumerate(value, 1))
    return str(value)


def _fits(value: FieldValue, kind: str) -> bool:
    words = choices(kind)
    if words:
        return isinstance(value, str) and value in words
    if kind == FieldType.STRING:
        return isinstance(value, str)
    if kind == FieldType.STRINGS:
        return isinstance(value, tuple)
    if kind == FieldType.BOOLEAN:
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool)


def _scrubbed(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
