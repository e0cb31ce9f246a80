"""Keep the documentation what the code says: `python -m tools.docs` writes every part that is made from code.

A part stands in a page between `<!-- made: NAME -->` and `<!-- end: NAME -->`; some pages are made whole, by the module
that knows. `--check` writes nothing and tells what is stale. `--demo` runs `optr demo` and puts its output into the
README; it takes as long as the demo does.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bot.settings_page import table as settings_table
from execution.agents.profiles import LimitsPart, Profile
from execution.config import Config
from execution.records import Limits
from execution.workflowfile import GraphFile, NodePart
from governance.patterns import PATTERNS
from governance.states import TRANSITIONS, RunOutcome, RunState
from tests.attacks import catalogue
from tools.reference import table

ROOT = Path(__file__).parents[1]
DEMO_SECONDS_MAX = 300
DEMO_ROW = re.compile(r"\| +(?:\d+|-) \|.*")

# Pages that a module prints.
WHOLE: Mapping[str, str] = {
    "docs/cli.md": "bot.cli.reference",
    "docs/commands.md": "bot.commands",
    "docs/conformance.md": "tools.conformance",
    "docs/invariants.md": "execution.invariants",
    "docs/reasons.md": "governance.reasons",
}


def states() -> str:
    """The diagram of a run's states, from the one table of moves."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {RunState.RECEIVED}"]
    for state in RunState:
        lines += [f"    {state} --> {target}" for target in RunState if target in TRANSITIONS[state]]
    ends = ", ".join(outcome.value for outcome in RunOutcome)
    return "\n".join([*lines, f"    {RunState.CLOSED} --> [*]", "```", "", f"A closed run is one of: {ends}.", ""])


def config_reference() -> str:
    """The keys of `.github/optr.yml`."""
    return table(Config)


def profile_reference() -> str:
    """The keys of a profile's front matter, and those of its `limits`."""
    return table(Profile, leave_out=frozenset({"instructions"}), explained_by={LimitsPart: Limits})


def hostile_candidates() -> str:
    """What hostile candidates try, one line each."""
    return catalogue.table()


def pattern_reference() -> str:
    """The patterns: roles with how many agents each takes, and options with their bounds."""
    lines = ["| pattern | roles | options | what happens |", "|---|---|---|---|"]
    for pattern in PATTERNS.values():
        roles = ", ".join(f"`{role}` {_bounds(*bounds)}" for role, bounds in pattern.roles.items())
        options = ", ".join(
            f"`{name}` {setting.default} ({_bounds(setting.least, setting.most)})"
            for name, setting in pattern.options.items()
        )
        lines.append(f"| `{pattern.name}` | {roles} | {options or 'none'} | {pattern.summary} |")
    return "\n".join(lines) + "\n"


def _bounds(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def graph_file_reference() -> str:
    """The keys of a workflow that is written node by node."""
    return table(GraphFile, leave_out=frozenset({"nodes"}))


def node_reference() -> str:
    """The keys of one node of such a workflow."""
    return table(NodePart)


PARTS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("README.md", "states"): states,
    ("docs/configuration.md", "settings"): settings_table,
    ("docs/configuration.md", "optr.yml"): config_reference,
    ("docs/configuration.md", "profiles"): profile_reference,
    ("docs/threat-model.md", "hostile candidates"): hostile_candidates,
    ("docs/workflows.md", "patterns"): pattern_reference,
    ("docs/workflows.md", "graph file"): graph_file_reference,
    ("docs/workflows.md", "node"): node_reference,
}


def part(page: str, name: str) -> str:
    """What stands between a part's marks.

    Raises:
        ValueError: the page has no such part, or has it twice.
    """
    found = _marked(name).findall(page)
    if len(found) != 1:
        raise ValueError(f"the part {name!r} stands {len(found)} times")
    return str(found[0])


def with_part(page: str, name: str, text: str) -> str:
    """The page with another text between a part's marks."""
    part(page, name)
    return _marked(name).sub(lambda _: f"<!-- made: {name} -->\n{text}<!-- end: {name} -->", page)


def _marked(name: str) -> re.Pattern[str]:
    word = re.escape(name)
    return re.compile(rf"<!-- made: {word} -->\n(.*?)<!-- end: {word} -->", re.DOTALL)


def made() -> Iterator[tuple[str, str]]:
    """Every page that has a made part, by path, as it should be."""
    pages = {path: (ROOT / path).read_text(encoding="utf-8") for path, _ in PARTS}
    for (path, name), make in PARTS.items():
        pages[path] = with_part(pages[path], name, make())
    yield from pages.items()
    for path, module in WHOLE.items():
        yield path, _printed(module)


def _printed(module: str) -> str:
    argv = [sys.executable, "-m", module]
    return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8").stdout


def first_screen(printed: str) -> str:
    """What `optr demo` prints, cut to what a newcomer should see first: verdict, table, and why not the others."""
    verdict = printed.index("\n**") + 1
    return f"{printed[verdict : printed.index('**Cross-votes**')].strip()}\n"


def _demo() -> str:
    argv = [sys.executable, "-m", "bot.cli", "demo"]
    done = subprocess.run(
        argv, cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8", timeout=DEMO_SECONDS_MAX
    )
    return done.stdout


def demo_rows(text: str) -> list[dict[str, str]]:
    """The comparison's rows by column, without what time decides: scores and durations."""
    heading, *rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|--")]
    names = _cells(heading)
    return [
        {name: cell for name, cell in zip(names, _cells(row), strict=True) if name not in {"score", "time"}}
        for row in rows
        if DEMO_ROW.fullmatch(row)
    ]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def main(arguments: list[str]) -> int:
    """Write what is stale, or with `--check` name it; returns 1 when something was stale and is not written."""
    if "--demo" in arguments:
        readme = ROOT / "README.md"
        readme.write_text(
            with_part(readme.read_text(encoding="utf-8"), "demo", first_screen(_demo())), encoding="utf-8"
        )
    stale = [(path, text) for path, text in made() if (ROOT / path).read_text(encoding="utf-8") != text]
    for path, text in stale:
        print(f"{path}: made anew" if "--check" not in arguments else f"{path}: stale, run `make docs`")
        if "--check" not in arguments:
            (ROOT / path).write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
