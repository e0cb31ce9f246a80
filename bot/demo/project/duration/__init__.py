"""Durations as people write them."""

from duration.parse import parse_duration
from duration.text import format_duration

__all__ = ["format_duration", "parse_duration"]
