"""No tracked file names a package registry's host or a directory of one machine."""

import re
import subprocess

from tests.docs.pages import ROOT

# In pieces, so that this file names none itself.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
    )
]
_HOST = re.compile("|".join(map(re.escape, HOSTS)).encode())
_MACHINE = re.compile(b"(?<![\\w/.~-])/" + b"work" + b"/")


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_package_registry_or_a_machines_directory() -> None:
    names = tracked()
    assert "README.md" in names
    root = str(ROOT).encode()
    for name in names:
        data = (ROOT / name).read_bytes()
        assert not _HOST.search(data), f"{name} names a package registry's host"
        assert not _MACHINE.search(data), f"{name} names a directory of one machine"
        assert root not in data, f"{name} names the directory of this checkout"


def test_the_locks_hold_a_hash_for_every_package() -> None:
    for name in ("run.txt", "dev.txt"):
        lock = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", "")
        packages = [line for line in lock.splitlines() if line and not line.startswith("#")]
        assert len(packages) > 20
        for line in packages:
            assert "==" in line, line
            assert "--hash=sha256:" in line, line
