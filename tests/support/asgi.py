"""One request through an ASGI application, without a network."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from deputize.core.wire import JsonObject, json_object
from deputize.server.http import Asgi, Message, Scope


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} is there twice"
        return found[0] if found else None

    @property
    def json(self) -> JsonObject:
        return json_object(self.body)

    @property
    def told(self) -> tuple[int, str]:
        """Status and error code: what most tests of refusals look at."""
        return self.status, self.json.get("error", "")

    def __getitem__(self, name: str) -> str:
        value = self.json[name]
        assert isinstance(value, str), f"{name} is no text"
        return value


async def request(
    app: Asgi, method: str, url: str, headers: Iterable[tuple[str, str]], chunks: Iterable[bytes] = ()
) -> Answer:
    """Send it, with its body in these chunks, and wait for the whole answer."""
    parts = urlsplit(url)
    told: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    told.append({"type": "http.request", "body": b"", "more_body": False})
    waiting = iter(told)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(waiting, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.7", 51234),
        "server": (parts.hostname, parts.port or 443),
    }
    await app(scope, receive, send)
    start, *rest = sent
    body = b"".join(message.get("body", b"") for message in rest)
    return Answer(
        start["status"],
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]),
        body,
    )
