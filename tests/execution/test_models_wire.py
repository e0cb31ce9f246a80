"""Every driver against the recorded model: real HTTP, the real SDKs, every fault."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.demo.cassette import Cassette, Fault, FaultKind, RawCall, RecordedTurn, Tokens
from bot.demo.recorded import RecordedModel, recorded_model
from execution.agents.build import ModelAccess
from execution.models.conversation import Conversation, ToolResult, open_conversation
from execution.models.errors import ModelError, ModelErrorKind
from execution.models.registry import Driver, load_registry
from execution.records import Usage

MODELS = {
    Driver.OPENAI_RESPONSES: "gpt-6.1-sol",
    Driver.OPENAI_CHAT: "gemini-flash",
    Driver.ANTHROPIC_MESSAGES: "claude-opus-5-5",
}
EVERY = pytest.mark.parametrize("driver", list(MODELS))
DONE = RecordedTurn(thinking="done", text="finished", usage=Tokens(fresh=10, cached=90, cache_write=5, output=7))
WORK = RecordedTurn(thinking="let me look", text="I look", commands=("ls", "cat a"), usage=Tokens(fresh=100, output=20))
RESULTS = [ToolResult(id="", text="a"), ToolResult(id="", text="b")]

Talk = Callable[[Conversation, RecordedModel], Awaitable[None]]


def play(driver: Driver, turns: tuple[RecordedTurn, ...], talk: Talk, **access: float) -> None:
    async def main() -> None:
        entry = load_registry().entry(MODELS[driver])
        cassette = Cassette(protocol=driver, model=entry.model, turns=turns)
        async with recorded_model([cassette]) as model:
            granted = ModelAccess(model.environ, **access)  # type: ignore[arg-type]
            async with open_conversation(granted.line(entry, "agent", "be good")) as conversation:
                await talk(conversation, model)

    asyncio.run(main())


@pytest.mark.parametrize("name", load_registry().ids)
def test_every_shipped_entry_reaches_its_model_with_its_own_key(name: str) -> None:
    async def main() -> None:
        entry = load_registry().entry(name)
        cassette = Cassette(protocol=entry.driver, model=entry.model, turns=(DONE,))
        async with recorded_model([cassette]) as model:
            url = model.url if entry.driver is Driver.ANTHROPIC_MESSAGES else f"{model.url}/v1"
            environ = {entry.base_url_env or "": url, "ANTHROPIC_API_KEY": "not-this-one", "OPENAI_API_KEY": "nor-this"}
            environ |= {entry.key_env: "the-key"} if entry.key_env else {}
            granted = ModelAccess(environ)
            async with open_conversation(granted.line(entry, "agent", "be good")) as conversation:
                assert (await conversation.say("please")).text == "finished"
            assert [(seen.model, seen.status) for seen in model.seen] == [(entry.model, 200)]
            assert [seen.credential for seen in model.seen] == ["Bearer the-key" if entry.key_env else "Bearer none"]

    asyncio.run(main())


def faulty(kind: FaultKind, times: int = 1, seconds: float = 0.0) -> RecordedTurn:
    return DONE.model_copy(update={"faults": (Fault(kind=kind, seconds=seconds),) * times})


def failing(driver: Driver, turn: RecordedTurn, **access: float) -> ModelError:
    caught: list[ModelError] = []

    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        with pytest.raises(ModelError) as error:
            await conversation.say("please")
        caught.append(error.value)

    play(driver, (turn,), talk, **{"retries": 0, **access})
    return caught[0]


def surviving(driver: Driver, turn: RecordedTurn, **access: float) -> list[int]:
    statuses: list[int] = []

    async def talk(conversation: Conversation, model: RecordedModel) -> None:
        answer = await conversation.say("please")
        assert answer.text == "finished"
        statuses.extend(seen.status for seen in model.seen)

    play(driver, (turn,), talk, **access)
    return statuses


@EVERY
def test_a_turn_carries_commands_and_history_is_replayed_unedited(driver: Driver) -> None:
    async def talk(conversation: Conversation, model: RecordedModel) -> None:
        turn = await conversation.say("please")
        assert [request.command for request in turn.commands] == ["ls", "cat a"]
        assert turn.text == "I look"
        assert turn.usage == Usage(fresh=100, output=20, calls=1, cost_microusd=turn.usage.cost_microusd)
        results = [ToolResult(id=request.id, text="output") for request in turn.commands]
        last = await conversation.answer(results)
        assert (last.text, last.commands) == ("finished", ())
        assert (last.usage.fresh, last.usage.cached, last.usage.cache_write, last.usage.output) == (10, 90, 5, 7)
        assert [seen.status for seen in model.seen] == [200, 200]

    play(driver, (WORK, DONE), talk)


@pytest.mark.parametrize("driver", [Driver.OPENAI_RESPONSES, Driver.ANTHROPIC_MESSAGES])
def test_reasoning_is_shown(driver: Driver) -> None:
    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        assert (await conversation.say("please")).thinking == "let me look"

    play(driver, (WORK,), talk)


@pytest.mark.parametrize(
    ("driver", "cost"),
    [
        (Driver.OPENAI_RESPONSES, 10 * 2 + 9 + 12.5 + 70),
        (Driver.ANTHROPIC_MESSAGES, 10 * 4 + 18 + 25 + 140),
        # No prices of its own: the dearest rates of the table, input and output doubled and half again.
        (Driver.OPENAI_CHAT, (10 + 90) * 10 * 2 + 5 * 12.5 * 2 + 7 * 50 * 1.5),
    ],
)
def test_a_call_is_priced_from_our_own_table(driver: Driver, cost: float) -> None:
    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        assert (await conversation.say("please")).usage.cost_microusd == -(-cost // 1)

    play(driver, (DONE,), talk)


@EVERY
def test_a_rate_limit_is_waited_out_by_the_sdk(driver: Driver) -> None:
    assert surviving(driver, faulty(FaultKind.RATE_LIMIT, seconds=0.01)) == [429, 200]


@EVERY
def test_a_server_error_is_retried_by_the_sdk(driver: Driver) -> None:
    assert surviving(driver, faulty(FaultKind.SERVER_ERROR)) == [500, 200]


@EVERY
def test_a_slow_first_byte_within_the_limit_is_waited_for(driver: Driver) -> None:
    assert surviving(driver, faulty(FaultKind.SLOW, seconds=0.3), silence_seconds=5.0) == [200]


@EVERY
@pytest.mark.parametrize(
    ("turn", "kind", "retryable"),
    [
        (faulty(FaultKind.UNAUTHORIZED), ModelErrorKind.AUTH, False),
        (faulty(FaultKind.RATE_LIMIT), ModelErrorKind.RATE_LIMIT, True),
        (faulty(FaultKind.SERVER_ERROR), ModelErrorKind.OVERLOADED, True),
        (faulty(FaultKind.CONTEXT), ModelErrorKind.CONTEXT_EXCEEDED, False),
        (faulty(FaultKind.CUT), ModelErrorKind.UNREACHABLE, True),
        (faulty(FaultKind.MALFORMED), ModelErrorKind.BAD_OUTPUT, True),
        (faulty(FaultKind.STREAM_ERROR), ModelErrorKind.OVERLOADED, True),
        (RecordedTurn(refusal="I will not"), ModelErrorKind.REFUSAL, False),
        (RecordedTurn(text="and then", truncated=True), ModelErrorKind.BAD_OUTPUT, True),
    ],
    ids=["key", "rate", "server", "context", "cut", "malformed", "stream error", "refusal", "truncated"],
)
def test_every_failure_has_its_kind(driver: Driver, turn: RecordedTurn, kind: ModelErrorKind, retryable: bool) -> None:  # noqa: FBT001
    error = failing(driver, turn)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert MODELS[driver] in error.sentence
    assert error.usage.calls == 1


@EVERY
def test_silence_is_a_timeout(driver: Driver) -> None:
    error = failing(driver, faulty(FaultKind.SLOW, seconds=20), silence_seconds=0.2)
    assert error.kind is ModelErrorKind.TIMEOUT


@EVERY
@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.MALFORMED, FaultKind.STREAM_ERROR])
def test_an_answer_that_breaks_off_is_charged_and_can_be_asked_again(driver: Driver, kind: FaultKind) -> None:
    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        with pytest.raises(ModelError) as error:
            await conversation.say("please")
        assert error.value.usage.cost_microusd > 0
        assert (await conversation.say("please")).text == "finished"

    play(driver, (faulty(kind),), talk, retries=0)


@EVERY
def test_nobody_listening_is_unreachable(driver: Driver) -> None:
    async def main() -> None:
        entry = load_registry().entry(MODELS[driver])
        async with recorded_model([]) as model:
            environ = model.environ
        access = ModelAccess(environ, retries=0)
        async with open_conversation(access.line(entry, "agent", "be good")) as conversation:
            with pytest.raises(ModelError) as error:
                await conversation.say("please")
        assert error.value.kind is ModelErrorKind.UNREACHABLE

    asyncio.run(main())


@EVERY
@pytest.mark.parametrize(
    "call",
    [
        RawCall(arguments='{"cmd": "ls"}'),
        RawCall(arguments='{"command": ""}'),
        RawCall(arguments='{"command": ["ls"]}'),
        RawCall(arguments='{"command": "ls"}', name="python"),
    ],
    ids=["other key", "empty", "list", "other tool"],
)
def test_a_call_that_makes_no_sense_is_a_request_with_a_problem(driver: Driver, call: RawCall) -> None:
    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        turn = await conversation.say("please")
        assert turn.commands[0].problem
        last = await conversation.answer([ToolResult(id=turn.commands[0].id, text="no")])
        assert last.text == "finished"

    play(driver, (RecordedTurn(commands=(call,)), DONE), talk)


@pytest.mark.parametrize("driver", [Driver.OPENAI_RESPONSES, Driver.OPENAI_CHAT])
def test_arguments_that_are_not_json_are_a_request_with_a_problem(driver: Driver) -> None:
    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        turn = await conversation.say("please")
        assert turn.commands[0].problem is not None
        assert "not JSON" in turn.commands[0].problem
        await conversation.answer([ToolResult(id=turn.commands[0].id, text="no")])

    play(driver, (RecordedTurn(commands=(RawCall(arguments='{"command": "ls'),)), DONE), talk)


def test_text_that_utf8_cannot_carry_ends_as_an_error_not_as_a_crash() -> None:
    async def talk(conversation: Conversation, _: RecordedModel) -> None:
        with pytest.raises(ModelError) as error:
            await conversation.say("please \ud800")
        assert error.value.kind is ModelErrorKind.BAD_OUTPUT

    for driver in MODELS:
        play(driver, (DONE,), talk, retries=0)


@EVERY
def test_the_key_is_in_no_error_and_no_repr(driver: Driver) -> None:
    async def main() -> None:
        entry = load_registry().entry(MODELS[driver])
        turn = faulty(FaultKind.UNAUTHORIZED)
        async with recorded_model([Cassette(protocol=driver, model=entry.model, turns=(turn,))]) as model:
            environ = {**model.environ, str(entry.key_env): "sk-very-secret"}
            access = ModelAccess(environ, retries=0)
            line = access.line(entry, "agent", "be good")
            async with open_conversation(line) as conversation:
                with pytest.raises(ModelError) as error:
                    await conversation.say("please")
        assert "very-secret" not in f"{error.value!r} {error.value.sentence} {access!r} {line!r}"

    asyncio.run(main())
