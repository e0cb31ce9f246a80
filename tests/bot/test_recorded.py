"""The recorded model is a strict server: what the real one refuses, or what edits history, it refuses too."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from bot.demo.cassette import Cassette, RecordedTurn, demo_cassettes
from bot.demo.recorded import RecordedModel, recorded_model
from execution.agents.build import ModelAccess
from execution.models.conversation import Conversation, ToolResult, open_conversation
from execution.models.registry import Driver, load_registry

Body = dict[str, Any]
MODELS = {
    Driver.OPENAI_RESPONSES: ("gpt-6.1-sol", "/v1/responses", {"Authorization": "Bearer k"}),
    Driver.OPENAI_CHAT: ("gemini-flash", "/v1/chat/completions", {"Authorization": "Bearer k"}),
    Driver.ANTHROPIC_MESSAGES: (
        "claude-opus-5-5",
        "/v1/messages",
        {"X-Api-Key": "k", "anthropic-version": "2026-10-21"},
    ),
}
TURNS = (
    RecordedTurn(thinking="hm", text="looking", commands=("ls",)),
    RecordedTurn(thinking="aha", text="still", commands=("pwd", "id")),
    RecordedTurn(text="done"),
)


async def converse(model: RecordedModel, driver: Driver, says: str = "please") -> list[str]:
    entry = load_registry().entry(MODELS[driver][0])
    texts = []
    async with open_conversation(ModelAccess(model.environ).line(entry, "agent", "be good")) as conversation:
        turn = await conversation.say(says)
        while turn.commands:
            texts.append(turn.text)
            turn = await conversation.answer([ToolResult(id=one.id, text=says) for one in turn.commands])
    return [*texts, turn.text]


def cassettes(turns: tuple[RecordedTurn, ...] = TURNS) -> list[Cassette]:
    registry = load_registry()
    return [
        Cassette(protocol=driver, model=registry.entry(model_id).model, turns=turns)
        for driver, (model_id, _, _) in MODELS.items()
    ]


def last_request(driver: Driver) -> Body:
    """The request for the third turn as the real driver sends it."""

    async def main() -> Body:
        async with recorded_model(cassettes()) as model:
            await converse(model, driver)
            return model.seen[-1].body

    return asyncio.run(main())


def answer(driver: Driver, body: object, headers: dict[str, str] | None = None) -> tuple[int, str]:
    _, path, usual = MODELS[driver]

    async def main() -> tuple[int, str]:
        async with recorded_model(cassettes()) as model, aiohttp.ClientSession() as session:
            sent = usual if headers is None else headers
            async with session.post(model.url + path, json=body, headers=sent) as response:
                return response.status, await response.text()

    return asyncio.run(main())


def test_many_conversations_at_once_do_not_mix() -> None:
    async def main() -> None:
        async with recorded_model(cassettes()) as model:
            talks = [converse(model, driver, f"number {n}") for n in range(6) for driver in MODELS]
            assert await asyncio.gather(*talks) == [["looking", "still", "done"]] * len(talks)
            assert {seen.status for seen in model.seen} == {200}

    asyncio.run(main())


@pytest.mark.parametrize("driver", list(MODELS))
def test_what_the_driver_sends_is_accepted_again(driver: Driver) -> None:
    assert answer(driver, last_request(driver))[0] == 200


def edit_responses(body: Body) -> None:
    next(item for item in body["input"] if item.get("type") == "reasoning")["encrypted_content"] = "0" * 64


def edit_chat(body: Body) -> None:
    next(one for one in body["messages"] if one["role"] == "assistant")["content"] = "something else"


def edit_messages(body: Body) -> None:
    body["messages"][1]["content"][0]["thinking"] = "something else"


def drop_reasoning(body: Body) -> None:
    body["input"] = [item for item in body["input"] if item.get("type") != "reasoning"]


def drop_thinking(body: Body) -> None:
    body["messages"][1]["content"].pop(0)


def swap_results(body: Body) -> None:
    body["input"][-1], body["input"][-2] = body["input"][-2], body["input"][-1]


def setting(**members: object) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body.update(members)

    change.__name__ = "_".join(f"{name}_{str(value)[:12]}" for name, value in members.items())
    return change


@pytest.mark.parametrize(
    ("driver", "change", "reason"),
    [
        (Driver.OPENAI_RESPONSES, edit_responses, "was edited"),
        (Driver.OPENAI_CHAT, edit_chat, "was edited"),
        (Driver.ANTHROPIC_MESSAGES, edit_messages, "was edited"),
        (Driver.OPENAI_RESPONSES, drop_reasoning, "was edited"),
        (Driver.ANTHROPIC_MESSAGES, drop_thinking, "was edited"),
        (Driver.OPENAI_RESPONSES, swap_results, "was edited"),
        (Driver.OPENAI_RESPONSES, setting(tool_choice="required"), "must not force"),
        (Driver.OPENAI_CHAT, setting(tool_choice="required"), "must not force"),
        (Driver.ANTHROPIC_MESSAGES, setting(tool_choice={"type": "any"}), "must not force"),
        (Driver.ANTHROPIC_MESSAGES, setting(temperature=0), "sampling"),
        (Driver.ANTHROPIC_MESSAGES, setting(thinking={"type": "disabled"}), "adaptive"),
        (Driver.ANTHROPIC_MESSAGES, setting(cache_control=None), "cache"),
        (Driver.OPENAI_RESPONSES, setting(store=True), "store must be false"),
        (Driver.OPENAI_RESPONSES, setting(include=[]), "encrypted_content"),
        (Driver.OPENAI_RESPONSES, setting(tools=[]), "tools"),
        (Driver.OPENAI_CHAT, setting(tools=[]), "tools"),
        (Driver.ANTHROPIC_MESSAGES, setting(tools=[]), "tools"),
        (Driver.OPENAI_RESPONSES, setting(model="gpt-2"), "nothing is recorded"),
        (Driver.OPENAI_RESPONSES, setting(input="text"), "TypeError|AttributeError"),
        (Driver.OPENAI_CHAT, setting(messages=[1]), "AttributeError"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:12],
)
def test_a_wrong_request_is_refused_with_the_reason(
    driver: Driver, change: Callable[[Body], None], reason: str
) -> None:
    body = copy.deepcopy(last_request(driver))
    change(body)
    status, text = answer(driver, body)
    assert status == 400
    assert any(word in text for word in reason.split("|"))


@pytest.mark.parametrize("driver", list(MODELS))
def test_a_request_without_a_key_is_refused(driver: Driver) -> None:
    assert answer(driver, {}, headers={})[0] == 401


def test_a_result_too_many_has_no_turn() -> None:
    body = last_request(Driver.OPENAI_RESPONSES)
    extra = [{"type": "function_call_output", "call_id": "x", "output": ""}]
    body["input"] = body["input"] + extra
    status, text = answer(Driver.OPENAI_RESPONSES, body)
    assert (status, "no recorded turn follows after 4" in text) == (400, True)


def test_the_demos_cassettes_are_for_the_starters_models() -> None:
    registry = load_registry()
    recorded = {(one.protocol, one.model) for one in demo_cassettes()}
    wanted = [registry.entry(name) for name in ("gpt-6.1-sol", "claude-opus-5-5")]
    assert recorded == {(entry.driver, entry.model) for entry in wanted}


def test_a_conversation_is_what_the_loop_needs() -> None:
    async def main() -> None:
        async with recorded_model(cassettes()) as model:
            entry = load_registry().entry("gpt-6.1-sol")
            async with open_conversation(ModelAccess(model.environ).line(entry, "a", "s")) as conversation:
                typed: Conversation = conversation
                assert (await typed.say("please")).commands[0].command == "ls"

    asyncio.run(main())
