"""A ready-made scene for tests: an App on a private repository, a writer, an endpoint that hears webhooks."""

from dataclasses import dataclass
from pathlib import Path

from tests.github.client import RestClient
from tests.github.receiver import WebhookReceiver
from tests.github.server import App, Installed, LocalGitHub, Repository, unique_name

SECRET = "webhook secret of the tests"
PERMISSIONS = {
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "checks": "write",
    "statuses": "write",
    "merge_queues": "read",
}
EVENTS = (
    *("issues", "issue_comment", "label", "pull_request", "pull_request_review", "push", "create", "delete"),
    *("check_run", "check_suite", "status", "merge_group"),
)
FILES = {"README.md": b"# Sample\n", "src/main.py": b"print(1)\n", "tests/test_main.py": b"assert True\n"}


@dataclass(frozen=True)
class Scene:
    """An App installed on a private repository of ``acme``, with a writer and a listening webhook endpoint."""

    github: LocalGitHub
    app: App
    repository: Repository
    installed: Installed
    hooks: WebhookReceiver
    secret: str = SECRET

    @property
    def path(self) -> str:
        return f"/repos/{self.repository.full_name}"

    @property
    def clone_url(self) -> str:
        return f"{self.github.git_url}/{self.repository.full_name}.git"

    def bot(self, **narrowed: object) -> RestClient:
        return self.github.as_installation(self.app, self.installed, **narrowed)

    def token(self, **narrowed: object) -> str:
        return self.github.installation_token(self.app, self.installed, **narrowed)

    def jwt(self) -> RestClient:
        return self.github.as_app(self.app)

    def human(self, login: str = "dev", role: str = "write") -> RestClient:
        return self.github.as_user(login, self.repository, role)

    def owner(self) -> RestClient:
        return self.github.as_user(self.repository.owner)

    def clone(self, directory: Path, token: str) -> Path:
        target = directory / unique_name("clone")
        self.github.git("clone", "--quiet", self.clone_url, str(target), token=token)
        self.github.git("config", "user.name", "Dev", cwd=target)
        self.github.git("config", "user.email", "dev@example.com", cwd=target)
        return target

    def commit(self, work: Path, path: str, data: bytes, message: str = "Change") -> str:
        target = work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.github.git("add", "--all", cwd=work)
        self.github.git("commit", "--quiet", "-m", message, cwd=work)
        return self.github.git("rev-parse", "HEAD", cwd=work)

    def push_branch(self, directory: Path, branch: str, path: str = "src/main.py", data: bytes = b"print(2)\n") -> str:
        """Push a branch with one commit through stock git and return its head."""
        token = self.token()
        work = self.clone(directory, token)
        self.github.git("checkout", "--quiet", "-b", branch, cwd=work)
        head = self.commit(work, path, data)
        self.github.git("push", "--quiet", "origin", branch, cwd=work, token=token)
        return head


def make_scene(github: LocalGitHub, hooks: WebhookReceiver) -> Scene:
    """Set the scene: one App, one repository of ``acme``, installed."""
    app = github.create_app(hooks.url, SECRET, PERMISSIONS, EVENTS)
    repository = github.create_repository("acme", unique_name("repo"), FILES)
    return Scene(github, app, repository, github.install(app, repository), hooks)
