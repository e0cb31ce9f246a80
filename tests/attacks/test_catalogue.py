import ast
from pathlib import Path

from tests.attacks.catalogue import ATTACKS, CANDIDATES, EVIDENCE, table

ROOT = Path(__file__).parents[2]
ATTACKS_MIN = 40


def decorated(file: str) -> dict[str, str]:
    """Each test function's source with its decorators."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            decorators = "".join(ast.unparse(decorator) for decorator in node.decorator_list)
            found[node.name] = decorators
    return found


def test_every_attack_names_a_test_that_is_there() -> None:
    for attack in ATTACKS:
        decorators = decorated(attack.file)[attack.test]
        assert not attack.case or repr(attack.case.replace("\\\\", "\\")) in decorators, attack


def test_every_hostile_test_is_named() -> None:
    named = {(attack.file, attack.test) for attack in ATTACKS}
    for file in (CANDIDATES, EVIDENCE):
        assert {(file, test) for test in decorated(file)} - named == set()


def test_there_are_enough_and_none_twice() -> None:
    assert len(ATTACKS) >= ATTACKS_MIN
    assert len({attack.tries for attack in ATTACKS}) == len(ATTACKS)


def test_the_page_is_what_the_table_prints() -> None:
    assert table() in (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
