"""Requests and answers as the facade's parts see them, and the table that finds the part for a request."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.github.identity import Principal
    from tests.github.world import World

Json = dict[str, Any]
Item = TypeVar("Item")
DOCUMENTATION = "https://docs.github.com/rest"
PAGE_SIZE_DEFAULT = 30
PAGE_SIZE_MAX = 100


class ApiError(Exception):
    """An answer other than success, in GitHub's shape.

    Attributes:
        status: HTTP status.
        message: GitHub's ``message``.
        errors: GitHub's ``errors`` list, for 422.
        headers: extra response headers.
    """

    def __init__(
        self, status: int, message: str, errors: Sequence[object] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def reply(self) -> "Reply":
        """Render as GitHub does."""
        body: Json = {"message": self.message, "documentation_url": DOCUMENTATION, "status": str(self.status)}
        if self.errors:
            body["errors"] = self.errors
        return Reply(self.status, body, self.headers)


def not_found() -> ApiError:
    """GitHub's answer for what is not there or may not be seen."""
    return ApiError(404, "Not Found")


def invalid(resource: str, field_name: str, code: str = "invalid", message: str | None = None) -> ApiError:
    """GitHub's 422 for one field of one resource."""
    error: Json = {"resource": resource, "field": field_name, "code": code}
    if message is not None:
        error["message"] = message
    return ApiError(422, "Validation Failed", [error])


@dataclass
class Reply:
    """An answer: ``body`` is JSON unless ``raw`` is given; ``None`` with no ``raw`` is an empty body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def payload(self) -> bytes:
        """Return the bytes of the body."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()


@dataclass
class Call:
    """One request, after authentication.

    Attributes:
        method: upper case.
        path: decoded, without query.
        raw_path: as sent, with query.
        query: name to value; the last of duplicates.
        headers: by lower-case name.
        body: raw bytes.
        principal: who asks.
        params: what the route's template captured.
    """

    world: "World"
    method: str
    path: str
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    principal: "Principal"
    params: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Json:
        """Return the JSON object of the body. Raises ApiError 400 like GitHub."""
        if not self.body:
            return {}
        try:
            decoded = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "Problems parsing JSON") from error
        if not isinstance(decoded, dict):
            raise ApiError(400, "Body should be a JSON object")
        return decoded

    @property
    def repo_name(self) -> str:
        """Return ``owner/name`` of a repository route."""
        return f"{self.params['owner']}/{self.params['repo']}"

    def number(self, name: str) -> int:
        """Return an integer path parameter. Raises ApiError 404."""
        try:
            return int(self.params[name])
        except ValueError as error:
            raise not_found() from error


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """A handler for a method and a path template such as ``/repos/{owner}/{repo}/git/{ref+}``."""

    method: str
    template: str
    handler: Handler

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """Return the captured parameters, or None."""
        if method != self.method:
            return None
        found = compile_template(self.template).fullmatch(path)
        return found.groupdict() if found else None


_compiled: dict[str, re.Pattern[str]] = {}


def compile_template(template: str) -> re.Pattern[str]:
    """Turn a path template into a pattern; ``{name+}`` also takes slashes."""
    if template not in _compiled:
        parts = re.split(r"(\{\w+\+?\})", template)
        _compiled[template] = re.compile("".join(_part(part) for part in parts))
    return _compiled[template]


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    name = part.strip("{}")
    return f"(?P<{name[:-1]}>.+)" if name.endswith("+") else f"(?P<{name}>[^/]+)"


def find_route(routes: Iterable[Route], method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    """Return the first route that takes the request, with its parameters."""
    for route in routes:
        params = route.match(method, path)
        if params is not None:
            return route, params
    return None


def page_of(call: Call, items: Sequence[Item]) -> tuple[list[Item], dict[str, str]]:
    """Return the asked page of the items and the ``Link`` header, as GitHub pages."""
    size = min(int(call.query.get("per_page", PAGE_SIZE_DEFAULT)), PAGE_SIZE_MAX)
    page = max(int(call.query.get("page", 1)), 1)
    last = max((len(items) + size - 1) // size, 1)
    links = []
    others = "".join(f"&{key}={value}" for key, value in call.query.items() if key not in {"page", "per_page"})
    base = f"{call.world.url}{call.path}?per_page={size}{others}"
    if page < last:
        links += [f'<{base}&page={page + 1}>; rel="next"', f'<{base}&page={last}>; rel="last"']
    if page > 1:
        links += [f'<{base}&page={page - 1}>; rel="prev"', f'<{base}&page=1>; rel="first"']
    return list(items[(page - 1) * size : page * size]), {"Link": ", ".join(links)} if links else {}
