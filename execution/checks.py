"""What to run where a repository declares nothing, and which of its files judge instead of being judged."""

import re
import sys
from collections.abc import Iterable
from pathlib import PurePosixPath

from execution.config import CONFIG_PATH, Check

TESTED = "tested"

_TEST_DIRECTORIES = frozenset({"test", "tests", "__tests__", "spec", "specs", "testing", "testdata", "e2e"})
_TEST_FILE = re.compile(
    r"test_.*\.py|.*_test\.(py|go|rb|exs|dart|c|cc|cpp)|tests?\.py|.*\.(test|spec)\.([cm]?[jt]sx?|py)|.*_spec\.rb"
    r"|.*Tests?\.(java|kt|cs|scala|swift|php)|Test.*\.(java|kt)"
)
_CONFIG_FILE = re.compile(
    r"conftest\.py|pytest\.ini|\.pytest\.ini|tox\.ini|setup\.(cfg|py)|pyproject\.toml|noxfile\.py|\.coveragerc|mypy\.ini"
    r"|sitecustomize\.py|usercustomize\.py|.*\.pth|pytest_.*\.py|manage\.py|package\.json|tsconfig.*\.json|\.mocharc.*"
    r"|(jest|vitest|vite|karma|babel|ava|playwright|cypress|webpack|rollup)\.config\..*|\.babelrc.*|\.swcrc|\.eslintrc.*"
    r"|eslint\.config\..*|go\.mod|go\.work|Cargo\.toml|rust-toolchain.*|build\.rs|(GNUm|m|M)akefile|.*\.mk|CMakeLists\.txt"
    r"|justfile|Taskfile\.ya?ml|Rakefile|\.rspec|pom\.xml|(build|settings)\.gradle(\.kts)?|phpunit\.xml.*|mix\.exs"
)
_CONFIG_DIRECTORIES = frozenset({".cargo", ".github", ".mvn"})

# What Python would import instead of the runner or of what the runner imports, when it stands in the root.
_SHADOWING = frozenset(sys.stdlib_module_names) | {"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "xdist"}

_PYTHON = (
    "if python3 -c 'import pytest' 2>/dev/null; then exec python3 -m pytest -q -p no:cacheprovider; "
    "else exec python3 -m unittest discover{start}; fi"
)


def is_test_path(path: str) -> bool:
    """Whether a repository path belongs to the tests, by its name or a directory above it."""
    *above, name = path.split("/")
    return bool(_TEST_FILE.fullmatch(name)) or any(part.lower() in _TEST_DIRECTORIES for part in above)


def is_config_path(path: str) -> bool:
    """Whether a repository path steers how tests are found, built or run."""
    *above, name = path.split("/")
    return bool(_CONFIG_FILE.fullmatch(name)) or any(part in _CONFIG_DIRECTORIES for part in above)


def shadows_runner(path: str, base_paths: Iterable[str]) -> bool:
    """Whether a Python file would be imported in place of the runner's own modules.

    A name that the base already has at its root is the repository's own business.
    """
    top, _, rest = path.partition("/")
    module = top.partition(".")[0]
    if module not in _SHADOWING or not path.endswith((".py", ".so", ".pyc")):
        return False
    own = {top, module, f"{module}.py"}
    return (bool(rest) or top != module) and not any(known.partition("/")[0] in own for known in base_paths)


def detect(paths: Iterable[str]) -> tuple[tuple[Check, ...], str]:
    """Common test commands for a tree that declares none.

    Args:
        paths: every path of the base tree. Contents are not read.

    Returns:
        The checks, and one sentence that says what was recognised and how to declare one's own.
    """
    known = frozenset(paths)
    found = [check for check in (_python(known), _node(known), _go(known), _cargo(known)) if check is not None]
    if not found and {"Makefile", "makefile", "GNUmakefile"} & known:
        found = [Check(id="make-test", run="make test", proves=(TESTED,))]
    if not found:
        return (), f"No checks: none are declared in {CONFIG_PATH} and no common test command was recognised."
    commands = ", ".join(f"`{_title(check)}`" for check in found)
    return tuple(found), f"Recognised by file names: {commands}. Declare your own in {CONFIG_PATH}."


def _title(check: Check) -> str:
    return {"python-tests": "pytest, else unittest", "make-test": "make test"}.get(check.id, check.run)


def _python(known: frozenset[str]) -> Check | None:
    tests = [path for path in known if path.endswith(".py") and is_test_path(path)]
    if not tests:
        return None
    run = _PYTHON.format(start=_unittest_start(known, tests))
    if any(path.startswith("src/") and path.endswith(".py") for path in known):
        run = f"export PYTHONPATH=src; {run}"
    return Check(id="python-tests", run=run, proves=(TESTED,))


def _unittest_start(known: frozenset[str], tests: list[str]) -> str:
    """Where discovery starts: it enters a directory from the root only if that is a package."""
    tops = {PurePosixPath(path).parts[0] for path in tests if "/" in path}
    at_root = any("/" not in path for path in tests)
    start = next((top for top in ("tests", "test") if top in tops and f"{top}/__init__.py" not in known), None)
    return "" if at_root or start is None else f" -s {start}"


def _node(known: frozenset[str]) -> Check | None:
    scripts = (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts")
    if "package.json" not in known or not any(path.endswith(scripts) and is_test_path(path) for path in known):
        return None
    return Check(id="npm-test", run="npm test", proves=(TESTED,))


def _go(known: frozenset[str]) -> Check | None:
    if "go.mod" not in known or not any(path.endswith("_test.go") for path in known):
        return None
    return Check(id="go-test", run="go test ./...", proves=(TESTED,))


def _cargo(known: frozenset[str]) -> Check | None:
    return Check(id="cargo-test", run="cargo test --offline", proves=(TESTED,)) if "Cargo.toml" in known else None
