"""The attack suite as a table: one line for each hostile candidate, naming the test that brings it to court.

`make docs` puts the table into docs/threat-model.md; a test compares the two and looks for every test.
"""

from dataclasses import dataclass

CANDIDATES = "tests/attacks/test_hostile_candidates.py"
EVIDENCE = "tests/attacks/test_hostile_evidence.py"
RUNS = "tests/bot/test_evidence_runs.py"


@dataclass(frozen=True)
class Attack:
    """One hostile candidate: what it tries, what becomes of it, and the test (file, function, parameter id or "")."""

    tries: str
    becomes: str
    file: str
    test: str
    case: str = ""


def _rows(file: str, test: str, becomes: str, *tries: str | tuple[str, str]) -> tuple[Attack, ...]:
    """Attacks of one test; a pair names the parameter's id too."""
    pairs = [(one, "") if isinstance(one, str) else one for one in tries]
    return tuple(Attack(words, becomes, file, test, case) for words, case in pairs)


_REFUSED = "refused before any check runs"
_BASE_TESTS = "the base's tests and configuration are put back, and they fail"
_EXIT_CODE = "the exit code decides; output is never read"
_CONTAINED = "the sandbox's limit ends it; the check fails"
_UNREADABLE = "the report counts for nothing, with a warning; the exit code decides"
_NOT_SECURE = "admitted without the invariant `secure`, with a warning"

