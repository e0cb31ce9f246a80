"""A repository with a bug, agents whose words are recorded, and workflows carried out on it."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bot.demo.cassette import Cassette, RecordedTurn, Tokens
from bot.demo.recorded import RecordedModel, recorded_model
from bot.local import correct_local, run_local
from bot.local_request import LocalCorrection, LocalRequest
from execution.result import NodeResult, RunResult
from tests.execution.rooms import Origin

MODEL = "gpt-6-luna"
FIX = "sed -i s/-/+/ calc.py"
NOTE = "echo noted >> NOTES.md"
NOTHING = "true"


def profile(name: str) -> str:
    return f"---\nname: {name}\ntype: openai-codex\nmodel: {MODEL}\n---\nYou are {name}.\n"


FILES = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": (
        "import unittest\nfrom calc import add\n\n\nclass Adding(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
    ),
    ".github/optr.yml": "checks:\n  - {id: tests, run: python3 -m unittest discover -q -s tests, proves: [tested]}\n",
    **{f".github/agents/{name}.agent.md": profile(name) for name in ("ann", "bob", "cat", "dan")},
}


def says(when: str, command: str = NOTHING, **output: object) -> Cassette:
    """One node's words: a command, then its report with the fields that it hands back."""
    report = {"summary": "done", "invariants": [], "risks": "", "rollback": "", "output": output}
    turns = (
        RecordedTurn(thinking="Work.", commands=(command,), usage=Tokens(fresh=10, output=5)),
        RecordedTurn(text=json.dumps(report), usage=Tokens(fresh=10, output=5)),
    )
    return Cassette(protocol="openai_responses", model=MODEL, when=when, turns=turns)


class Workshop:
    """A repository, and runs on it."""

    def __init__(self, root: Path) -> None:
        self.repo, self.state = root / "calc", root / "state"
        self.repo.mkdir()
        self._origin = Origin(self.repo)
        self._origin.git("init", "--quiet", "--initial-branch=main")
        self._origin.commit(FILES)

    def commit(self, files: dict[str, str]) -> None:
        self._origin.commit(files)

    def request(self, model: RecordedModel, definition: str) -> LocalRequest:
        return LocalRequest(
            repo=self.repo,
            workflow="fix-add",
            intent="Make add add\nIt subtracts.",
            constraints=(),
            agents=(),
            state=self.state,
            environ=model.environ,
            on_progress=lambda _line: None,
            definition=definition,
            definition_path="flow.yml",
        )

    def recorded(self, name: str) -> str:
        place = f"datalake:datalake/workflows/fix-add/{name}"
        return subprocess.run(["git", "show", place], cwd=self.repo, capture_output=True, check=True, text=True).stdout

    def carry(self, definition: str, words: Sequence[Cassette]) -> tuple[RunResult, Counter[str]]:
        async def main() -> tuple[RunResult, Counter[str]]:
            async with recorded_model(words) as model:
                result = await run_local(self.request(model, definition))
                assert all(seen.status == 200 for seen in model.seen), [seen.body for seen in model.seen]
                return result, calls(model)

        return asyncio.run(main())

    def correct(self, correction: LocalCorrection, words: Sequence[Cassette]) -> tuple[RunResult, Counter[str]]:
        async def main() -> tuple[RunResult, Counter[str]]:
            async with recorded_model(words) as model:
                result = await correct_local(self.request(model, ""), correction)
                return result, calls(model)

        return asyncio.run(main())

    def lines(self) -> list[dict[str, object]]:
        """The ledger's lines, oldest first."""
        text = subprocess.run(
            ["git", "show", "datalake:datalake/ledger.jsonl"], cwd=self.repo, capture_output=True, check=True, text=True
        ).stdout
        return [json.loads(line) for line in text.splitlines()]


def verdicts(nodes: Sequence[NodeResult]) -> dict[str, str | None]:
    return {one.node: one.verdict for one in nodes}


def calls(model: RecordedModel) -> Counter[str]:
    """Model calls by the agent that made them."""
    texts = [json.dumps(seen.body) for seen in model.seen]
    return Counter(name for text in texts for name in ("ann", "bob", "cat", "dan") if f"You are {name}." in text)
