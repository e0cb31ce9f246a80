import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.github.client import API_VERSION, Exchange, GitHubClient, graphql_url
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.policy import (
    RATE_LIMIT_ATTEMPTS_MAX,
    RATE_LIMIT_FALLBACK_S,
    RATE_LIMIT_WAIT_S_MAX,
    Answer,
    judge,
)
from tests.bot.api_server import ApiServer, Asked, Badge, Clock, Reply, client_of, serving

Use = Callable[[GitHubClient, ApiServer], Awaitable[Any]]


def run(use: Use, *answers: Any, clock: Clock | None = None, **options: Any) -> Any:
    async def whole() -> Any:
        async with serving(*answers) as server, client_of(server, clock or Clock(), **options) as client:
            return await use(client, server)

    return asyncio.run(whole())


def failing(use: Use, *answers: Any, clock: Clock | None = None, **options: Any) -> GitHubError:
    with pytest.raises(GitHubError) as caught:
        run(use, *answers, clock=clock, **options)
    return caught.value


async def get(client: GitHubClient, _: ApiServer) -> Any:
    return await client.getitem("/thing")


async def post(client: GitHubClient, _: ApiServer) -> Any:
    return await client.post("/thing", data={"a": 1})


def test_every_call_carries_version_and_credential() -> None:
    async def use(client: GitHubClient, server: ApiServer) -> None:
        assert await client.getitem("/thing") == {"ok": True}
        asked = server.asked[0]
        assert asked.headers["X-GitHub-Api-Version"] == API_VERSION
        assert asked.headers["Authorization"] == "token secret-0"
        assert asked.headers["User-Agent"] == "optr"

    run(use, Reply(body={"ok": True}))


def test_the_base_url_of_an_enterprise_server_is_kept() -> None:
    async def use(client: GitHubClient, server: ApiServer) -> None:
        await client.getitem("/repos/{o}/x", {"o": "a/b"})
        assert server.asked[0].path == "/api/v3/repos/a%2Fb/x"

    run(use, Reply(body={}), base="/api/v3")


def test_attempts_are_observed() -> None:
    seen: list[Exchange] = []
    headers = {"x-github-request-id": "ABC", "x-ratelimit-remaining": "41"}
    run(get, Reply(502, {}), Reply(body={}, headers=headers), observe=seen.append)
    assert [(e.status, e.attempt, e.path, e.remaining) for e in seen] == [
        (502, 1, "/thing", None),
        (200, 2, "/thing", 41),
    ]
    assert seen[1].request_id == "ABC"


def test_secondary_limit_waits_as_told_and_repeats_any_method() -> None:
    clock = Clock()
    limited = Reply(403, {"message": "You have exceeded a secondary rate limit"}, {"retry-after": "7"})
    assert run(post, limited, Reply(201, {"id": 1}), clock=clock) == {"id": 1}
    assert clock.slept == [7.0]


def test_429_without_advice_waits_a_minute_then_two() -> None:
    clock = Clock()
    assert run(post, Reply(429, {}), Reply(429, {}), Reply(201, {"id": 1}), clock=clock) == {"id": 1}
    assert clock.slept == [60.0, 120.0]


def test_primary_limit_waits_for_the_reset() -> None:
    clock = Clock()
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-limit": "5000", "x-ratelimit-reset": str(int(clock.now) + 90)}
    assert run(get, Reply(403, {"message": "API rate limit exceeded"}, headers), Reply(body=5), clock=clock) == 5
    assert clock.slept == [91.0]


def test_a_limit_of_an_hour_is_raised_not_slept() -> None:
    clock = Clock()
    error = failing(get, Reply(403, {}, {"retry-after": "3600"}), clock=clock)
    assert error.code is GitHubErrorCode.RATE_LIMITED
    assert error.retry_after_s == 3600
    assert clock.slept == []


def test_while_a_limit_stands_nobody_calls() -> None:
    async def use(client: GitHubClient, server: ApiServer) -> None:
        for _ in range(2):
            with pytest.raises(GitHubError, match="github_rate_limited"):
                await client.getitem("/thing")
        assert len(server.asked) == 1

    run(use, Reply(429, {}, {"retry-after": "3600"}))


def test_a_limit_that_never_ends_is_given_up() -> None:
    async def use(client: GitHubClient, server: ApiServer) -> None:
        with pytest.raises(GitHubError) as caught:
            await client.getitem("/thing")
        assert caught.value.code is GitHubErrorCode.RATE_LIMITED
        assert len(server.asked) == RATE_LIMIT_ATTEMPTS_MAX

    run(use, Reply(429, {}, {"retry-after": "1"}))


