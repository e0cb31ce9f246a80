import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execution.gitcmd import GitError, run_git
from execution.ports import Sandbox
from execution.sandbox.identity import sandbox_ids
from execution.winner import apply_patch
from execution.workspace import Workspace, WorkspaceError, discard, prepare, take_patch
from governance.patch import parse_patch
from tests.execution.rooms import Origin, sh

FILES = {
    "src/a.py": "one\ntwo\n",
    "b c.txt": "x\n",
    ".gitignore": "build/\n",
    "ü.txt": "ü\n",
    "bin.dat": bytes(range(256)),
}


@pytest.fixture
def workspace(origin: Origin, scratch: Path) -> Iterator[Workspace]:
    made = prepare(origin.git_dir, origin.commit(FILES), scratch)
    yield made
    discard(made)


def touched(patch: bytes) -> list[str]:
    return [change.path for change in parse_patch(patch)]


def test_the_tree_is_the_commits(origin: Origin, workspace: Workspace) -> None:
    for name, content in FILES.items():
        assert (workspace.tree / name).read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert workspace.base_tree == origin.git("rev-parse", "HEAD^{tree}")
    sizes = [len(content.encode() if isinstance(content, str) else content) for content in FILES.values()]
    assert workspace.base_bytes == sum(sizes)


def test_all_of_it_belongs_to_the_sandbox_and_what_is_beside_it_does_not(workspace: Workspace) -> None:
    uid, _ = sandbox_ids()
    assert {path.lstat().st_uid for path in [workspace.tree, *workspace.tree.rglob("*")]} == {uid}
    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o711
    assert stat.S_IMODE(workspace.git_dir.stat().st_mode) == 0o700
    assert workspace.git_dir.stat().st_uid == os.geteuid()


def test_the_agents_repository_works_and_holds_nothing_else(sandbox: Sandbox, origin: Origin, scratch: Path) -> None:
    old = origin.commit({"secret.txt": "from an earlier commit\n"})
    origin.git("rm", "--quiet", "secret.txt")
    base = origin.commit(FILES)
    origin.git("branch", "rival")
    origin.git("tag", "v1")
    origin.git("remote", "add", "origin", "https://example.com/x.git")
    workspace = prepare(origin.git_dir, base, scratch)
    script = f"""
    git status --porcelain && git log --oneline --all | wc -l && git remote && git reflog && git tag
    git cat-file -e {old} 2>/dev/null && echo FOUND; git cat-file -e {base} 2>/dev/null && echo FOUND
    git cat-file --batch-all-objects --batch-check | wc -l; cat .git/objects/info/alternates 2>/dev/null
    echo three >> src/a.py; git diff --stat | tail -1; git add -A && git commit -qm mine && git log --oneline | wc -l
    """
    done = sh(sandbox, workspace.tree, script)
    objects = len(FILES) + 2 + 1  # blobs, two trees, one commit
    assert done.output.decode().split("\n") == ["1", str(objects), " 1 file changed, 1 insertion(+)", "2", ""]
    assert touched(take_patch(workspace)) == ["src/a.py"]
    discard(workspace)


def test_nothing_changed_is_an_empty_patch(workspace: Workspace) -> None:
    (workspace.tree / "src/a.py").touch()
    assert take_patch(workspace) == b""


def test_every_kind_of_change_survives_the_way_out_and_back(origin: Origin, workspace: Workspace) -> None:
    tree = workspace.tree
    (tree / "src/a.py").write_text("one\r\n2\n")
    (tree / "b c.txt").unlink()
    (tree / "bin.dat").write_bytes(bytes(range(255, -1, -1)))
    (tree / "ü.txt").chmod(0o755)
    (tree / "new dir").mkdir()
    (tree / 'new dir/quo"te\t').write_text("no line feed")
    (tree / "empty").touch()
    (tree / "link").symlink_to("/etc/passwd")
    patch = take_patch(workspace)
    assert (
        apply_patch(workspace.git_dir, workspace.base_tree, patch)
        == run_git(workspace.git_dir, "write-tree", env={"GIT_INDEX_FILE": str(workspace.root / "index")})
        .decode()
        .strip()
    )
    assert sorted(touched(patch)) == sorted(
        ["src/a.py", "b c.txt", "bin.dat", "ü.txt", 'new dir/quo"te\t', "empty", "link"]
    )
    assert b"root:" not in patch


