"""The forge against the local GitHub: real git over https's protocol, real REST, and answers that get lost."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.forge import GitHubForge
from bot.gate_check import GitHubGate
from bot.github.checks import CheckRuns
from bot.github.comments import Comments
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.git import GitRemote
from bot.github.installations import GitHubSettings, Installations
from bot.github.permissions import APP_PERMISSIONS, EVENTS
from bot.github.view import InstallationView
from bot.human_reviews import HumanReviews
from bot.ledgers import Ledgers
from bot.permissions import Permission
from execution.artifacts import POLICY
from execution.gitcmd import run_git
from execution.policies import load_policy
from execution.result import Receipt, RunResult
from execution.runs import Run
from execution.stages.record import receipt_of
from execution.store import Store
from governance.states import RunState
from ledger.entry import Draft
from ledger.errors import LedgerRefusedError
from ledger.store import FileCheckpoints
from ledger.verify import verify_branch
from tests.bot import results
from tests.github.server import App, LocalGitHub, Repository, unique_name

RUN = "00ff00ff00ff00ff"
CONFIG = b"version: 1\nreview:\n  approvals: 1\n"


@dataclass
class Place:
    """A private repository with our App on it, and an issue."""

    github: LocalGitHub
    app: App
    repository: Repository
    installation: int
    issue: int
    state: Path

    def person(self, login: str, role: str = "write") -> Any:
        return self.github.as_user(login, self.repository, role)

    @property
    def path(self) -> str:
        return f"/repos/{self.repository.full_name}"

    @property
    def address(self) -> str:
        return f"{self.github.git_url}/{self.repository.full_name}.git"

    def comments(self) -> list[Any]:
        return list(self.person("mona").get(f"{self.path}/issues/{self.issue}/comments"))

    def checks(self, commit: str, name: str) -> list[Any]:
        found = self.person("mona").get(f"{self.path}/commits/{commit}/check-runs", check_name=name, filter="all")
        return list(found["check_runs"])

    def pulls(self) -> list[Any]:
        return list(self.person("mona").get(f"{self.path}/pulls", state="all"))


@dataclass
class Built:
    forge: GitHubForge
    gate: GitHubGate
    installations: Installations
    ledgers: Ledgers
    remote: GitRemote
    view: InstallationView


@pytest.fixture
def place(local_github: LocalGitHub, tmp_path: Path) -> Place:
    files = {"sums.py": b"def add(a, b):\n    return a - b\n", ".github/optr.yml": CONFIG}
    repository = local_github.create_repository(unique_name("octo"), "sums", files)
    app = local_github.create_app(None, None, APP_PERMISSIONS, EVENTS)
    installed = local_github.install(app, repository)
    mona = local_github.as_user("mona", repository, "write")
    issue = mona.post(f"/repos/{repository.full_name}/issues", {"title": "Sums lose the carry"})["number"]
    return Place(local_github, app, repository, installed.id, issue, tmp_path)


@asynccontextmanager
async def built(place: Place, state: Path | None = None) -> AsyncIterator[Built]:
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))

    settings = GitHubSettings(
        str(place.app.id),
        place.app.private_key_pem,
        api_url=place.github.url,
        web_url=place.github.git_url,
        write_interval_s=0,
    )
    home = state or place.state
    async with aiohttp.ClientSession() as session:
        app = Installations(session, settings, time.time, sleep)
        remote = GitRemote(home, settings.web_url, app.git_token)
        ledgers = Ledgers(home, remote, FileCheckpoints(home / "checkpoints"))
        checks, comments = CheckRuns(settings.app_id, time.time), Comments(app.login)
        store = Store(f"sqlite:///{home / 'state.db'}", lasting=False)
        store.put(results.run().id, POLICY, load_policy({}, None))
        gate = GitHubGate(app, remote, ledgers, checks, HumanReviews(store, ledgers, time.time))
        forge = GitHubForge(app, remote, ledgers, gate, checks, comments)
        try:
            yield Built(forge, gate, app, ledgers, remote, InstallationView(app, comments, place.installation))
        finally:
            store.close()


def a_run(place: Place, **changes: Any) -> Run:
    fields = {
        "repository": place.repository.full_name,
        "installation": place.installation,
        "issue": place.issue,
        "workflow": f"issue-{place.issue}",
        "base_commit": place.repository.head,
        "created_ms": int(time.time() * 1000),
    }
    return results.run(**{**fields, **changes})


def a_winner(git_dir: Path, base: str) -> tuple[str, str]:
    blob = (
        run_git(git_dir, "hash-object", "-w", "--stdin", stdin=b"def add(a, b):\n    return a + b\n").decode().strip()
    )
    listed = run_git(git_dir, "ls-tree", base).replace(
        run_git(git_dir, "rev-parse", f"{base}:sums.py").strip(), blob.encode()
    )
    tree = run_git(git_dir, "mktree", stdin=listed).decode().strip()
    who = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in WHO.items()}
    return run_git(git_dir, "commit-tree", tree, "-p", base, "-m", "winner", env=who).decode().strip(), tree


WHO = {"NAME": "optr", "EMAIL": "optr@localhost", "DATE": "1795000000 +0000"}


def selected(run: Run, tree: str) -> Draft:
    body = {"selectedOptr": "codex", "commit": run.head_commit, "tree": tree}
    return Draft(f"{RUN}/OPTR_SELECTED", "OPTR_SELECTED", run.workflow, RUN, "optr", 1_795_000_000_000, body)


async def recorded(made: Built, place: Place) -> tuple[Run, RunResult]:
    """A run whose winner is on the ledger."""
    run = a_run(place)
    git_dir = await made.forge.fetch(run)
    commit, tree = a_winner(git_dir, run.base_commit)
    run = run.model_copy(update={"head_commit": commit, "head_tree": tree})
    output = {f"datalake/workflows/{run.workflow}/plan.json": b"{}\n"}
    receipt = receipt_of(await made.forge.append(run, [selected(run, tree)], output), f"{RUN}/OPTR_SELECTED")
    return run, a_result(run, receipt, commit, tree)


def a_result(run: Run, receipt: Receipt | None, commit: str | None, tree: str | None, **changes: Any) -> RunResult:
    fields: dict[str, Any] = {
        "workflow": run.workflow,
        "base_commit": run.base_commit,
        "commit": commit,
        "tree": tree,
        "receipt": receipt,
        "links": {},
    }
    return results.result(**{**fields, **changes})


def test_fetch_mirrors_branches_and_the_default_branch(place: Place) -> None:
    async def whole() -> None:
        async with built(place) as made:
            git_dir = await made.forge.fetch(a_run(place))
            assert git_dir == place.state / "repos" / f"{place.repository.full_name.lower()}.git"
            assert run_git(git_dir, "symbolic-ref", "HEAD").decode().strip() == "refs/heads/main"
            assert run_git(git_dir, "rev-parse", "HEAD").decode().strip() == place.repository.head
            token = await made.installations.git_token(place.installation, place.repository.full_name)
            kept = b"".join(path.read_bytes() for path in git_dir.rglob("*") if path.is_file())
            assert token.encode() not in kept

    asyncio.run(whole())


def test_a_run_from_label_to_green_gate(place: Place) -> None:
    async def whole() -> None:
        async with built(place) as made:
            await made.forge.progress(a_run(place), a_result(a_run(place), None, None, None, state=RunState.EXECUTING))
            run, result = await recorded(made, place)
            await made.forge.progress(run, result)
            published = await made.forge.publish(run, result)
            assert published.pull_request
            run = run.model_copy(update={"pull_request": published.pull_request, "state": RunState.IN_REVIEW})
            await made.forge.progress(run, published.model_copy(update={"state": RunState.IN_REVIEW}))
            await check_what_people_see(made, place, run, published)

    asyncio.run(whole())


async def check_what_people_see(made: Built, place: Place, run: Run, published: RunResult) -> None:
    (comment,) = place.comments()
    assert comment["body"].startswith(f"<!-- optr:run={RUN} -->")
    assert "**in review**" in comment["body"]
    assert published.links["pull request"] in comment["body"]
    (check,) = place.checks(run.base_commit, "optr")
    assert (check["status"], check["conclusion"], check["external_id"]) == ("completed", "success", RUN)
    assert check["output"]["title"] == "codex selected"
    (pull,) = place.pulls()
    assert pull["head"]["sha"] == run.head_commit
    assert f"Closes #{run.issue}" in pull["body"]
    assert published.receipt is not None
    assert published.receipt.root in pull["body"]
    (gate,) = place.checks(run.head_commit, "optr/gate")
    assert gate["conclusion"] == "action_required"
    assert "approvals_missing" in gate["output"]["summary"]
    await check_approval(made, place, run, pull)


async def check_approval(made: Built, place: Place, run: Run, pull: Any) -> None:
    for login, role, expected in (
        ("mona", "write", "action_required"),
        ("passer-by", "read", "action_required"),
        ("rae", "write", "success"),
    ):
        place.person(login, role).post(
            f"{place.path}/pulls/{pull['number']}/reviews", {"event": "APPROVE", "commit_id": run.head_commit}, 200
        )
        await made.gate.evaluate(run, pull)
        (gate,) = place.checks(run.head_commit, "optr/gate")
        assert gate["conclusion"] == expected, gate["output"]


def test_a_push_to_the_winner_closes_the_gate(place: Place) -> None:
    async def whole() -> None:
        async with built(place) as made:
            run, result = await recorded(made, place)
            published = await made.forge.publish(run, result)
            clone = place.state / "clone"
            token = place.github.user("rae", place.repository, "write").token
            place.github.git("clone", "-q", place.address, str(clone), token=token)
            place.github.git("switch", "-q", str(published.branch or "").replace("issue-7", run.workflow), cwd=clone)
            (clone / "backdoor.py").write_text("pass\n")
            place.github.git("add", ".", cwd=clone)
            who = ("-c", "user.name=rae", "-c", "user.email=rae@localhost")
            place.github.git(*who, "commit", "-q", "-m", "more", cwd=clone)
            place.github.git("push", "-q", "origin", "HEAD", cwd=clone, token=token)
            head = place.github.git("rev-parse", "HEAD", cwd=clone)
            (pull,) = place.pulls()
            await made.gate.evaluate(run, pull)
            (gate,) = place.checks(head, "optr/gate")
            assert gate["conclusion"] == "failure"
            assert "head_not_recorded" in gate["output"]["summary"]

    asyncio.run(whole())


def test_a_tampered_ledger_closes_the_gate_and_stops_appends(place: Place) -> None:
    async def whole() -> None:
        async with built(place) as made:
            run, result = await recorded(made, place)
            published = await made.forge.publish(run, result)
            assert published.receipt is not None
            rewrite_datalake(place)
            (pull,) = place.pulls()
            await made.gate.evaluate(run, pull)
            (gate,) = place.checks(run.head_commit, "optr/gate")
            assert gate["conclusion"] == "failure"
            assert "ledger_unverified" in gate["output"]["summary"]
            with pytest.raises(LedgerRefusedError):
                await made.forge.append(run, [opened(run)], {})

    asyncio.run(whole())


def opened(run: Run) -> Draft:
    return Draft(f"{RUN}/PR_OPENED", "PR_OPENED", run.workflow, RUN, "optr", 1_795_000_000_001, {})


def rewrite_datalake(place: Place) -> None:
    """What an administrator could do: replace the branch by another history."""
    work = place.state / "rewritten"
    token = place.github.user(place.repository.owner).token
    place.github.git("clone", "-q", "-b", "datalake", place.address, str(work), token=token)
    ledger = work / "datalake" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"codex", b"claud"))
    who = ("-c", "user.name=eve", "-c", "user.email=eve@localhost")
    place.github.git(*who, "commit", "-q", "--amend", "-a", "--no-edit", cwd=work)
    place.github.git("push", "-q", "--force", "origin", "HEAD", cwd=work, token=token)


def test_the_record_is_verified_from_a_fresh_clone(place: Place) -> None:
    async def whole() -> str:
        async with built(place) as made:
            run, result = await recorded(made, place)
            again = await made.forge.append(run, [selected(run, run.head_tree)], {})
            assert result.receipt is not None
            assert (again.size, again.root, again.commit) == (1, result.receipt.root, result.receipt.commit)
            return str(made.forge.signer(run).vkey)

    trusted = asyncio.run(whole())
    clone = place.state / "auditor.git"
    token = place.github.user("rae", place.repository, "read").token
    place.github.git(
        "clone", "-q", "--bare", "-b", "datalake", "--single-branch", place.address, str(clone), token=token
    )
    found = verify_branch(clone, trusted=trusted)
    assert found.problem is None
    assert found.origin == f"optr/{place.repository.full_name.lower()}"


def test_two_writers_of_one_ledger_both_get_on(place: Place) -> None:
    """Two processes that share the state, each with a cache that does not know of the other's line."""

    async def whole() -> None:
        async with built(place) as first, built(place) as second:
            run, _ = await recorded(first, place)
            done = []
            for n, writer in enumerate([first, second, first, second]):
                note = Draft(f"{RUN}/NOTE/{n}", "NOTE", run.workflow, RUN, "optr", 1_795_000_000_002, {})
                done.append(await writer.forge.append(run, [note], {}))
            assert [one.seqs for one in done] == [(1,), (2,), (3,), (4,)]

    asyncio.run(whole())


