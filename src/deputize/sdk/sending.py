"""The ways out for a client's flows where nobody gives them another: httpx2, with limits, and no redirects."""

from typing import Final

import httpx2

from deputize.core.rules import Fault
from deputize.core.values import WebUrl
from deputize.core.wire import Call, Headers, Reply

SECONDS: Final = 10.0


def client() -> httpx2.Client:
    return httpx2.Client(timeout=SECONDS, trust_env=False, follow_redirects=False)


def async_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=SECONDS, trust_env=False, follow_redirects=False)


def send(call: Call) -> Reply:
    """Make a call. Raises Fault where nobody answers, or too much; a redirect is an answer like any other."""
    try:
        with client() as made, made.stream(call.method, _checked(call), headers=call.headers, content=call.body) as got:
            body = b""
            for part in got.iter_bytes():
                body = _grown(body, part, call)
            return _reply(got, body)
    except httpx2.HTTPError as problem:
        raise _unreached(call, problem) from None


async def fetch(call: Call) -> Reply:
    """The same, async: a Fetch. On a server, a guarded one takes its place, which keeps off inner networks."""
    try:
        async with (
            async_client() as made,
            made.stream(call.method, _checked(call), headers=call.headers, content=call.body) as got,
        ):
            body = b""
            async for part in got.aiter_bytes():
                body = _grown(body, part, call)
            return _reply(got, body)
    except httpx2.HTTPError as problem:
        raise _unreached(call, problem) from None


def _checked(call: Call) -> str:
    try:
        return WebUrl(call.url).text
    except ValueError as problem:
        raise Fault(f"a call to no web address: {problem}") from None


def _grown(body: bytes, part: bytes, call: Call) -> bytes:
    if len(body) + len(part) > call.bytes_max:
        raise Fault(f"{call.url.partition('?')[0]} answered with more than {call.bytes_max} bytes")
    return body + part


def _reply(got: httpx2.Response, body: bytes) -> Reply:
    pairs = tuple((name.lower(), value) for name, value in got.headers.multi_items())
    return Reply(status=got.status_code, headers=Headers(pairs), body=body)


def _unreached(call: Call, problem: Exception) -> Fault:
    return Fault(f"{call.url.partition('?')[0]} is out of reach: {type(problem).__name__}", retry=True)