ATTACKS: tuple[Attack, ...] = (
    *_rows(
        CANDIDATES,
        "test_a_path_out_of_the_tree",
        _REFUSED,
        ("a path that climbs out of the tree", "../escaped"),
        ("a path that climbs out halfway", "a/../../escaped"),
        ("an absolute path", "/tmp/escaped"),
        ("a path that climbs out with backslashes", "..\\\\escaped"),
    ),
    *_rows(
        CANDIDATES,
        "test_a_file_in_the_git_directory",
        _REFUSED,
        ("a git hook", ".git/hooks/post-checkout"),
        ("a git configuration", ".git/config"),
        ("a git directory in capitals, deeper down", "sub/.GIT/config"),
        ("the git directory's short name on Windows", "git~1/config"),
    ),
    *_rows(
        CANDIDATES, "test_a_link_and_a_file_written_through_it", _REFUSED, "a link out, and a file written through it"
    ),
    *_rows(CANDIDATES, "test_a_submodule", _REFUSED, "a submodule with its own URL"),
    *_rows(CANDIDATES, "test_a_setuid_mode", _REFUSED, "a set-uid file"),
    *_rows(
        CANDIDATES,
        "test_a_patch_that_two_readers_would_read_differently",
        _REFUSED,
        ("a mail around the patch", "mail"),
        ("two paths for one file", "side"),
        ("a rename hidden in a new file", "rename"),
        ("a hunk longer than it says", "count"),
        ("a headless second patch", "headless"),
    ),
    *_rows(CANDIDATES, "test_a_patch_that_says_more_than_it_does", _REFUSED, "a patch that says more than it does"),
    *_rows(CANDIDATES, "test_a_bomb_of_zeros", _REFUSED, "half a gigabyte of zeros, compressed"),
    *_rows(CANDIDATES, "test_a_bomb_of_copies", _REFUSED, "a small delta that copies a megabyte 16,000 times"),
    *_rows(CANDIDATES, "test_a_thousand_files", _REFUSED, "a thousand files"),
    *_rows(CANDIDATES, "test_paths_that_meet_where_case_does_not_count", _REFUSED, "paths that differ only in case"),
    *_rows(
        EVIDENCE,
        "test_a_second_spelling_of_a_file",
        _REFUSED,
        "a second spelling of a file by invisible or full-width characters",
    ),
    *_rows(
        CANDIDATES,
        "test_a_path_that_turns_the_page_around",
        "escaped wherever it is shown",
        "a path that reverses text",
    ),
    *_rows(
        CANDIDATES,
        "test_instructions_for_whoever_comes_next",
        _REFUSED,
        ("instructions for the next agent", "AGENTS.md"),
        ("a workflow file", ".github/workflows/ci.yml"),
        ("settings of another agent's tool", ".claude/settings.json"),
    ),
    *_rows(
        EVIDENCE,
        "test_it_edits_the_rules_of_its_own_judgement",
        _REFUSED,
        ("its own checks and accept score", ".github/optr.yml"),
        ("a profile of its own", ".github/agents/mallory.agent.md"),
        ("who must review it", ".github/CODEOWNERS"),
    ),
    *_rows(
        CANDIDATES,
        "test_tests_are_bent_instead_of_code",
        _BASE_TESTS,
        ("deletes the test", "deleted"),
        ("empties the test", "emptied"),
        ("skips the test", "skipped"),
        ("a module in place of the test runner", "runner"),
        ("a package in place of the test runner", "runner-package"),
        ("a module in place of the standard library's", "stdlib"),
        ("a test package that ends the process", "package"),
        ("a double of the code beside the tests", "double"),
        ("a conftest.py that ends the process", "conftest"),
    ),
    *_rows(CANDIDATES, "test_the_build_file_is_bent", _BASE_TESTS, "a Makefile whose tests do nothing"),
    *_rows(CANDIDATES, "test_the_directory_of_tests_becomes_a_file", _BASE_TESTS, "a file in place of the tests"),
    *_rows(
        CANDIDATES,
        "test_the_detected_check_does_not_read_the_candidate",
        _BASE_TESTS,
        "no tests, so that none is found",
    ),
    *_rows(
        EVIDENCE,
        "test_it_plants_what_steers_the_runner",
        _BASE_TESTS,
        ("sitecustomize.py", "sitecustomize.py"),
        ("usercustomize.py", "usercustomize.py"),
        ("a pytest plugin", "pytest_fake.py"),
        ("a .pth file", "evil.pth"),
        ("a runner configuration", "pytest.ini"),
    ),
    *_rows(EVIDENCE, "test_it_edits_the_check_scripts_beside_the_tests", _BASE_TESTS, "the script that a check calls"),
    *_rows(
        EVIDENCE, "test_it_weakens_a_test_and_fixes_the_code_too", "admitted, with warnings", "a fix, and a weaker test"
    ),
    *_rows(EVIDENCE, "test_it_claims_fifty_invariants", "kept as data, worth nothing", "fifty claimed invariants"),
    *_rows(CANDIDATES, "test_shouting_success_is_not_success", _EXIT_CODE, "prints that all tests passed"),
    *_rows(EVIDENCE, "test_its_output_pretends_to_be_ours", _EXIT_CODE, "prints our own records and workflow commands"),
    *_rows(EVIDENCE, "test_it_brings_its_own_test_report", _UNREADABLE, "a JUnit report in the patch"),
    *_rows(EVIDENCE, "test_its_code_writes_a_kind_report", _EXIT_CODE, "code that writes a kind JUnit report"),
    *_rows(
        EVIDENCE,
        "test_a_report_of_failures_does_not_hide_behind_exit_zero",
        "a warning says that report and exit code disagree",
        "exit code 0 over a report of failures",
    ),
    *_rows(
        EVIDENCE,
        "test_its_report_attacks_the_reader",
        _UNREADABLE,
        ("a report that is a link to /etc/passwd", "link"),
        ("a report that is a pipe nobody writes to", "pipe"),
        ("a report with entities", "entities"),
        ("a report nested without end", "depth"),
        ("a report of nine megabytes", "size"),
    ),
    *_rows(
        EVIDENCE,
        "test_it_makes_tests_vanish_from_the_report",
        "a warning compares with the base's own run",
        "fewer tests than the base runs",
    ),
    *_rows(
        EVIDENCE, "test_it_waits_until_nobody_looks", "each check is a process of its own", "right only after a while"
    ),
    *_rows(
        EVIDENCE, "test_it_stops_the_clock", "our clock ends it and counts the time", "ignores every signal and sleeps"
    ),
    *_rows(
        EVIDENCE,
        "test_it_swaps_its_tree_for_links_while_tested",
        "its checkout is thrown away; nothing is read through it",
        "links in place of its files while it is tested",
    ),
    *_rows(
        EVIDENCE,
        "test_its_check_poisons_what_was_prepared",
        "the mount is read-only, and stands over the patch's own files",
        "changes the prepared dependencies",
    ),
    *_rows(
        EVIDENCE,
        "test_dangerous_code_is_not_called_secure",
        _NOT_SECURE,
        ("a command line through a shell", "shell"),
        ("text run as code", "eval"),
        ("TLS without verification", "tls"),
        ("a password in the code", "password"),
        ("a token in the code", "token"),
    ),
    *_rows(EVIDENCE, "test_it_downloads_and_runs_in_a_script", _NOT_SECURE, "a download piped into a shell"),
    *_rows(
        CANDIDATES,
        "test_it_looks_for_secrets",
        "the environment is empty and /proc shows nobody else",
        "reads environments, /proc and /etc/shadow",
    ),
    *_rows(CANDIDATES, "test_it_kills_everything_it_may", _CONTAINED, "kills every process it can reach"),
    *_rows(CANDIDATES, "test_it_forks_without_end", _CONTAINED, "a fork bomb"),
    *_rows(CANDIDATES, "test_it_talks_without_end", _CONTAINED, "output without end"),
    *_rows(CANDIDATES, "test_it_fills_the_disk", _CONTAINED, "fills the disk"),
    *_rows(CANDIDATES, "test_it_calls_home", "there is no network", "calls home"),
    *_rows(
        EVIDENCE,
        "test_it_reaches_for_the_network_by_every_road",
        "there is no network",
        "cloud metadata, IPv6 and the container daemon's socket",
    ),
    *_rows(
        CANDIDATES,
        "test_it_stays_behind_to_meet_the_next_check",
        "the whole process tree dies with the command",
        "a process that outlives its check",
    ),
    *_rows(
        CANDIDATES,
        "test_its_repository_is_poisoned",
        "we run git with our own directory only",
        "fsmonitor, filters, textconv, hooks and attributes planted in its repository",
    ),
    *_rows(
        CANDIDATES,
        "test_a_link_to_the_hosts_secrets_brings_none_home",
        "links are taken as links, then refused",
        "links to the host's files in place of its own",
    ),
    *_rows(CANDIDATES, "test_a_maze_of_directories", "no patch is taken", "two thousand nested directories"),
    *_rows(CANDIDATES, "test_a_git_directory_in_capitals", "no patch is taken", "a directory .GIT in its workspace"),
    *_rows(
        CANDIDATES,
        "test_another_candidates_work_is_not_to_be_found",
        "workspaces share no objects and no paths",
        "looks for the work of the others",
    ),
    *_rows(
        RUNS,
        "test_hostile_votes_harm_nobody",
        "votes are evidence only: no score, no admission, no tie",
        "a new test that passes on its author's code alone",
        "a new test that hangs on everybody else's code",
    ),
)

_HEADER = "| attack | defence | test |\n|---|---|---|\n"


def table() -> str:
    """The attacks as a Markdown table."""
    return _HEADER + "".join(f"| {attack.tries} | {attack.becomes} | {_named(attack)} |\n" for attack in ATTACKS)


def _named(attack: Attack) -> str:
    case = f" [{attack.case}]" if attack.case else ""
    return f"`{attack.file}::{attack.test}`{case}"
