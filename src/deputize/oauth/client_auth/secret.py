"""client_secret_basic and client_secret_post (RFC 6749, 2.3.1)."""

import re
from binascii import a2b_base64
from typing import Final
from urllib.parse import unquote_plus

from deputize.core.ports import Add, Env
from deputize.core.rules import Rule
from deputize.core.values import Issuer
from deputize.core.wire import Form, Inbound
from deputize.oauth import throttle
from deputize.oauth.client import Client
from deputize.oauth.login import Claim, Method

FREE: Final = 5  # wrong secrets for one client from one place, before pauses begin

_STRAY: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

SECRET = Rule("RFC 6749", "2.3.1", "The client secret is one that is valid for this client now.")
BASIC = Rule("RFC 6749", "2.3.1", "Basic credentials are the form-encoded client id and secret, with a colon between.")


def _basic(request: Inbound, _: Form) -> Claim | None:
    header = request.headers.one("authorization")
    if header is None or header[:6].lower() != "basic ":
        return None
    try:
        told = a2b_base64(header[6:].strip(), strict_mode=True).decode("utf-8")
        name, colon, secret = told.partition(":")
        if not colon or _STRAY.search(told):
            BASIC.refuse("invalid_client")
        name = _meant(name)
        return Claim(name, (name, _meant(secret)))
    except ValueError:  # letters that are not base64's, or bytes that are not UTF-8
        BASIC.refuse("invalid_client")


def _meant(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def _post(_: Inbound, form: Form) -> Claim | None:
    if "client_secret" not in form:
        return None
    name = form.one("client_id")
    return Claim(name, (name, form.one("client_secret")))


async def _verify(shown: tuple[str, str], request: Inbound, client: Client, _: Issuer, env: Env) -> tuple[Add, ...]:
    """Hold a secret. Who brings the right one is never slowed down: nobody guesses 256 bits, nor locks others out."""
    name, text = shown
    now = env.clock()
    # All are compared, so that the time says nothing about which one fitted.
    if not any([kept.matches(text, now) for kept in client.secrets]):  # noqa: C419 (a generator would stop early)
        here = throttle.network(request.source)
        named = throttle.meter("client", f"{name} {here}", FREE)
        await throttle.attempt(
            named, throttle.meter("clients", here, throttle.SOURCE_FREE), env=env, error="temporarily_unavailable"
        )
        SECRET.refuse("invalid_client")
    return ()


BASIC_METHOD = Method("client_secret_basic", _basic, _verify)
POST_METHOD = Method("client_secret_post", _post, _verify)