def test_taking_twice_gives_the_same(workspace: Workspace) -> None:
    (workspace.tree / "n").write_text("n")
    assert take_patch(workspace) == take_patch(workspace)


def test_traces_of_running_tests_stay_out(workspace: Workspace) -> None:
    for name in (
        "src/__pycache__/a.cpython-311.pyc",
        ".pytest_cache/x",
        "node_modules/m/i.js",
        "build/out",
        "x.egg-info/y",
    ):
        path = workspace.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert take_patch(workspace) == b""


def test_a_tracked_file_with_an_excluded_name_is_still_seen(origin: Origin, scratch: Path) -> None:
    workspace = prepare(
        origin.git_dir, origin.commit({"node_modules/kept.js": "1\n", ".gitignore": "kept.js\n"}), scratch
    )
    (workspace.tree / "node_modules/kept.js").write_text("2\n")
    assert touched(take_patch(workspace)) == ["node_modules/kept.js"]


def test_bytes_are_kept_whatever_the_attributes_say(origin: Origin, scratch: Path) -> None:
    files = {
        ".gitattributes": "*.txt text eol=crlf\n*.id ident\n*.u working-tree-encoding=UTF-16\n*.f filter=lfs\n",
        "a.txt": "a\nb\n",
        "x.id": "$Id$\n",
        "x.u": "u\n",
        "x.f": "version https://git-lfs.github.com/spec/v1\n",
    }
    origin.tree.joinpath(".git/info").mkdir(exist_ok=True)
    (origin.tree / ".git/info/attributes").write_text("* -text -ident -working-tree-encoding -filter\n")
    workspace = prepare(origin.git_dir, origin.commit(files), scratch)
    for name, content in files.items():
        assert (workspace.tree / name).read_text() == content
    (workspace.tree / "a.txt").write_bytes(b"a\r\nb\r\n")
    (workspace.tree / "x.id").write_text("$Id$\nmore\n")
    patch = take_patch(workspace)
    assert b"+a\r\n" in patch
    assert b" $Id$\n+more" in patch
    discard(workspace)


def plant_fsmonitor(tree: Path, program: str) -> None:
    _configure(tree, "core.fsmonitor", program)


def plant_hooks(tree: Path, program: str) -> None:
    hooks = tree / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(program, hooks / name)
    _configure(tree, "core.hooksPath", str(hooks))


def plant_textconv(tree: Path, program: str) -> None:
    _configure(tree, "diff.evil.textconv", program)
    _configure(tree, "diff.evil.command", program)
    _configure(tree, "diff.external", program)
    (tree / ".gitattributes").write_text("* diff=evil\n")
    (tree / "src/a.py").write_text("changed\n")


def plant_filter(tree: Path, program: str) -> None:
    _configure(tree, "filter.evil.clean", program)
    _configure(tree, "filter.evil.process", program)
    (tree / ".gitattributes").write_text("* filter=evil\n")
    (tree / "src/a.py").write_text("changed\n")


def plant_git_file(tree: Path, program: str) -> None:
    hostile = tree / "hostile"
    shutil.move(tree / ".git", hostile)
    (tree / ".git").write_text(f"gitdir: {hostile}\n")
    subprocess.run(["git", "--git-dir", str(hostile), "config", "core.fsmonitor", program], check=True)


def plant_git_link(tree: Path, program: str) -> None:
    shutil.move(tree / ".git", tree / "hostile")
    (tree / ".git").symlink_to("hostile")
    subprocess.run(["git", "--git-dir", str(tree / "hostile"), "config", "core.fsmonitor", program], check=True)


def plant_git_link_outside(tree: Path, program: str) -> None:
    shutil.rmtree(tree / ".git")
    (tree / ".git").symlink_to("/etc")


def plant_nested_repository(tree: Path, program: str) -> None:
    nested = tree / "nested"
    subprocess.run(["git", "init", "--quiet", str(nested)], check=True)
    (nested / "file.py").write_text("x\n")
    _configure(nested, "core.fsmonitor", program)


