"""The registry: shipped entries, the operator's file, prices."""

import asyncio
from decimal import Decimal

import pytest

from execution.agents.build import ModelAccess
from execution.models import openai_chat, openai_responses
from execution.models.openai_client import NO_KEY, client_of
from execution.models.registry import Driver, RegistryError, load_registry
from execution.records import Usage

LOCAL = b'[[models]]\nid = "mine"\ndriver = "openai_chat"\nbase_url = "http://127.0.0.1:8000/v1"\nmodel = "m"\n'


def test_every_vendor_has_an_entry() -> None:
    registry = load_registry()
    drivers = {name: registry.entry(name).driver for name in registry.ids}
    assert drivers["gpt-6.1-sol"] is Driver.OPENAI_RESPONSES
    assert drivers["claude-opus-5-5"] is Driver.ANTHROPIC_MESSAGES
    for prefix in ("azure", "bedrock", "gemini", "mistral", "openrouter", "ollama", "vertex"):
        assert any(name.startswith(prefix) for name in drivers)


def test_an_operators_file_adds_and_replaces() -> None:
    replaced = LOCAL.replace(b'"mine"', b'"gpt-6.1-sol"')
    registry = load_registry(LOCAL + replaced)
    assert registry.entry("mine").model == "m"
    assert registry.entry("gpt-6.1-sol").driver is Driver.OPENAI_CHAT


def test_an_unknown_price_is_the_dearest_never_zero() -> None:
    registry = load_registry(LOCAL)
    usage = Usage(fresh=1000, cached=1000, cache_write=1000, output=1000)
    unknown = registry.prices(registry.entry("mine")).cost_microusd(usage)
    known = [registry.prices(registry.entry(name)).cost_microusd(usage) for name in registry.ids]
    assert unknown == max(known) > 0


def test_long_requests_cost_more() -> None:
    prices = load_registry().prices(load_registry().entry("gpt-6.1-sol"))
    assert prices.cost_microusd(Usage(fresh=272_000, output=100)) == 272_000 * 2 + 1000
    assert prices.cost_microusd(Usage(fresh=272_001, output=100)) == 272_001 * 4 + 1500
    assert prices.cached == Decimal("0.10")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"models = 1", "the file|models"),
        (b"[[models]\n", "not TOML"),
        (b"\xff", "not TOML"),
        (LOCAL + LOCAL, "stands twice"),
        (LOCAL + b"temperature = 1\n", "model 'mine'.temperature"),
        (LOCAL.replace(b"http://127.0.0.1:8000", b"http://example.com"), "unencrypted"),
        (LOCAL.replace(b"openai_chat", b"grpc"), "model 'mine'.driver"),
        (LOCAL.replace(b'base_url = "http://127.0.0.1:8000/v1"\n', b""), "base_url or base_url_env"),
        (LOCAL + b'key_env = "sk-live-secret"\n', "model 'mine'.key_env"),
        (LOCAL + b"prices = { input = -1.0, cached = 0.0, cache_write = 0.0, output = 0.0 }\n", "zero or more"),
        (LOCAL + b"prices = { input = nan, cached = 0.0, cache_write = 0.0, output = 0.0 }\n", "finite"),
        (b" " * 300_000, "keep it under"),
    ],
    ids=["shape", "toml", "utf8", "twice", "unknown", "plain http", "driver", "address", "key", "minus", "nan", "size"],
)
def test_a_wrong_file_is_refused_with_the_place(data: bytes, words: str) -> None:
    with pytest.raises(RegistryError, match=words):
        load_registry(data)


@pytest.mark.parametrize("driver", ["openai_chat", "openai_responses"])
def test_an_endpoint_that_asks_for_no_key_is_reached_without_one_and_never_with_another_s(
    driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody-elses")
    registry = load_registry(LOCAL.replace(b"openai_chat", driver.encode()))
    line = ModelAccess({}, registry).line(registry.entry("mine"), "codex", "")

    async def opened() -> str:
        async with client_of(line) as client:
            return client.api_key

    assert asyncio.run(opened()) == NO_KEY
    connect = {"openai_chat": openai_chat.connect, "openai_responses": openai_responses.connect}[driver]

    async def connected() -> None:
        async with connect(line):
            pass

    asyncio.run(connected())