LOST = [
    ("POST", r"/pulls$", "bad_gateway_after"),
    ("POST", r"/pulls$", "drop_after"),
    ("POST", r"/check-runs$", "bad_gateway_after"),
    ("POST", r"/comments$", "drop_after"),
    ("PATCH", r"/check-runs/", "bad_gateway"),
    ("GET", r"/pulls", "bad_gateway"),
    ("POST", r"/pulls$", "secondary_limit"),
    ("POST", r"/comments$", "too_many"),
    ("GET", r"/reviews", "unauthorized"),
    ("POST", r"/access_tokens$", "too_many"),
]


@pytest.mark.parametrize(("method", "path", "effect"), LOST)
def test_whatever_gets_lost_there_is_one_of_each(place: Place, method: str, path: str, effect: str) -> None:
    fault = place.github.fault(effect, method=method, path=path)

    async def whole() -> None:
        async with built(place) as made:
            await made.forge.progress(a_run(place), a_result(a_run(place), None, None, None, state=RunState.EXECUTING))
            run, result = await recorded(made, place)
            await made.forge.publish(run, result)
            await made.forge.progress(run, result)
        async with built(place) as restarted:  # nothing remembered: everything is looked up
            published = await restarted.forge.publish(run, result)
            await restarted.forge.progress(run, published.model_copy(update={"state": RunState.IN_REVIEW}))
        assert len(place.comments()) == 1
        assert len(place.checks(run.base_commit, "optr")) == 1
        assert len(place.checks(run.head_commit, "optr/gate")) == 1
        assert len(place.pulls()) == 1

    asyncio.run(whole())
    hits = {rule["id"]: rule["hits"] for rule in place.github.knob("faults/list")["rules"]}
    assert hits[fault] == 1