def test_a_plain_403_is_not_a_limit() -> None:
    clock = Clock()
    error = failing(get, Reply(403, {"message": "Resource not accessible by integration"}), clock=clock)
    assert error.code is GitHubErrorCode.FORBIDDEN
    assert "app.yml" in error.hint
    assert clock.slept == []


def test_a_lost_post_is_not_repeated_and_says_so() -> None:
    for fault in (Reply(502, {}), Reply(500, raw=b""), Reply(drop=True)):
        clock = Clock()
        error = failing(post, fault, clock=clock)
        assert error.ambiguous
        assert error.code in {GitHubErrorCode.BROKEN, GitHubErrorCode.UNREACHABLE}
        assert clock.slept == []


def test_a_lost_get_is_repeated_with_growing_waits() -> None:
    clock = Clock()
    assert run(get, Reply(502, {}), Reply(500, {}), Reply(503, {}), Reply(body=1), clock=clock) == 1
    assert clock.slept == [1.0, 2.0, 4.0]


def test_a_dropped_connection_is_repeated() -> None:
    assert run(get, Reply(drop=True), Reply(drop=True), Reply(body=1)) == 1


def test_a_slow_answer_is_given_up() -> None:
    error = failing(post, Reply(wait_s=1.0), timeout_s=0.2)
    assert error.code is GitHubErrorCode.UNREACHABLE
    assert "0.2 s" in str(error)


def test_a_redirected_post_never_becomes_a_get() -> None:
    async def use(client: GitHubClient, server: ApiServer) -> None:
        with pytest.raises(GitHubError) as caught:
            await client.post("/thing", data={})
        assert caught.value.code is GitHubErrorCode.MOVED
        assert [asked.method for asked in server.asked] == ["POST"]

    run(use, Reply(301, {"message": "Moved Permanently"}, {"location": "/elsewhere"}))


def test_a_redirected_get_is_followed() -> None:
    assert run(get, Reply(301, {}, {"location": "/elsewhere"}), Reply(body="there")) == "there"


def test_a_credential_never_goes_to_another_host() -> None:
    async def use(client: GitHubClient, server: ApiServer) -> None:
        with pytest.raises(GitHubError) as caught:
            [item async for item in client.getiter("/things")]
        assert caught.value.code is GitHubErrorCode.FOREIGN
        assert len(server.asked) == 1

    run(use, Reply(body=[1], headers={"link": '<http://localhost:1/things?page=2>; rel="next"'}))


def test_a_redirect_to_another_host_loses_the_credential() -> None:
    async def whole() -> None:
        async with serving(Reply(body="other")) as other:
            away = other.url.replace("127.0.0.1", "localhost") + "/x"
            async with serving(Reply(302, {}, {"location": away})) as server, client_of(server, Clock()) as client:
                assert await client.getitem("/thing") == "other"
            assert "Authorization" not in other.asked[0].headers

    asyncio.run(whole())


def test_an_expired_token_is_renewed_once() -> None:
    badge = Badge()

    async def use(client: GitHubClient, server: ApiServer) -> None:
        assert await client.post("/thing", data={}) == {"id": 1}
        assert [asked.headers["Authorization"] for asked in server.asked] == ["token secret-0", "token secret-1"]

    run(use, Reply(401, {"message": "Bad credentials"}), Reply(201, {"id": 1}), credential=badge)


def test_a_token_that_stays_refused_is_an_error() -> None:
    error = failing(get, Reply(401, {"message": "Bad credentials"}))
    assert error.code is GitHubErrorCode.UNAUTHORISED
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=b"{not json"),
        Reply(raw=b'{"a": 1}', headers={"content-type": "application/json; charset=bogus"}),
        Reply(raw=b"\xff\xfe", headers={"content-type": "application/json; charset=utf-8"}),
        Reply(raw=b"[" * 100_000),
        Reply(599, raw=b"{}"),
    ],
)
def test_answers_that_github_never_sends_are_typed_errors(reply: Reply) -> None:
    error = failing(post, reply)
    assert error.code in {GitHubErrorCode.UNREADABLE, GitHubErrorCode.BROKEN}
    assert error.ambiguous


@pytest.mark.parametrize(("status", "code"), [(404, GitHubErrorCode.NOT_FOUND), (410, GitHubErrorCode.NOT_FOUND)])
def test_absence_has_its_code(status: int, code: GitHubErrorCode) -> None:
    assert failing(get, Reply(status, {"message": "Not Found"})).code is code


def test_a_refusal_says_which_field() -> None:
    error = failing(
        post, Reply(422, {"message": "Validation Failed", "errors": [{"field": "head", "code": "invalid"}]})
    )
    assert error.code is GitHubErrorCode.REFUSED
    assert not error.ambiguous
    assert "'head'" in str(error)
    assert error.status == 422


