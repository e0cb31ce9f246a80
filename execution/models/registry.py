"""The registry of models: which wire protocol, where, with which key, at which price.

The entries are data (`models.toml`); an operator's file of the same form adds to them or replaces them by id. A
repository's profile names an entry and can do no more: it never sets an address, so it cannot send a key elsewhere.
"""

import math
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from execution.records import Usage
from execution.redaction import names_secret

MODELS_FILE = "models.toml"
MODELS_BYTES_MAX = 262_144
LOOPBACK_PREFIXES = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")


class RegistryError(ValueError):
    """A models file that is wrong: what, where, and what to do."""


class Driver(StrEnum):
    """Wire protocols, one module each."""

    OPENAI_RESPONSES = "openai_responses"
    OPENAI_CHAT = "openai_chat"
    ANTHROPIC_MESSAGES = "anthropic_messages"


class Capability(StrEnum):
    """What a model's endpoint is known to accept; what is not listed is not sent."""

    STRUCTURED_OUTPUT = "structured_output"
    REASONING = "reasoning"
    PROMPT_CACHE_KEY = "prompt_cache_key"
    LEGACY_MAX_TOKENS = "legacy_max_tokens"  # `max_tokens` instead of `max_completion_tokens`


def checked_base_url(url: str) -> str:
    """Return `url` if a key may travel to it: https, or the loopback interface.

    Raises:
        ValueError: it is neither.
    """
    if url.startswith("https://") or url.startswith(LOOPBACK_PREFIXES):
        return url
    raise ValueError(f"{url!r} would carry a key unencrypted; use https://, or http:// on the loopback interface")


def _finite(rate: Decimal) -> Decimal:
    if rate.is_finite() and rate >= 0:
        return rate
    raise ValueError("a price is a number of dollars, zero or more")


Rate = Annotated[Decimal, BeforeValidator(lambda v: Decimal(v) if type(v) is int else v), AfterValidator(_finite)]
BaseUrl = Annotated[str, AfterValidator(checked_base_url)]


class Prices(BaseModel):
    """US dollars per million tokens, which is millionths of a dollar per token.

    Attributes:
        input, cached, cache_write, output: the rates of `records.Usage`'s four kinds of token.
        long_above: requests with more input tokens than this cost more; 0 when there is no such rule.
        long_input, long_output: factors on the whole request then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input: Rate
    cached: Rate
    cache_write: Rate
    output: Rate
    long_above: int = Field(default=0, ge=0)
    long_input: Rate = Decimal(1)
    long_output: Rate = Decimal(1)

    def cost_microusd(self, usage: Usage) -> int:
        """What one request's tokens cost, millionths of a US dollar, rounded up."""
        long = 0 < self.long_above < usage.fresh + usage.cached + usage.cache_write
        factors = (self.long_input, self.long_output) if long else (Decimal(1), Decimal(1))
        read = self.input * usage.fresh + self.cached * usage.cached + self.cache_write * usage.cache_write
        return math.ceil(read * factors[0] + self.output * usage.output * factors[1])