def test_what_did_not_change_is_not_written_again(place: Place) -> None:
    async def whole() -> None:
        async with built(place) as made:
            run, result = await recorded(made, place)
            published = await made.forge.publish(run, result)
            await made.forge.progress(run, published)
            before = writes(place)
            await made.forge.progress(run, published)
            assert writes(place) == before
        async with built(place) as restarted:
            await restarted.forge.progress(run, published)
            await restarted.forge.publish(run, result)
            assert [one for one in writes(place)[len(before) :] if "/access_tokens" not in one] == []

    asyncio.run(whole())


def writes(place: Place) -> list[str]:
    logged = place.github.knob("requests", repository=place.repository.full_name)["requests"]
    unsafe = [one for one in logged if one["method"] in {"POST", "PATCH", "PUT", "DELETE"}]
    return [f"{one['method']} {one['path']}" for one in unsafe if "git-" not in one["path"]]


def test_a_copied_marker_is_not_ours(place: Place) -> None:
    place.person("eve").post(f"{place.path}/issues/{place.issue}/comments", {"body": f"<!-- optr:run={RUN} -->\nmine"})

    async def whole() -> None:
        async with built(place) as made:
            run = a_run(place)
            await made.forge.progress(run, a_result(run, None, None, None, state=RunState.EXECUTING))

    asyncio.run(whole())
    theirs, ours = place.comments()
    assert theirs["body"].endswith("mine")
    assert "### OPTR" in ours["body"]


