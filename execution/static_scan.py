"""A small scan of the lines that a patch adds: known dangerous shapes, per language. A net with holes.

It reads one line at a time and understands none: what is split over lines, renamed or computed passes, and a harmless
line that looks like one of these is reported. It costs a candidate the invariant `secure`, never its admission.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from execution.checks import is_test_path
from governance.patch import FileChange

WINDOW_CHARS = 2_000  # looked at together; a longer line is read in windows, so that no pattern meets a megabyte
OVERLAP_CHARS = 200  # that two windows share: what a rule looks for is shorter

PYTHON = frozenset({".py", ".pyi"})
SCRIPT = frozenset({".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte"})
GO = frozenset({".go"})
JAVA = frozenset({".java", ".kt", ".scala"})
RUBY = frozenset({".rb"})
PHP = frozenset({".php"})
CSHARP = frozenset({".cs"})
SHELL = frozenset({".sh", ".bash", ".zsh", ".yml", ".yaml", ".mk", ".toml", ".json", ""})
PROSE = frozenset({".md", ".rst", ".txt", ".adoc"})


@dataclass(frozen=True)
class Rule:
    """One dangerous shape.

    Attributes:
        id: lower case name.
        text: what it is, for people.
        suffixes: file name endings it applies to; empty for all that are not prose.
        pattern: searched for in each added line.
        in_tests: whether it applies to test files too.
    """

    id: str
    text: str
    suffixes: frozenset[str]
    pattern: re.Pattern[str]
    in_tests: bool = True


def _rule(name: str, text: str, suffixes: frozenset[str], pattern: str, *, in_tests: bool = True) -> Rule:
    return Rule(name, text, suffixes, re.compile(pattern), in_tests)


_VALUE = r"[rbu]?[\"'](?!\s|\$|\{|<|%|example|changeme|xxx|your)[^\"'\s]{8,}[\"']"
RULES: tuple[Rule, ...] = (
    _rule(
        "python-shell", "a command line through a shell", PYTHON, r"\bshell\s*=\s*True\b|\bos\.(?:system|popen)\s*\("
    ),
    _rule("python-eval", "text run as code", PYTHON, r"(?<![\w.])(?:eval|exec)\s*\((?!\s*\))|\b__import__\s*\("),
    _rule(
        "python-deserialise",
        "objects made from untrusted bytes",
        PYTHON,
        r"\b(?:pickle|marshal|shelve|dill|cloudpickle)\.(?:loads?|open)\s*\(|\byaml\.(?:unsafe_load|full_load)\s*\("
        r"|\byaml\.load\s*\((?!.*Safe)",
    ),
    _rule(
        "python-tls",
        "TLS without verification",
        PYTHON,
        r"\bverify\s*=\s*False\b|_create_unverified_context|\bCERT_NONE\b|\bcheck_hostname\s*=\s*False\b",
    ),
    _rule(
        "script-eval",
        "text run as code",
        SCRIPT,
        r"(?<![\w.])eval\s*\(|\bnew\s+Function\s*\(|\bvm\.runIn\w+\s*\(|\bset(?:Timeout|Interval)\s*\(\s*[\"'`]",
    ),
    _rule(
        "script-shell",
        "a command line through a shell",
        SCRIPT,
        r"\bchild_process\b.*\bexec(?:Sync)?\s*\(|(?<![\w.])exec(?:Sync)\s*\(|\bshell\s*:\s*true\b",
    ),
    _rule("script-html", "markup from a variable", SCRIPT, r"\bdangerouslySetInnerHTML\b|\.innerHTML\s*=(?!=)|v-html="),
    _rule(
        "script-tls",
        "TLS without verification",
        SCRIPT,
        r"\brejectUnauthorized\s*:\s*false\b|NODE_TLS_REJECT_UNAUTHORIZED",
    ),
    _rule("go-tls", "TLS without verification", GO, r"\bInsecureSkipVerify\s*:\s*true\b"),
    _rule(
        "go-shell", "a command line through a shell", GO, r"exec\.Command\w*\(\s*(?:\w+,\s*)?\"(?:/bin/)?(?:ba)?sh\""
    ),
    _rule(
        "java-exec",
        "a command line or objects from untrusted bytes",
        JAVA,
        r"Runtime\.getRuntime\(\)\.exec\s*\(|\bnew\s+ObjectInputStream\s*\(|\bALLOW_ALL_HOSTNAME_VERIFIER\b",
    ),
    _rule(
        "ruby-eval",
        "text run as code or objects from untrusted bytes",
        RUBY,
        r"(?<![\w.])(?:eval|instance_eval)\b|\bMarshal\.load\b|\bYAML\.load\b(?!_)|VERIFY_NONE",
    ),
    _rule(
        "php-eval",
        "text run as code or as a command",
        PHP,
        r"(?<![\w>])(?:eval|system|shell_exec|passthru|popen|unserialize)\s*\(|CURLOPT_SSL_VERIFYPEER\s*,\s*(?:false|0)",
    ),
    _rule(
        "csharp-tls", "TLS without verification", CSHARP, r"ServerCertificateValidationCallback\s*[+=]|BinaryFormatter"
    ),
    _rule(
        "pipe-to-shell",
        "a download run as it comes",
        frozenset(),
        r"\b(?:curl|wget)\b[^|;&]*\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b|\b(?:ba|z)?sh\s+(?:-c\s+[\"'])?[<\"'$(]*\(?\s*curl\b",
    ),
    _rule(
        "tls-off",
        "a download or push without TLS verification",
        SHELL,
        r"\bcurl\b.*\s(?:-k|--insecure)\b|\bwget\b.*--no-check-certificate\b|GIT_SSL_NO_VERIFY|http\.sslVerify\s*=?\s*false"
        r"|strict-ssl\s*[=:]?\s*false|--trusted-host\b",
    ),
    _rule(
        "credential",
        "a credential written into the code",
        frozenset(),
        rf"(?i)\b[\w.-]*(?:password|passwd|secret|api_?key|access_?key|auth_?token|private_?key)[\"']?\s*[:=]\s*{_VALUE}",
        in_tests=False,
    ),
)


@dataclass(frozen=True)
class ScanFinding:
    """One rule met in one file."""

    path: str
    rule: Rule


def scan(changes: Iterable[FileChange]) -> tuple[ScanFinding, ...]:
    """Every rule that an added line meets, once per file, in the patch's order."""
    return tuple(
        ScanFinding(change.path, rule) for change in changes for rule in RULES if _applies(rule, change.path, change)
    )


def _applies(rule: Rule, path: str, change: FileChange) -> bool:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in PROSE or (rule.suffixes and suffix not in rule.suffixes):
        return False
    if not rule.in_tests and is_test_path(path):
        return False
    return any(
        rule.pattern.search(line, start, start + WINDOW_CHARS)
        for line in change.added_lines
        for start in range(0, max(len(line) - OVERLAP_CHARS, 1), WINDOW_CHARS - OVERLAP_CHARS)
    )
