"""The client that both of OpenAI's protocols speak through, to OpenAI and to those who speak like it."""

import httpx2
import openai

from execution.models.conversation import Line

NO_KEY = "none"  # the SDK insists on one, a local endpoint ignores it


def client_of(line: Line) -> openai.AsyncOpenAI:
    """A client for one conversation; close it."""
    return openai.AsyncOpenAI(
        api_key=line.key or NO_KEY,
        base_url=line.base_url,
        timeout=httpx2.Timeout(line.silence_seconds, connect=line.connect_seconds),
        max_retries=line.retries,
    )
