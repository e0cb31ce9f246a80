"""A candidate's workspace: a pristine tree that the sandbox owns, and beside it a git directory that it cannot reach.

    <scratch>/optr-XXXX/        ours; others may pass through, not look
        tree/                   the sandbox's: one commit's files, and a throw-away repository for the agent's own use
        git/                    ours: borrows the source's objects, reads no attribute and no exclude that a tree brings
        index                   ours

The agent's repository holds the objects of that one tree and nothing else: no history, no remote, no other candidate.
We never run git with a configuration, an attribute or a nested repository that the sandbox could have written.
"""

import errno
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from execution.gitcmd import GitError, run_git
from execution.records import Record
from execution.sandbox.disposal import dispose
from execution.sandbox.identity import hand_over

GROWTH_BYTES_MAX = 64 * 2**20  # what a candidate may add beside ignored files
NEW_FILES_MAX = 20_000
ENTRIES_MAX = 1_000_000  # files and directories, ignored ones included
DEPTH_MAX = 100  # directories below the tree
COPY_SECONDS_MAX = 300.0
COMMIT_TIME = "@0 +0000"
SHA1_DIGITS = 40
_OURS_ONLY, PASS_THROUGH = 0o700, 0o711

# Highest precedence of all attribute files, so nothing in a tree can name a filter, an encoding or a diff driver.
_ATTRIBUTES = "* -text !eol -filter -ident -working-tree-encoding !diff !merge -export-subst -export-ignore\n"

# What running tests leaves behind, whether or not the repository ignores it. Tracked files are unaffected.
_EXCLUDED = (
    *("__pycache__/", "*.py[cod]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/"),
    *(
        "*.egg-info/",
        ".eggs/",
        ".coverage",
        ".venv/",
        "node_modules/",
        ".npm/",
        ".nyc_output/",
        ".gradle/",
        ".DS_Store",
    ),
)


class Workspace(Record):
    """Where one candidate is written or verified.

    Attributes:
        root: the whole of it; `discard` removes it.
        tree: the files, the directory to give to a sandbox.
        git_dir: our git directory, outside the tree.
        base: hex id of the commit or tree that was checked out.
        base_tree: hex id of its tree.
        base_bytes: size of its files.
    """

    root: Path
    tree: Path
    git_dir: Path
    base: str
    base_tree: str
    base_bytes: int


class WorkspaceError(RuntimeError):
    """The candidate left something that cannot become a patch; the message is for people."""


def prepare(git_dir: Path, commit: str, scratch: Path) -> Workspace:
    """Check `commit` out into a new workspace under `scratch`.

    Args:
        git_dir: any git directory that holds the commit; its objects are borrowed, nothing else of it.
        commit: hex id of a commit or a tree.
        scratch: an existing directory that the sandbox's uid can walk down to.

    Raises:
        GitError: the commit is not there, or cannot be checked out.
    """
    root = Path(tempfile.mkdtemp(prefix="optr-", dir=scratch))
    root.chmod(PASS_THROUGH)
    try:
        store = create_store(git_dir, root / "git")
        tree = root / "tree"
        tree.mkdir(mode=_OURS_ONLY)
        tree_id = run_git(store, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}").decode().strip()
        _check_out(store, tree_id, tree, root / "index")
        base_bytes = sum(status.st_size for _, status in _files(tree))
        _give_repository(store, tree_id, tree)
        hand_over(tree)
    except BaseException:
        dispose(root)
        raise
    return Workspace(root=root, tree=tree, git_dir=store, base=commit, base_tree=tree_id, base_bytes=base_bytes)


