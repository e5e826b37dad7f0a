"""A backend for a frontend (RFC 10017, 6.1): a page signs a person in and calls APIs, and never sees a token."""

from deputize.bff.app import Bff
from deputize.bff.proxy import Api
from deputize.core.values import ClientId, Issuer, Secret
from deputize.sdk.login import ClientLogin, PrivateKeyJwt, SecretBasic, SecretPost

__all__ = ["Api", "Bff", "ClientId", "ClientLogin", "Issuer", "PrivateKeyJwt", "Secret", "SecretBasic", "SecretPost"]