def test_progress_never_raises_for_a_persons_sake(place: Place) -> None:
    place.github.fault("server_error", method="POST", path="/comments$", times=9)

    async def whole() -> None:
        async with built(place) as made:
            run = a_run(place)
            await made.forge.progress(run, a_result(run, None, None, None, state=RunState.EXECUTING))

    asyncio.run(whole())
    assert place.comments() == []


def test_a_branch_that_is_somebody_elses_is_not_overwritten(place: Place) -> None:
    async def whole() -> None:
        async with built(place) as made:
            run, result = await recorded(made, place)
            token = place.github.user("rae", place.repository, "write").token
            clone = place.state / "squatter"
            place.github.git("clone", "-q", place.address, str(clone), token=token)
            who = ("-c", "user.name=rae", "-c", "user.email=rae@localhost")
            place.github.git(*who, "commit", "-q", "--allow-empty", "-m", "mine", cwd=clone)
            place.github.git("push", "-q", "origin", f"HEAD:refs/heads/optr/{run.workflow}", cwd=clone, token=token)
            with pytest.raises(GitHubError) as caught:
                await made.forge.publish(run, result)
            assert caught.value.code is GitHubErrorCode.GIT_REFUSED

    asyncio.run(whole())


def test_handlers_see_permissions_and_speak_once(place: Place) -> None:
    place.person("rae", "write")
    place.person("passer-by", "read")
    name = place.repository.full_name

    async def whole() -> None:
        async with built(place) as made:
            assert await made.view.permission(name, "rae") is Permission.WRITE
            assert await made.view.permission(name, "passer-by") is Permission.READ
            assert not (await made.view.permission(name, "nobody-at-all")).allows(Permission.WRITE)
            for _ in range(2):
                await made.view.comment_once(name, place.issue, "refused-eve", "No, thank you.")
                await made.view.react(name, issue=place.issue, comment=None, content="eyes")

    asyncio.run(whole())
    (comment,) = place.comments()
    assert comment["body"] == "<!-- optr:refused-eve -->\nNo, thank you."
    reactions = place.person("mona").get(f"{place.path}/issues/{place.issue}/reactions")
    assert [one["content"] for one in reactions] == ["eyes"]


def test_no_git_child_has_the_token_in_its_arguments(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    start = subprocess.Popen.__init__

    def spy(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        seen.append(" ".join(map(str, args)))
        start(self, args, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", spy)

    async def whole() -> str:
        async with built(place) as made:
            run, result = await recorded(made, place)
            await made.forge.publish(run, result)
            return await made.installations.git_token(place.installation, place.repository.full_name)

    token = asyncio.run(whole())
    assert any(" push " in f" {line} " for line in seen)
    assert not any(token in line or "Basic" in line or "x-access-token" in line for line in seen)
