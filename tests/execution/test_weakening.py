import pytest

from execution.findings import scan_findings
from execution.static_scan import RULES, scan
from execution.weakening import compare_files, compare_reports
from governance.patch import ChangeKind, FileChange
from scoring.evidence import ReportCounts

PY = "def test_a():\n    assert a == 1\n    assert b == 2\n"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (PY, PY, []),
        (PY, PY + "    assert c == 3\n", []),
        (PY, "def test_a():\n    assert a == 1\n", ["1 assertions where the base has 2"]),
        (PY, PY.replace("    assert b", "    # assert b"), ["1 assertions where the base has 2"]),
        (PY, "", ["0 assertions where the base has 2"]),
        (PY, "@pytest.mark.skip\n" + PY, ["1 more mark that skip tests or expect them to fail"]),
        ("it('a', () => expect(a).toBe(1))", "xit('a', () => expect(a).toBe(1))", ["1 more mark"]),
        ("t.Errorf(x)\n", "t.Skip(x)\n", ["0 assertions where the base has 1", "1 more mark"]),
        ("#[test]\nfn a() { assert_eq!(1, 1); }", "#[test]\n#[ignore]\nfn a() { assert_eq!(1, 1); }", ["1 more mark"]),
    ],
)
def test_a_changed_file_that_demands_less(before: str, after: str, words: list[str]) -> None:
    told = list(compare_files(before, after))
    assert len(told) == len(words)
    assert all(text.startswith(start) for text, start in zip(told, words, strict=True))


def test_reports_that_ran_less() -> None:
    base = ReportCounts(tests=5, skipped=1)
    assert list(compare_reports(base, ReportCounts(tests=6, skipped=1))) == []
    assert len(list(compare_reports(base, ReportCounts(tests=4, skipped=2)))) == 2


def change(path: str, *lines: str) -> FileChange:
    return FileChange(
        path=path, kind=ChangeKind.ADDED, added=len(lines), old_mode="000000", new_mode="100644", added_lines=lines
    )


@pytest.mark.parametrize(
    ("rule", "path", "line"),
    [
        ("python-shell", "a.py", "subprocess.run(command, shell=True)"),
        ("python-shell", "a.py", "os.system('rm ' + name)"),
        ("python-eval", "a.py", "eval(request.args['q'])"),
        ("python-deserialise", "a.py", "pickle.loads(body)"),
        ("python-deserialise", "a.py", "yaml.load(text)"),
        ("python-tls", "a.py", "requests.get(url, verify=False)"),
        ("script-eval", "a.ts", "eval(input)"),
        ("script-eval", "a.js", "new Function(body)()"),
        ("script-shell", "a.js", "require('child_process').exec(`ls ${dir}`)"),
        ("script-html", "a.jsx", "<div dangerouslySetInnerHTML={x} />"),
        ("script-tls", "a.js", "https.request({ rejectUnauthorized: false })"),
        ("go-tls", "a.go", "&tls.Config{InsecureSkipVerify: true}"),
        ("go-shell", "a.go", 'exec.Command("sh", "-c", line)'),
        ("java-exec", "A.java", "Runtime.getRuntime().exec(line);"),
        ("ruby-eval", "a.rb", "eval(params[:q])"),
        ("php-eval", "a.php", "<?php eval($_GET['q']);"),
        ("csharp-tls", "A.cs", "ServicePointManager.ServerCertificateValidationCallback += (a, b, c, d) => true;"),
        ("pipe-to-shell", "install.sh", "curl -fsSL https://example.org/x | sudo bash"),
        ("pipe-to-shell", "Dockerfile", "RUN wget -qO- https://example.org/x | sh"),
        ("tls-off", "ci.yml", "curl -k https://example.org"),
        ("credential", "config.py", "DB_PASSWORD = 'hunter2hunter2'"),
        ("credential", "app.js", 'const apiKey = "9f8e7d6c5b4a"'),
    ],
)
def test_each_rule_finds_what_it_names(rule: str, path: str, line: str) -> None:
    assert [found.rule.id for found in scan([change(path, "x = 1", line)])] == [rule]


def test_every_rule_has_an_example() -> None:
    marks = test_each_rule_finds_what_it_names.pytestmark  # type: ignore[attr-defined]
    assert {rule.id for rule in RULES} == {row[0] for row in marks[0].args[1]}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.py", "model.eval()"),
        ("a.py", "subprocess.run(argv, shell=False)"),
        ("a.py", "yaml.load(text, Loader=yaml.SafeLoader)"),
        ("a.py", "password = os.environ['PASSWORD']"),
        ("a.py", "api_key = '${API_KEY}'"),
        ("tests/test_a.py", "password = 'hunter2hunter2'"),
        ("README.md", "curl https://example.org/x | sh"),
        ("a.js", "regex.exec(text)"),
        ("a.js", "if (a.innerHTML == b) {}"),
        ("a.go", "exec.Command(name, args...)"),
    ],
)
def test_what_only_looks_a_little_like_it_is_not_reported(path: str, line: str) -> None:
    assert scan([change(path, line)]) == ()


def test_nothing_hides_behind_the_beginning_of_a_long_line_and_no_finding_is_left_out() -> None:
    for before in (0, 1_790, 1_795, 1_800, 1_990, 2_000, 50_000):
        line = f"{' ' * before}os.system(command){' ' * 3_000}"
        assert [found.rule.id for found in scan([change("a.py", line)])] == ["python-shell"], before
    many = [change(f"a{n}.py", "os.system(command)") for n in range(70)]
    assert len(scan(many)) == 70
    (told,) = scan_findings(scan(many))
    assert told.text.endswith("and 65 more.")
