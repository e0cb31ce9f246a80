import pytest

from execution.checks import detect, is_config_path, is_test_path, shadows_runner


@pytest.mark.parametrize(
    "path",
    [
        "tests/x.json",
        "test_a.py",
        "pkg/a_test.go",
        "a.test.ts",
        "b.spec.jsx",
        "src/__tests__/x.js",
        "FooTest.java",
        "spec/a_spec.rb",
        "e2e/run.py",
        "Tests/Unit.cs",
        "tests.py",
        "deep/test/data.bin",
    ],
)
def test_tests_are_recognised(path: str) -> None:
    assert is_test_path(path)


@pytest.mark.parametrize("path", ["src/attest.py", "latest/x.py", "contest.js", "testimony.py", "src/testing_tools.py"])
def test_what_only_sounds_like_a_test_is_none(path: str) -> None:
    assert not is_test_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py",
        "a/conftest.py",
        "pytest.ini",
        "pyproject.toml",
        "setup.cfg",
        "package.json",
        "jest.config.mjs",
        "Makefile",
        "sitecustomize.py",
        "x.pth",
        ".cargo/config.toml",
        "go.mod",
        ".mocharc.yml",
        "pytest_plugin.py",
    ],
)
def test_what_steers_the_runner_is_recognised(path: str) -> None:
    assert is_config_path(path)


@pytest.mark.parametrize(
    "path", ["src/main.py", "conftest.py.md", "docs/pyproject.toml.txt", "makefiles/x.c", "mygithub/x"]
)
def test_what_does_not_steer_it(path: str) -> None:
    assert not is_config_path(path)


@pytest.mark.parametrize(
    ("path", "base", "shadows"),
    [
        ("unittest.py", [], True),
        ("pytest/__init__.py", ["src/a.py"], True),
        ("random.py", ["app.py"], True),
        ("random.py", ["random.py"], False),
        ("platform/win.py", ["platform/linux.py"], False),
        ("platform/win.js", [], False),
        ("app/random.py", [], False),
        ("code.md", [], False),
    ],
)
def test_shadowing_the_runner(path: str, base: list[str], shadows: bool) -> None:  # noqa: FBT001  # a table's column
    assert shadows_runner(path, base) is shadows


def test_python() -> None:
    checks, sentence = detect(["app.py", "test_app.py"])
    assert [check.id for check in checks] == ["python-tests"]
    assert checks[0].proves == ("tested",)
    assert checks[0].run.endswith("unittest discover; fi")
    assert "pytest, else unittest" in sentence
    assert ".github/optr.yml" in sentence


def test_python_in_src_with_tests_beside() -> None:
    ((check,), _) = detect(["src/app/__init__.py", "tests/test_app.py"])
    assert check.run.startswith("export PYTHONPATH=src; ")
    assert "unittest discover -s tests" in check.run


def test_several_languages() -> None:
    paths = ["package.json", "a.test.js", "go.mod", "x_test.go", "Cargo.toml", "test_x.py", "Makefile"]
    checks, _ = detect(paths)
    assert [check.id for check in checks] == ["python-tests", "npm-test", "go-test", "cargo-test"]


def test_make_is_the_last_resort() -> None:
    ((check,), sentence) = detect(["Makefile", "x.c"])
    assert check.run == "make test"
    assert "`make test`" in sentence


def test_manifests_without_tests_promise_nothing() -> None:
    checks, sentence = detect(["package.json", "index.js", "go.mod", "main.go", "app.py"])
    assert checks == ()
    assert sentence.startswith("No checks:")
