"""The client's side: flows that obtain tokens, and what runs them."""

from deputize.sdk.access import Access, Attempt
from deputize.sdk.answers import Pending, Refused, TokenSet
from deputize.sdk.authorize import Begun, authorize, begin, collect, refresh
from deputize.sdk.connection import Connection
from deputize.sdk.device import Prompt, device, device_begin, device_collect
from deputize.sdk.discover import Discovery, ResourceMetadata, find_resource, find_server
from deputize.sdk.flow import Flow, Visit, Wait, arun, run
from deputize.sdk.login import ClientLogin, PrivateKeyJwt, Public, SecretBasic, SecretPost
from deputize.sdk.loopback import LoopbackReceiver
from deputize.sdk.obtain import (
    Introspection,
    Mandate,
    ciba,
    ciba_begin,
    ciba_collect,
    client_credentials,
    exchange,
    introspect,
    mandate,
    revoke,
    transaction,
    transaction_begin,
    transaction_collect,
)
from deputize.sdk.register import Application, Registered, become_client, register
from deputize.sdk.tokens import TokenCache
from deputize.sdk.with_httpx2 import OAuth

__all__ = [
    "Access",
    "Application",
    "Attempt",
    "Begun",
    "ClientLogin",
    "Connection",
    "Discovery",
    "Flow",
    "Introspection",
    "LoopbackReceiver",
    "Mandate",
    "OAuth",
    "Pending",
    "PrivateKeyJwt",
    "Prompt",
    "Public",
    "Refused",
    "Registered",
    "ResourceMetadata",
    "SecretBasic",
    "SecretPost",
    "TokenCache",
    "TokenSet",
    "Visit",
    "Wait",
    "arun",
    "authorize",
    "become_client",
    "begin",
    "ciba",
    "ciba_begin",
    "ciba_collect",
    "client_credentials",
    "collect",
    "device",
    "device_begin",
    "device_collect",
    "exchange",
    "find_resource",
    "find_server",
    "introspect",
    "mandate",
    "refresh",
    "register",
    "revoke",
    "run",
    "transaction",
    "transaction_begin",
    "transaction_collect",
]