def test_an_unchanged_answer_costs_nothing_and_is_not_shared() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.headers.get("If-None-Match") == '"v1"':
            return Reply(304, raw=b"", headers={"etag": '"v1"'})
        return Reply(body={"labels": ["a"]}, headers={"etag": '"v1"'})

    async def use(client: GitHubClient, server: ApiServer) -> None:
        first = await client.getitem("/thing")
        first["labels"].append("mine")
        second = await client.getitem("/thing")
        second["labels"].append("mine too")
        assert await client.getitem("/thing") == {"labels": ["a"]}
        assert len(server.asked) == 3

    run(use, answer)


def test_writes_are_a_second_apart_and_reads_are_not() -> None:
    clock = Clock()

    async def use(client: GitHubClient, _: ApiServer) -> None:
        await client.getitem("/thing")
        await asyncio.gather(*(client.post("/thing", data=n) for n in range(3)))
        await client.getitem("/thing")

    run(use, Reply(body={}), clock=clock, write_interval_s=1.0)
    assert clock.slept == [1.0, 1.0]


def test_a_write_waits_for_the_answer_to_the_one_before() -> None:
    arrived = asyncio.Event()

    def slowly(_: Asked) -> Reply:
        arrived.set()
        return Reply(body={}, wait_s=0.3)

    async def use(client: GitHubClient, server: ApiServer) -> None:
        slow = [asyncio.create_task(client.post("/thing", data=n)) for n in range(2)]
        await arrived.wait()
        assert await client.getitem("/thing") == {"n": 1}
        assert [asked.method for asked in server.asked] == ["POST", "GET"], "reads go beside, writes do not"
        await asyncio.gather(*slow)

    run(use, slowly, Reply(body={"n": 1}), Reply(body={}))


def test_a_write_in_the_queue_hears_of_a_limit_that_came_up_meanwhile() -> None:
    clock = Clock()

    async def use(client: GitHubClient, server: ApiServer) -> None:
        asked = (client.post("/thing", data=n) for n in range(3))
        met = await asyncio.gather(*asked, return_exceptions=True)
        assert [getattr(error, "retry_after_s", None) for error in met] == [3600, 3600, 3600]
        assert len(server.asked) == 1

    run(use, Reply(429, {}, {"retry-after": "3600"}), clock=clock, write_interval_s=1.0)
    assert clock.slept == []


def test_graphql_keeps_the_policy() -> None:
    clock = Clock()

    async def use(client: GitHubClient, server: ApiServer) -> None:
        assert await client.graphql("query { viewer { login } }", first=1) == {"viewer": {"login": "optr"}}
        assert [asked.path for asked in server.asked] == ["/graphql", "/graphql"]
        assert server.asked[1].headers["Authorization"] == "token secret-0"
        assert server.asked[1].body["variables"] == {"first": 1}

    run(use, Reply(429, {}, {"retry-after": "3"}), Reply(body={"data": {"viewer": {"login": "optr"}}}), clock=clock)
    assert clock.slept == [3.0]


def test_a_graphql_error_is_typed() -> None:
    async def use(client: GitHubClient, _: ApiServer) -> Any:
        return await client.graphql("query { nothing }")

    assert failing(use, Reply(body={"errors": [{"message": "no such field"}]})).code is GitHubErrorCode.REFUSED
    assert failing(use, Reply(502, {})).ambiguous


def test_the_graphql_address_stands_beside_the_rest_one() -> None:
    assert graphql_url("https://api.github.com") == "https://api.github.com/graphql"
    assert graphql_url("https://ghe.example/api/v3") == "https://ghe.example/api/graphql"


ANSWERS = st.builds(
    Answer,
    status=st.sampled_from([0, 200, 301, 401, 403, 404, 422, 429, 500, 502, 503]),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset"]),
        st.sampled_from(["0", "1", "59", "4000000000", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "٣"]),
    ),
    body=st.sampled_from([b"", b"secondary rate limit"]),
)


@given(st.sampled_from(["GET", "POST", "PATCH"]), ANSWERS, st.integers(1, 9))
def test_waits_are_bounded_and_unsafe_calls_are_repeated_for_limits_only(
    method: str, answer: Answer, tried: int
) -> None:
    verdict = judge(method, answer, tried, now_s=1_795_000_000.0)
    if verdict.wait_s is None:
        return
    assert 0 <= verdict.wait_s <= RATE_LIMIT_WAIT_S_MAX
    assert tried < RATE_LIMIT_ATTEMPTS_MAX
    if method == "POST":
        assert answer.status in {403, 429}
    if verdict.limited and "retry-after" not in answer.headers and answer.headers.get("x-ratelimit-remaining") != "0":
        assert verdict.wait_s >= RATE_LIMIT_FALLBACK_S
