"""The client's side: flows that obtain tokens, and what runs them."""

from deputize.sdk.discover import Discovery, ResourceMetadata
from deputize.sdk.flow import Flow, Wait, arun, run
from deputize.sdk.login import ClientLogin, PrivateKeyJwt, SecretBasic, SecretPost
from deputize.sdk.obtain import (
    Introspection,
    Pending,
    Refused,
    TokenSet,
    ciba,
    ciba_begin,
    ciba_collect,
    client_credentials,
    exchange,
    introspect,
    revoke,
    transaction,
    transaction_begin,
    transaction_collect,
)

__all__ = [
    "ClientLogin",
    "Discovery",
    "Flow",
    "Introspection",
    "Pending",
    "PrivateKeyJwt",
    "Refused",
    "ResourceMetadata",
    "SecretBasic",
    "SecretPost",
    "TokenSet",
    "Wait",
    "arun",
    "ciba",
    "ciba_begin",
    "ciba_collect",
    "client_credentials",
    "exchange",
    "introspect",
    "revoke",
    "run",
    "transaction",
    "transaction_begin",
    "transaction_collect",
]