def plant_include(tree: Path, program: str) -> None:
    (tree / ".gitconfig").write_text(f"[core]\n\tfsmonitor = {program}\n")
    _configure(tree, "include.path", str(tree / ".gitconfig"))


def plant_global_files(tree: Path, program: str) -> None:
    (tree / ".config/git").mkdir(parents=True)
    (tree / ".config/git/attributes").write_text("* filter=evil\n")
    (tree / ".config/git/config").write_text(f'[filter "evil"]\n\tclean = {program}\n')
    (tree / ".lfsconfig").write_text(f"[lfs]\n\tstandalonetransferagent = {program}\n")


def _configure(tree: Path, key: str, value: str) -> None:
    subprocess.run(["git", "--git-dir", str(tree / ".git"), "config", key, value], check=True)


PLANTS = [
    plant_fsmonitor,
    plant_hooks,
    plant_textconv,
    plant_filter,
    plant_git_file,
    plant_git_link,
    plant_git_link_outside,
    plant_nested_repository,
    plant_include,
    plant_global_files,
]


@pytest.mark.parametrize("plant", PLANTS)
def test_nothing_planted_runs_on_the_host(
    plant: Callable[[Path, str], None], workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    plant(workspace.tree, str(program))
    (workspace.tree / "b c.txt").write_text("changed\n")
    monkeypatch.chdir(workspace.tree)
    patch = take_patch(workspace)
    assert not (tmp_path / "ran").exists()
    assert "b c.txt" in touched(patch)
    discard(workspace)
    assert not (tmp_path / "ran").exists()


def _armed_submodule(origin: Origin, program: Path) -> tuple[str, Callable[[Path], None]]:
    """A base with a submodule, and how to check it out with a configuration that runs `program`."""
    inner = origin.commit({"a": "1\n"})
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{inner},sub")
    origin.git("commit", "--quiet", "--message", "submodule")

    def arm(tree: Path) -> None:
        nested = tree / "sub" / ".git"
        shutil.copytree(origin.git_dir, nested)
        (nested / "HEAD").write_text(f"{inner}\n")  # what the base records: git then looks inside for changes
        for key in ("core.fsmonitor", "filter.evil.clean"):
            subprocess.run(["git", "--git-dir", str(nested), "config", key, str(program)], check=True)
        (tree / "sub" / ".gitattributes").write_text("* filter=evil\n")
        (tree / "sub" / "a").write_text("2\n")
        (tree / "a").write_text("2\n")

    return origin.git("rev-parse", "HEAD"), arm


def test_a_submodule_of_the_base_is_not_entered(origin: Origin, scratch: Path, tmp_path: Path) -> None:
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    base, arm = _armed_submodule(origin, program)
    workspace = prepare(origin.git_dir, base, scratch)
    arm(workspace.tree)
    assert touched(take_patch(workspace)) == ["a"]
    assert not (tmp_path / "ran").exists()


def test_that_attack_is_real(origin: Origin, scratch: Path, tmp_path: Path) -> None:
    """Without our clearing, the same tree runs the planted program: the test above tests something."""
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    base, arm = _armed_submodule(origin, program)
    workspace = prepare(origin.git_dir, base, scratch)
    arm(workspace.tree)
    subprocess.run(["chown", "-R", str(os.geteuid()), str(workspace.tree)], check=True)
    index = {"GIT_INDEX_FILE": str(workspace.root / "index")}
    run_git(workspace.git_dir, "add", "--all", env=index, work_tree=workspace.tree)
    assert (tmp_path / "ran").exists()


def test_a_directory_replaced_by_a_link_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("the host's secret\n")
    shutil.rmtree(workspace.tree / "src")
    (workspace.tree / "src").symlink_to(tmp_path)
    patch = take_patch(workspace)
    assert b"secret" not in patch
    assert [(change.path, change.new_mode) for change in parse_patch(patch)] == [
        ("src", "120000"),
        ("src/a.py", "000000"),
    ]


def test_ignore_files_that_are_links_are_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*\n")
    (workspace.tree / ".gitignore").unlink()
    (workspace.tree / ".gitignore").symlink_to(tmp_path / "rules")
    (workspace.tree / "new").write_text("x")
    assert touched(take_patch(workspace)) == [".gitignore", ".gitignore", "new"]


def test_special_files_and_closed_doors_do_not_stop_us(workspace: Workspace) -> None:
    tree = workspace.tree
    os.mkfifo(tree / "pipe")
    (tree / "b c.txt").unlink()
    os.mkfifo(tree / "b c.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
        (tree / "shut").mkdir()
        (tree / "shut/new").write_text("x")
        (tree / "shut/new").chmod(0)
        (tree / "shut").chmod(0)
        assert touched(take_patch(workspace)) == ["b c.txt", "shut/new"]
    discard(workspace)
    assert not workspace.root.exists()


def test_names_that_are_no_text_make_no_patch(workspace: Workspace) -> None:
    (Path(os.fsdecode(os.fsencode(workspace.tree) + b"/\xff\xfe"))).write_text("x")
    patch = take_patch(workspace)
    with pytest.raises(ValueError, match="not UTF-8"):
        parse_patch(patch)


def test_git_directories_by_another_name_are_refused_here_or_by_judgement(workspace: Workspace) -> None:
    for name in (".GIT", "git~1"):
        (workspace.tree / name).mkdir()
        (workspace.tree / name / "config").write_text("x")
    with pytest.raises(WorkspaceError, match=r"invalid path '\.GIT/config'"):
        take_patch(workspace)
    shutil.rmtree(workspace.tree / ".GIT")
    assert touched(take_patch(workspace)) == ["git~1/config"]


def test_too_much_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with (workspace.tree / "huge").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(WorkspaceError, match="grew by 65 MiB"):
        take_patch(workspace)
    (workspace.tree / "huge").unlink()
    monkeypatch.setattr("execution.workspace.NEW_FILES_MAX", 10)
    for number in range(11):
        (workspace.tree / f"n{number}").touch()
    with pytest.raises(WorkspaceError, match="11 new files"):
        take_patch(workspace)


def test_endless_directories_are_refused_and_removed(sandbox: Sandbox, workspace: Workspace) -> None:
    deep = "import os\nfor _ in range(3000):\n os.mkdir('d'); os.chdir('d')"
    assert sh(sandbox, workspace.tree, f'python3 -c "{deep}"').exit_code == 0
    with pytest.raises(WorkspaceError, match="nested more than 100 deep"):
        take_patch(workspace)
    discard(workspace)
    assert not workspace.root.exists()


def test_endless_names_are_refused_and_removed(sandbox: Sandbox, workspace: Workspace) -> None:
    deep = "import os\nfor _ in range(40):\n os.mkdir('d' * 250); os.chdir('d' * 250)"
    assert sh(sandbox, workspace.tree, f'python3 -c "{deep}"').exit_code == 0
    with pytest.raises(WorkspaceError, match="too long"):
        take_patch(workspace)
    discard(workspace)
    assert not workspace.root.exists()


def test_discarding_follows_no_link_and_may_be_repeated(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    (workspace.tree / "out").symlink_to(tmp_path)
    discard(workspace)
    discard(workspace)
    assert (tmp_path / "kept").exists()
    assert not workspace.root.exists()


def test_a_commit_that_is_not_there_leaves_nothing_behind(origin: Origin, scratch: Path) -> None:
    origin.commit(FILES)
    with pytest.raises(GitError):
        prepare(origin.git_dir, "f" * 40, scratch)
    assert list(scratch.iterdir()) == []


def test_an_option_is_no_commit(origin: Origin, scratch: Path) -> None:
    origin.commit(FILES)
    with pytest.raises(GitError):
        prepare(origin.git_dir, "--output=/tmp/x", scratch)


def test_the_source_is_left_as_it_was(origin: Origin, scratch: Path) -> None:
    base = origin.commit(FILES)
    before = sorted((path, path.lstat().st_size) for path in origin.tree.rglob("*"))
    workspace = prepare(origin.git_dir, base, scratch)
    (workspace.tree / "new").write_text("x")
    take_patch(workspace)
    discard(workspace)
    assert sorted((path, path.lstat().st_size) for path in origin.tree.rglob("*")) == before
