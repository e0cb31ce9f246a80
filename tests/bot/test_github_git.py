import asyncio
import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.github.git import (
    GitRemote,
    NameRefusedError,
    checked_commit,
    checked_ref,
    checked_repository,
    remote_environment,
)


@pytest.mark.parametrize("name", ["octo/sums", "Octo-Org/a.b_c-d", "emu_corp/x", "o/.github"])
def test_repository_names_are_compared_in_lower_case(name: str) -> None:
    assert checked_repository(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "sums",
        "octo/",
        "/sums",
        "octo/..",
        "octo/.",
        "../sums",
        "octo/a/b",
        "octo/a b",
        "octo/a\n",
        "octo/sums.git",
        "-x/y",
        "octo/s\u2010ums",
        "octo/%2e%2e",
        "o\x00/y",
        "octo\\sums/y",
    ],
)
def test_other_names_never_become_paths(name: str) -> None:
    remote = GitRemote(Path("/state"), "https://github.com", lambda *_: pytest.fail("no token for a bad name"))
    for use in (remote.path, remote.url, remote.lock):
        with pytest.raises(NameRefusedError, match="expected owner/name"):
            use(name)


@given(st.text(max_size=40))
def test_a_path_never_leaves_the_state(name: str) -> None:
    remote = GitRemote(Path("/state"), "https://github.com", lambda *_: pytest.fail("no token"))
    try:
        path = remote.path(name)
    except NameRefusedError:
        return
    assert path.parent.parent == Path("/state/repos")
    assert ".." not in path.parts


@pytest.mark.parametrize(
    "ref",
    ["main", "refs/heads/", "refs/heads/-x", "refs/heads/a..b", "refs/heads/a.lock", "refs/heads/a b", "refs/tags/x"],
)
def test_only_plain_branches_are_pushed(ref: str) -> None:
    with pytest.raises(NameRefusedError):
        checked_ref(ref)


def test_our_branches_are_plain() -> None:
    for ref in ("refs/heads/datalake", "refs/heads/optr/issue-7", "refs/heads/optr/issue-7.2"):
        assert checked_ref(ref) == ref


@pytest.mark.parametrize("commit", ["", "HEAD", "a" * 39, "A" * 40, "+" + "a" * 40, "a" * 40 + "\n"])
def test_only_full_ids_are_commits(commit: str) -> None:
    with pytest.raises(NameRefusedError):
        checked_commit(commit)


def test_the_header_is_bound_to_the_host() -> None:
    made = remote_environment("https://github.com/", "ghs_long.token-value_" + "x" * 900)
    count = int(made["GIT_CONFIG_COUNT"])
    config = {made[f"GIT_CONFIG_KEY_{n}"]: made[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}
    header = config.pop("http.https://github.com/.extraHeader")
    scheme, _, encoded = header.removeprefix("Authorization: ").partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).startswith(b"x-access-token:ghs_long.token-value_")
    assert "\n" not in header
    assert config["http.followRedirects"] == "false"
    assert made["GIT_ALLOW_PROTOCOL"] == "https"


def test_a_remote_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    async def token(_installation: int, _repository: str, /, *, pushes: bool = True, refused: str = "") -> str:
        assert not pushes, "reading needs no token that can push"
        return refused or "ghs_secret"

    async def whole() -> str:
        remote = GitRemote(tmp_path, "http://127.0.0.1:9", token)
        with pytest.raises(Exception, match="github_git_failed") as caught:
            await remote.fetch(1, "octo/sums")
        return str(caught.value)

    said = asyncio.run(whole())
    assert "OPTR_GITHUB_URL" in said
    assert "ghs_secret" not in said
    assert base64.b64encode(b"x-access-token:ghs_secret").decode() not in said
