"""client_secret_basic and client_secret_post (RFC 6749, 2.3.1)."""

import base64
import re
from typing import Final
from urllib.parse import unquote_plus

from deputize.core.ports import Add, Env
from deputize.core.rules import Rule
from deputize.core.values import Issuer
from deputize.core.wire import Form, Inbound
from deputize.oauth.client import Client
from deputize.oauth.login import Method

_STRAY: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

SECRET = Rule("RFC 6749", "2.3.1", "The client secret is one that is valid for this client now.")
BASIC = Rule("RFC 6749", "2.3.1", "Basic credentials are the form-encoded client id and secret, with a colon between.")


def _basic(request: Inbound) -> tuple[str, str] | None:
    header = request.headers.one("authorization")
    if header is None or header[:6].lower() != "basic ":
        return None
    try:
        told = base64.b64decode(header[6:].strip(), validate=True).decode("utf-8")
        name, colon, secret = told.partition(":")
        if not colon or _STRAY.search(told):
            BASIC.refuse("invalid_client")
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:  # letters that are not base64's, or bytes that are not UTF-8
        BASIC.refuse("invalid_client")


def _claims_basic(request: Inbound, _: Form) -> str | None:
    told = _basic(request)
    return told[0] if told else None


async def _verify_basic(request: Inbound, _: Form, client: Client, __: Issuer, env: Env) -> tuple[Add, ...]:
    told = _basic(request)
    _hold(client, told[1] if told else "", env)
    return ()


def _claims_post(_: Inbound, form: Form) -> str | None:
    return form.one("client_id") if "client_secret" in form else None


async def _verify_post(_: Inbound, form: Form, client: Client, __: Issuer, env: Env) -> tuple[Add, ...]:
    _hold(client, form.one("client_secret"), env)
    return ()


def _hold(client: Client, text: str, env: Env) -> None:
    now = env.clock()
    # All are compared, so that the time says nothing about which one fitted.
    if not any([kept.matches(text, now) for kept in client.secrets]):  # noqa: C419 (a generator would stop early)
        SECRET.refuse("invalid_client")


BASIC_METHOD = Method("client_secret_basic", _claims_basic, _verify_basic)
POST_METHOD = Method("client_secret_post", _claims_post, _verify_post)
