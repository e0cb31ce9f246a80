"""What a recorded model says: turns by protocol and model, from a YAML file."""

from enum import StrEnum
from importlib.resources import files
from itertools import accumulate

from pydantic import BaseModel, ConfigDict, Field

from execution.models.registry import Driver
from execution.yamlfile import load_model

CASSETTE_FILE = "cassette.yaml"


class Part(BaseModel):
    """Immutable and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FaultKind(StrEnum):
    """What can be made to go wrong before a turn is played."""

    UNAUTHORIZED = "unauthorized"  # 401
    RATE_LIMIT = "rate_limit"  # 429 with retry-after
    SERVER_ERROR = "server_error"  # 500
    CONTEXT = "context"  # 400, the prompt is too long
    CUT = "cut"  # the connection ends in the middle of the stream
    MALFORMED = "malformed"  # an event that is not JSON
    STREAM_ERROR = "stream_error"  # 200, then an error event
    SLOW = "slow"  # silence before the first byte, then the turn as it is


class Fault(Part):
    """One fault; `seconds` is the retry-after of a rate limit or the silence of a slow answer."""

    kind: FaultKind
    seconds: float = Field(default=0.0, ge=0, le=60)


class RawCall(Part):
    """A tool call as a confused model makes it: these arguments, verbatim."""

    arguments: str
    name: str = "bash"


class Tokens(Part):
    """The turn's usage, in records.Usage's kinds; each wire spells it its own way."""

    fresh: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0


class RecordedTurn(Part):
    """One answer.

    Attributes:
        thinking: reasoning, sent as the protocol's reasoning block; must come back unedited.
        text: what it says.
        commands: what it asks the `bash` tool for.
        refusal: a refusal instead of an answer.
        truncated: the answer ends at the output limit.
        usage: tokens.
        faults: the first request for this turn meets the first fault, its repetition the second, and so on.
    """

    thinking: str = ""
    text: str = ""
    commands: tuple[str | RawCall, ...] = ()
    refusal: str | None = None
    truncated: bool = False
    usage: Tokens = Tokens()
    faults: tuple[Fault, ...] = ()


class Cassette(Part):
    """All turns of one model over one protocol.

    Attributes:
        protocol: the wire.
        model: the name on the wire.
        when: played only for requests whose text holds this; empty for any. Of several that fit, the first is played.
        turns: in order.
    """

    protocol: Driver
    model: str
    when: str = ""
    turns: tuple[RecordedTurn, ...] = Field(min_length=1)

    def position(self, results: int) -> int | None:
        """The index of the turn that follows after so many tool results; None when there is none."""
        seen = [0, *accumulate(len(turn.commands) for turn in self.turns[:-1])]
        return seen.index(results) if results in seen else None


class CassetteFile(Part):
    """The file."""

    cassettes: tuple[Cassette, ...]


def load_cassettes(data: bytes, path: str) -> tuple[Cassette, ...]:
    """Read a cassette file.

    Raises:
        ConfigError: names the line.
    """
    return load_model(data, CassetteFile, path).cassettes


def demo_cassettes() -> tuple[Cassette, ...]:
    """The turns recorded for the sample project."""
    data = files("bot.demo").joinpath(CASSETTE_FILE).read_bytes()
    return load_cassettes(data, CASSETTE_FILE)