class ModelEntry(BaseModel):
    """One model that can be asked.

    Attributes:
        id: what profiles say in `model`.
        driver: the wire protocol.
        base_url: the endpoint; may be left to `base_url_env`.
        base_url_env: a variable of the operator's environment that overrides `base_url`.
        key_env: the variable that holds the key; None when the endpoint asks for none.
        model: the name sent on the wire.
        effort: reasoning effort as the endpoint spells it; None sends none.
        prices: see Prices; None is charged at the dearest known rates.
        max_output_tokens: the longest answer asked for, reasoning included.
        capabilities: see Capability.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    driver: Annotated[Driver, BeforeValidator(lambda v: Driver(v) if isinstance(v, str) else v)]
    base_url: BaseUrl | None = None
    base_url_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]{0,63}$")
    key_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]{0,63}$")
    model: str = Field(min_length=1, max_length=200)
    effort: Literal["minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    prices: Prices | None = None
    max_output_tokens: int = Field(default=16_000, ge=256, le=128_000)
    capabilities: Annotated[
        frozenset[Capability], BeforeValidator(lambda v: frozenset(map(Capability, v)) if isinstance(v, list) else v)
    ] = frozenset()

    @model_validator(mode="after")
    def _reachable(self) -> "ModelEntry":
        if self.base_url is None and self.base_url_env is None:
            raise ValueError("an entry needs base_url or base_url_env")
        if self.key_env is not None and not names_secret(self.key_env):
            raise ValueError("key_env must end in KEY, TOKEN, SECRET, PASSWORD or CREDENTIAL, to be kept secret")
        return self


class _ModelsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    models: list[ModelEntry]


class Registry:
    """Entries by id, and the dearest rates among them."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        self._entries = dict(entries)
        known = [entry.prices for entry in self._entries.values() if entry.prices is not None]
        self._worst = Prices(
            input=max(prices.input for prices in known),
            cached=max(prices.input for prices in known),
            cache_write=max(max(prices.input, prices.cache_write) for prices in known),
            output=max(prices.output for prices in known),
            long_above=1,
            long_input=max(prices.long_input for prices in known),
            long_output=max(prices.long_output for prices in known),
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, sorted."""
        return tuple(sorted(self._entries))

    @property
    def dearest(self) -> Prices:
        """The dearest rates among them, for tokens of models that nobody here knows."""
        return self._worst

    def entry(self, model_id: str) -> ModelEntry:
        """The entry of that id.

        Raises:
            RegistryError: there is none; names those there are.
        """
        found = self._entries.get(model_id)
        if found is None:
            raise RegistryError(f"model {model_id!r} is not in the registry; known models: {', '.join(self.ids)}")
        return found

    def prices(self, entry: ModelEntry) -> Prices:
        """The entry's prices, or the dearest known when it has none: a cap in money must hold for any model."""
        return entry.prices or self._worst


def load_registry(extra: bytes | None = None, *, where: str = "the operator's models file") -> Registry:
    """The shipped entries, overlaid by those of an operator's file.

    Args:
        extra: bytes of a TOML file of the same form; None for none.
        where: what errors call that file.

    Raises:
        RegistryError: the file is too large, not TOML, or an entry is wrong; names the entry and the key.
    """
    shipped = files("execution.models").joinpath(MODELS_FILE).read_bytes()
    entries = _parse(shipped, MODELS_FILE)
    if extra is not None:
        entries |= _parse(extra, where)
    return Registry(entries)


def _parse(data: bytes, where: str) -> dict[str, ModelEntry]:
    if len(data) > MODELS_BYTES_MAX:
        raise RegistryError(f"{where} has {len(data)} bytes; keep it under {MODELS_BYTES_MAX}")
    try:
        plain = tomllib.loads(data.decode("utf-8"), parse_float=Decimal)
        models = _ModelsFile.model_validate(plain).models
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RegistryError(f"{where} is not TOML: {error}") from None
    except ValidationError as error:
        raise RegistryError(_explain(error, plain, where)) from None
    return _unique(models, where)


def _unique(models: list[ModelEntry], where: str) -> dict[str, ModelEntry]:
    entries: dict[str, ModelEntry] = {}
    for entry in models:
        if entry.id in entries:
            raise RegistryError(f"{where}: model {entry.id!r} stands twice; keep one of them")
        entries[entry.id] = entry
    return entries


def _explain(error: ValidationError, plain: dict[str, object], where: str) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = list(first["loc"])
    if len(place) > 1 and place[0] == "models" and isinstance(place[1], int):
        tables = plain["models"]
        table = tables[place[1]] if isinstance(tables, list) else None
        name = table.get("id") if isinstance(table, dict) else None
        place = [f"model {name!r}" if name else f"model number {place[1] + 1}", *place[2:]]
    return f"{where}: {'.'.join(str(part) for part in place) or 'the file'}: {first['msg']}"
