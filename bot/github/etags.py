"""Answers kept for conditional requests, one cache per installation so that no tenant reads another's."""

import copy
from collections.abc import Iterator, MutableMapping
from typing import Any

from cachetools import LRUCache

ETAG_ENTRIES_MAX = 500

Entry = tuple[str | None, str | None, Any, str | None]


class EtagCache(MutableMapping[str, Entry]):
    """URL to (etag, last-modified, data, next page), least recently used out first.

    Hits are copies: gidgethub hands the cached object itself to every caller, and one that changes it would change
    what the next one reads.
    """

    def __init__(self, entries_max: int = ETAG_ENTRIES_MAX) -> None:
        self._entries: LRUCache[str, Entry] = LRUCache(maxsize=entries_max)

    def __getitem__(self, url: str) -> Entry:
        return copy.deepcopy(self._entries[url])

    def __setitem__(self, url: str, entry: Entry) -> None:
        self._entries[url] = copy.deepcopy(entry)

    def __delitem__(self, url: str) -> None:
        del self._entries[url]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
