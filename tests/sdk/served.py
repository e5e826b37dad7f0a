"""A server played from a list: what a flow asks is written down, and the next answer is given."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from deputize.core.rules import Fault
from deputize.core.values import ClientId, Issuer, Secret
from deputize.core.wire import Call, Form, Headers, JsonObject, Reply, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.metadata import ServerMetadata
from deputize.sdk.flow import Flow, T, run
from deputize.sdk.login import ClientLogin, PrivateKeyJwt, SecretBasic, SecretPost
from tests.support.ports import CountingRandom, FixedClock

ISSUER = Issuer("https://as.example")
SERVER = ServerMetadata(
    issuer=ISSUER.text,
    token_endpoint=ISSUER.at("/token"),
    jwks_uri=ISSUER.at("/jwks"),
    introspection_endpoint=ISSUER.at("/introspect"),
    revocation_endpoint=ISSUER.at("/revoke"),
    backchannel_authentication_endpoint=ISSUER.at("/backchannel"),
    transaction_authorization_endpoint=ISSUER.at("/transaction"),
)
KEY = PrivateKey.generate()
DPOP_KEY = PrivateKey.generate()


def told(members: JsonObject, status: int = 200, kind: str = "application/json") -> Reply:
    return Reply(status=status, headers=Headers((("content-type", kind),)), body=json_bytes(members))


def token(**members: object) -> Reply:
    return told({"access_token": "the-token", "token_type": "DPoP", "expires_in": 300, **members})


@dataclass
class Served:
    """One client and the server that answers it from a list."""

    clock: FixedClock = field(default_factory=FixedClock)
    method: PrivateKeyJwt | SecretBasic | SecretPost = field(default_factory=lambda: PrivateKeyJwt(KEY))
    dpop_key: PrivateKey | None = DPOP_KEY
    calls: list[Call] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def login(self) -> ClientLogin:
        return ClientLogin(
            client_id=ClientId("bot"),
            issuer=ISSUER,
            method=self.method,
            clock=self.clock,
            random=self._random,
            dpop_key=self.dpop_key,
        )

    _random: CountingRandom = field(default_factory=CountingRandom)

    def run(self, flow: Flow[T], answers: Iterable[Reply | Fault]) -> T:
        left = list(answers)

        def send(call: Call) -> Reply:
            self.calls.append(call)
            answer = left.pop(0)
            if isinstance(answer, Fault):
                raise answer
            return answer

        def wait(seconds: float) -> None:
            self.waits.append(seconds)
            self.clock.forward(int(seconds))

        result = run(flow, send, wait)
        assert not left, "the flow asked less than was expected"
        return result

    def forms(self) -> list[dict[str, tuple[str, ...]]]:
        return [dict(Form.parse(call.body).fields) for call in self.calls]


def secret() -> Secret:
    return Secret("a-secret-of-the-client")