def duplicate(pristine: Workspace, scratch: Path) -> Workspace:
    """A workspace like `pristine`, whose tree no sandbox was ever given: a copy costs a tenth of a checkout.

    The git directory is the pristine one's: the copy is for running something in, not for taking a patch of.

    Raises:
        OSError: it cannot be copied; says why.
    """
    root = Path(tempfile.mkdtemp(prefix="optr-", dir=scratch))
    root.chmod(PASS_THROUGH)
    argv = ["cp", "-a", "--", str(pristine.tree), str(root / "tree")]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=COPY_SECONDS_MAX)
    if done.returncode:
        dispose(root)
        raise OSError(f"cannot copy a workspace: {done.stderr.decode(errors='replace').strip()[:500]}")
    return pristine.model_copy(update={"root": root, "tree": root / "tree"})


def create_store(git_dir: Path, store: Path) -> Path:
    """Make a git directory that borrows the objects of `git_dir` and has neutral rules; returns `store`."""
    facts = run_git(git_dir, "rev-parse", "--show-object-format", "--git-path", "objects")
    form, objects = os.fsdecode(facts.removesuffix(b"\n")).split("\n", 1)
    store.mkdir(mode=_OURS_ONLY)
    run_git(store, "init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(store))
    (store / "info").mkdir()
    (store / "info" / "attributes").write_text(_ATTRIBUTES)
    (store / "info" / "exclude").write_text("\n".join(_EXCLUDED) + "\n")
    (store / "objects" / "info").mkdir(exist_ok=True)
    (store / "objects" / "info" / "alternates").write_bytes(os.fsencode((git_dir / objects).resolve()) + b"\n")
    return store


def take_patch(workspace: Workspace) -> bytes:
    """Everything the sandbox changed, as one binary patch against the base; empty when nothing changed.

    Call it after the last command has ended; it clears nested repositories and special files out of the tree first.

    Raises:
        WorkspaceError: too much, too deep, or not storable in git.
    """
    index = {"GIT_INDEX_FILE": str(workspace.root / "index")}
    # Names that only mean .git elsewhere (git~1) are let in here so that judgement can name them; `.GIT` git refuses.
    unguarded = ("-c", "core.protectNTFS=false", "-c", "core.protectHFS=false")
    try:
        _make_safe(workspace.tree)
        (workspace.root / "index").unlink(missing_ok=True)  # an index without file times: every file is read again
        run_git(workspace.git_dir, "read-tree", workspace.base_tree, env=index)
        _require_bounded(workspace, index)
        run_git(workspace.git_dir, *unguarded, "add", "--all", env=index, work_tree=workspace.tree)
        return run_git(workspace.git_dir, *unguarded, *PATCH_FORM, "--cached", workspace.base_tree, "--", env=index)
    except GitError as error:
        raise WorkspaceError(f"git cannot take a patch of the workspace: {error.stderr}") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise WorkspaceError("the workspace holds paths that are too long for the system") from error


# How a patch is written that `execution.reading` reads; whatever is compared follows.
PATCH_FORM = (
    *("diff", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-renames"),
    *("--no-color", "--no-relative", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules=none"),
)


def discard(workspace: Workspace) -> None:
    """Remove all of it. Removing it again is fine.

    Raises:
        OSError: something could not be removed.
    """
    dispose(workspace.root)


def _check_out(store: Path, tree_id: str, tree: Path, index: Path) -> None:
    env = {"GIT_INDEX_FILE": str(index)}
    run_git(store, "read-tree", tree_id, env=env)
    run_git(store, "checkout-index", "--all", "--force", "--quiet", env=env, work_tree=tree)


def _give_repository(store: Path, tree_id: str, tree: Path) -> None:
    """`git init` and one commit, so that `git diff` and `git status` work for whoever works there."""
    inner = tree / ".git"
    inner.mkdir()
    form = "sha1" if len(tree_id) == SHA1_DIGITS else "sha256"
    run_git(inner, "init", "--quiet", "--template=", "--initial-branch=main", f"--object-format={form}", work_tree=tree)
    with (inner / "config").open("a") as config:
        config.write("[user]\n\tname = agent\n\temail = agent@localhost\n")
    pack = str(inner / "objects" / "pack" / "pack")
    # Thrown away soon: neither small nor durable, but quick.
    quick = ("-c", "core.fsync=none", "-c", "pack.compression=0")
    run_git(store, *quick, "pack-objects", "--quiet", "--window=0", "--revs", pack, stdin=f"{tree_id}\n".encode())
    commit = commit_tree(inner, tree_id, (), "base", COMMIT_TIME)
    run_git(inner, "-c", "core.logAllRefUpdates=false", "update-ref", "refs/heads/main", commit)
    run_git(inner, "read-tree", commit)
    (inner / "info").mkdir(exist_ok=True)
    (inner / "info" / "exclude").write_text("\n".join(_EXCLUDED) + "\n")


def commit_tree(git_dir: Path, tree: str, parents: tuple[str, ...], message: str, date: str) -> str:
    """Write a commit object by OPTR and return its hex id; the same arguments give the same id."""
    who = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", "OPTR"), ("EMAIL", "optr@localhost"), ("DATE", date))
    }
    ancestry = [word for parent in parents for word in ("-p", parent)]
    encoding = ("-c", "i18n.commitEncoding=utf-8")
    output = run_git(git_dir, *encoding, "commit-tree", *ancestry, tree, stdin=message.encode(), env=who)
    return output.decode().strip()


def _make_safe(tree: Path) -> None:
    """Leave only directories, files and links, readable, with no repository inside but the throw-away one.

    A nested `.git` is worse than clutter: for a path that the base records as a submodule, `git add` would run git in
    it, with its configuration.
    """
    for path, status in list(_entries(tree)):
        if path.name == ".git" and path.parent != tree:
            dispose(path)
        elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            path.unlink()
        elif stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IRUSR:
            path.chmod(status.st_mode | stat.S_IRUSR)


def _files(tree: Path) -> Iterator[tuple[Path, os.stat_result]]:
    return ((path, status) for path, status in _entries(tree) if not stat.S_ISDIR(status.st_mode))


def _entries(tree: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below `tree` but its own `.git` and what lies in nested ones; links are never followed."""
    pending, seen = [(tree, 0)], 0
    while pending:
        directory, depth = pending.pop()
        if depth > DEPTH_MAX:
            raise WorkspaceError(f"the workspace has directories nested more than {DEPTH_MAX} deep")
        _open_up(directory)
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if (seen := seen + 1) > ENTRIES_MAX:
                raise WorkspaceError(f"the workspace has more than {ENTRIES_MAX} files")
            path, status = Path(entry.path), entry.stat(follow_symlinks=False)
            if entry.name == ".git":
                if depth:
                    yield path, status
                continue
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                pending.append((path, depth + 1))


def _open_up(directory: Path) -> None:
    mode = stat.S_IMODE(directory.lstat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        directory.chmod(mode | stat.S_IRWXU)


def _require_bounded(workspace: Workspace, index: dict[str, str]) -> None:
    listing = run_git(
        *(workspace.git_dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        env=index,
        work_tree=workspace.tree,
    )
    names = [name for name in listing.split(b"\0") if name]
    tracked = run_git(workspace.git_dir, "ls-files", "-z", env=index).count(b"\0")
    if len(names) - tracked > NEW_FILES_MAX:
        raise WorkspaceError(
            f"the workspace has {len(names) - tracked} new files, at most {NEW_FILES_MAX} can be taken"
        )
    size = sum(_size(workspace.tree / os.fsdecode(name)) for name in names)
    if size - workspace.base_bytes > GROWTH_BYTES_MAX:
        raise WorkspaceError(
            f"the workspace grew by {(size - workspace.base_bytes) // 2**20} MiB, at most {GROWTH_BYTES_MAX // 2**20} "
            "MiB can be taken: remove build output or have the repository ignore it"
        )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # deleted, or below something that is no directory any more
        return 0
