import asyncio
import datetime as dt
import logging
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.installations import GitHubSettings, Installations
from bot.github.permissions import API_PERMISSIONS, GIT_PERMISSIONS, READING_PERMISSIONS
from bot.github.tokens import AppJwt, AppKeyError, InstallationToken, Scope
from execution.whose import working_for
from tests.bot.api_server import ApiServer, Asked, Clock, Reply, serving


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def claims_of(encoded: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    # The clock of these tests is not the machine's.
    return dict(jwt.decode(encoded, key.public_key(), ["RS256"], {"verify_exp": False, "verify_iat": False}))


class Mint:
    """Mints tokens like GitHub's: an hour each, of any length."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.minted = 0

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/app":
            return Reply(body={"slug": "optr-test"})
        if asked.path == "/installation/token":
            return Reply(204, raw=b"")
        if not asked.path.endswith("/access_tokens"):
            return Reply(body={"by": asked.headers["Authorization"]})
        self.minted += 1
        expires = dt.datetime.fromtimestamp(self.clock() + 3600, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Reply(201, {"token": f"ghs_{self.minted}_" + "x" * 600 * self.minted, "expires_at": expires})


def with_app(pem: str, clock: Clock, use: Any, *answers: Any) -> Any:
    async def whole() -> Any:
        async with serving(*answers) as server, aiohttp.ClientSession() as session:
            settings = GitHubSettings("7", pem, api_url=server.url, write_interval_s=0)
            return await use(Installations(session, settings, clock, clock.sleep), server)

    return asyncio.run(whole())


def test_the_jwt_is_short_backdated_and_ours(key: rsa.RSAPrivateKey, pem: str) -> None:
    clock = Clock()
    app = AppJwt("7", pem, clock)
    claims = claims_of(app.encode(), key)
    now = int(clock())
    assert claims == {"iat": now - 60, "exp": now + 540, "iss": "7"}
    assert app.encode() == app.encode()
    clock.now += 430
    renewed = claims_of(app.encode(), key)
    assert renewed["exp"] == now + 430 + 540


@pytest.mark.parametrize(
    "text", ["", "not a key", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"]
)
def test_a_key_that_cannot_sign_is_refused_at_once(text: str) -> None:
    with pytest.raises(AppKeyError, match="OPTR_PRIVATE_KEY_FILE"):
        AppJwt("7", text, Clock())


def test_tokens_are_narrowed_kept_and_renewed_before_they_end(pem: str) -> None:
    clock = Clock()
    mint = Mint(clock)

    async def use(app: Installations, server: ApiServer) -> None:
        first = await app.git_token(42, "octo/sums")
        assert await app.git_token(42, "octo/sums") == first
        asked = server.asked[0]
        assert asked.path == "/app/installations/42/access_tokens"
        assert asked.body == {"repositories": ["sums"], "permissions": GIT_PERMISSIONS}
        assert asked.headers["Authorization"].startswith("Bearer ey")
        clock.now += 3600 - 601
        assert await app.git_token(42, "octo/sums") == first
        clock.now += 2
        second = await app.git_token(42, "octo/sums")
        assert second != first
        assert len(second) > 1000

    with_app(pem, clock, use, mint)
    assert mint.minted == 2


def test_scopes_do_not_share_tokens(pem: str) -> None:
    clock = Clock()
    mint = Mint(clock)

    async def use(app: Installations, server: ApiServer) -> None:
        answers = {
            (await app.client(1, "octo/sums").getitem("/x"))["by"],
            (await app.client(1, "octo/other").getitem("/y"))["by"],
            (await app.client(2, "octo/sums").getitem("/z"))["by"],
            f"token {await app.git_token(1, 'octo/sums')}",
            f"token {await app.git_token(1, 'octo/sums', pushes=False)}",
        }
        assert len(answers) == 5
        assert server.asked[-1].body == {"repositories": ["sums"], "permissions": READING_PERMISSIONS}
        assert server.asked[0].body == {"repositories": ["sums"], "permissions": API_PERMISSIONS}

    with_app(pem, clock, use, mint)


def test_many_at_once_mint_one(pem: str) -> None:
    clock = Clock()
    mint = Mint(clock)

    async def use(app: Installations, _: ApiServer) -> None:
        assert len(set(await asyncio.gather(*(app.git_token(1, "octo/sums") for _ in range(20))))) == 1

    with_app(pem, clock, use, mint)
    assert mint.minted == 1


def test_a_refused_token_is_minted_anew_once_for_all(pem: str) -> None:
    clock = Clock()
    mint = Mint(clock)
    refused: list[str] = []

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/x") and asked.headers["Authorization"].startswith("token ghs_1_"):
            refused.append(asked.path)
            return Reply(401, {"message": "Bad credentials"})
        return mint(asked)

    async def use(app: Installations, _: ApiServer) -> None:
        client = app.client(1, "octo/sums")
        said = await asyncio.gather(*(client.getitem(f"/x{n}") for n in range(5)))
        assert {one["by"][:12] for one in said} == {"token ghs_2_"}

    with_app(pem, clock, use, answer)
    assert len(refused) == 5
    assert mint.minted == 2


def test_revoking_forgets_and_tells_github(pem: str) -> None:
    clock = Clock()
    mint = Mint(clock)

    async def use(app: Installations, server: ApiServer) -> None:
        with working_for("run-1"):
            token = await app.git_token(1, "octo/sums")
            await app.client(1, "octo/sums").getitem("/x")
        with working_for("run-2"):
            other = await app.git_token(1, "octo/sums")
        assert other != token
        assert await app.revoke("run-1") == 0
        gone = [asked.headers["Authorization"] for asked in server.asked if asked.method == "DELETE"]
        assert server.asked[-1].path == "/installation/token"
        assert f"token {token}" in gone
        assert len(gone) == 2
        assert await app.revoke("run-1") == 0
        assert len([asked for asked in server.asked if asked.method == "DELETE"]) == 2
        with working_for("run-2"):
            assert await app.git_token(1, "octo/sums") == other
        with working_for("run-1"):
            assert await app.git_token(1, "octo/sums") != token
        assert await app.revoke() == 0
        assert not app.tokens.holders()

    with_app(pem, clock, use, mint)


def test_a_stop_revokes_what_an_interrupted_giver_back_had_dropped(pem: str) -> None:
    clock = Clock()

    async def use(app: Installations, server: ApiServer) -> None:
        with working_for("run-1"):
            tokens = {await app.git_token(1, "octo/sums"), await app.git_token(1, "octo/tens")}
        giving = asyncio.create_task(app.revoke("run-1"))
        await asyncio.sleep(0)
        giving.cancel()
        await asyncio.wait([giving])
        assert not app.tokens.holders()
        assert await app.revoke() == 0
        gone = [asked.headers["Authorization"] for asked in server.asked if asked.method == "DELETE"]
        assert {one.removeprefix("token ") for one in gone} == tokens
        assert await app.revoke() == 0

    with_app(pem, clock, use, Mint(clock))


def test_a_stop_revokes_a_token_whose_asker_was_cancelled_while_it_was_made(pem: str) -> None:
    clock = Clock()

    async def use(app: Installations, server: ApiServer) -> None:
        asker = asyncio.create_task(app.git_token(1, "octo/sums"))
        while not server.asked:  # noqa: ASYNC110 - GitHub has been asked and has not answered yet
            await asyncio.sleep(0)
        asker.cancel()
        await asyncio.wait([asker])
        assert await app.revoke() == 0
        gone = [asked.headers["Authorization"] for asked in server.asked if asked.method == "DELETE"]
        assert [one[:12] for one in gone] == ["token ghs_1_"]

    with_app(pem, clock, use, Mint(clock))


def test_a_dead_token_counts_as_revoked(pem: str) -> None:
    clock = Clock()
    mint = Mint(clock)

    def answer(asked: Asked) -> Reply:
        return Reply(401, {"message": "Bad credentials"}) if asked.method == "DELETE" else mint(asked)

    async def use(app: Installations, _: ApiServer) -> None:
        await app.git_token(1, "octo/sums")
        assert await app.revoke() == 0

    with_app(pem, clock, use, answer)


@pytest.mark.parametrize("reply", [Reply(500, {}), Reply(drop=True), Reply(403, {"message": "no"})])
def test_a_token_that_cannot_be_revoked_is_counted_and_harms_nobody(
    pem: str, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    mint = Mint(clock)

    async def use(app: Installations, _: ApiServer) -> None:
        await app.git_token(1, "octo/sums")
        assert await app.revoke() == 1
        assert await app.revoke() == 0

    with_app(pem, clock, use, lambda asked: reply if asked.method == "DELETE" else mint(asked))
    assert "a token is not revoked" in caplog.text
    assert "ghs_" not in caplog.text


def test_a_token_that_has_ended_by_itself_is_not_revoked(pem: str) -> None:
    clock = Clock()

    async def use(app: Installations, server: ApiServer) -> None:
        await app.git_token(1, "octo/sums")
        clock.now += 3600
        assert await app.revoke() == 0
        assert [asked.method for asked in server.asked] == ["POST"]

    with_app(pem, clock, use, Mint(clock))


def test_an_installation_that_is_gone_is_a_typed_error(pem: str) -> None:
    async def use(app: Installations, _: ApiServer) -> None:
        with pytest.raises(GitHubError) as caught:
            await app.git_token(1, "octo/sums")
        assert caught.value.code is GitHubErrorCode.NOT_FOUND

    with_app(pem, Clock(), use, Reply(404, {"message": "Not Found"}))


def test_an_answer_without_a_token_is_a_typed_error(pem: str) -> None:
    async def use(app: Installations, _: ApiServer) -> None:
        with pytest.raises(GitHubError) as caught:
            await app.git_token(1, "octo/sums")
        assert caught.value.code is GitHubErrorCode.UNREADABLE

    with_app(pem, Clock(), use, Reply(201, {"token": "ghs_x"}))


def test_our_login_is_asked_once(pem: str) -> None:
    async def use(app: Installations, server: ApiServer) -> None:
        assert await app.login() == "optr-test[bot]"
        assert await app.login() == "optr-test[bot]"
        assert len(server.asked) == 1

    with_app(pem, Clock(), use, Mint(Clock()))


def test_nothing_shows_a_secret(pem: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "ghs_1" not in repr(InstallationToken("ghs_1", 0.0))
    settings = GitHubSettings("7", pem)
    assert "PRIVATE KEY" not in repr(settings)
    assert "sums" in repr(Scope.of(1, "octo/sums", GIT_PERMISSIONS))
    clock = Clock()

    async def use(app: Installations, _: ApiServer) -> None:
        await app.git_token(1, "octo/sums")
        await app.client(1, "octo/sums").getitem("/x")

    with_app(pem, clock, use, Mint(clock))
    assert "ghs_" not in caplog.text
    assert "Bearer" not in caplog.text
