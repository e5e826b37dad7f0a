"""This authorization server as a value: its issuer, its tables, and how it mints."""

from dataclasses import dataclass, field
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Issuer
from deputize.jose.algorithms import ALL
from deputize.oauth import fapi2
from deputize.oauth.asking import Settings as AskSettings
from deputize.oauth.client import Way
from deputize.oauth.device import Settings as DeviceSettings
from deputize.oauth.families import Settings as RefreshSettings
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient, Method
from deputize.oauth.mandates import Mandates
from deputize.oauth.nonces import Settings as DpopSettings
from deputize.oauth.registering import Settings as RegistrationSettings
from deputize.oauth.requested import Settings as AuthorizeSettings
from deputize.oauth.statuses import Statuses
from deputize.oauth.tokens import Settings as TokenSettings

TOKEN_PATH: Final = "/token"  # noqa: S105 (a path)
REGISTRATION_PATH: Final = "/register"

GRANT_KNOWN = Rule("RFC 6749", "5.2", "The grant type is one that this server supports.")
GRANT_REGISTERED = Rule("RFC 6749", "5.2", "The client is registered for the grant type that it uses.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """One issuer. Nothing but this value knows which one a request is for.

    `ways` are how clients are known beside those that were registered. `fapi2` says that it keeps to FAPI 2.0.
    `anonymous` is the client that stands for wallets which do not say who they are, where these are let in with an
    offer's code.
    """

    issuer: Issuer
    grants: tuple[Grant, ...]
    methods: tuple[Method, ...]
    ways: tuple[Way, ...] = ()
    tokens: TokenSettings = TokenSettings()
    asks: AskSettings = AskSettings()
    authorize: AuthorizeSettings = AuthorizeSettings()
    refresh: RefreshSettings = RefreshSettings()
    dpop: DpopSettings = DpopSettings()
    registration: RegistrationSettings = RegistrationSettings()
    device: DeviceSettings = DeviceSettings()
    drafts: frozenset[str] = field(default_factory=frozenset)
    statuses: Statuses | None = None
    anonymous: str = ""
    mandates: Mandates | None = None
    fapi2: bool = False

    @property
    def method_names(self) -> tuple[str, ...]:
        """The methods that clients can authenticate with here."""
        return fapi2.names_of(self.methods) if self.fapi2 else tuple(name for one in self.methods for name in one.names)

    @property
    def algs(self) -> frozenset[str]:
        """The algorithms that clients can sign with here."""
        return ALL & fapi2.ALGS if self.fapi2 else ALL

    @property
    def pushed_only(self) -> bool:
        """Whether each authorization request is pushed."""
        return self.authorize.pushed_only or self.fapi2

    def grant_for(self, grant_type: str, client: AuthenticatedClient) -> Grant:
        """The grant that the client asks for and is registered for."""
        for grant in self.grants:
            if grant.type == grant_type:
                if grant_type not in client.client.grant_types:
                    GRANT_REGISTERED.refuse("unauthorized_client", grant_type=grant_type)
                if not grant.public:
                    client.hold_confidential()
                return grant
        GRANT_KNOWN.refuse("unsupported_grant_type", grant_type=grant_type[:80])
