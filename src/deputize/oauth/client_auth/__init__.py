"""The table of methods; exactly one is used, the registered one, and with it the key that the client shows."""

from typing import Final

from deputize.core.ports import Add, Append, Env
from deputize.core.rules import Rule
from deputize.core.wire import Form, Inbound
from deputize.jose.x509 import Roots
from deputize.oauth import assertion, certificate, clients, dpop, fapi2, nonces
from deputize.oauth.binding import BoundKey
from deputize.oauth.client import Client, SecretHash
from deputize.oauth.client_auth import mtls, private_key_jwt, public, secret
from deputize.oauth.login import AuthenticatedClient, Method, proven
from deputize.oauth.server import AuthorizationServer

METHODS: Final[tuple[Method, ...]] = (
    private_key_jwt.METHOD,
    secret.BASIC_METHOD,
    secret.POST_METHOD,
    public.METHOD,
)


def with_certificates(roots: Roots | None) -> tuple[Method, ...]:
    """The table where certificates reach this server; `roots` are the authorities trusted for `tls_client_auth`."""
    return (*METHODS, mtls.method(roots))


ONE_METHOD = Rule("RFC 6749", "2.3", "A request uses one method of client authentication.")
AUTHENTICATED = Rule("RFC 6749", "3.2.1", "The client authenticates, with the method that it is registered for.")
SAME_CLIENT = Rule("RFC 7521", "4.2", "The client_id, where it is sent, is that of the client that authenticates.")

# Held against when there is no such client, so that the answer takes as long. No secret is known that has this hash.
_NOBODY: Final = Client(key="-", name="", auth_method="-", grant_types=frozenset(), secrets=(SecretHash("A" * 43),))


async def authenticate(request: Inbound, form: Form, here: AuthorizationServer, env: Env) -> AuthenticatedClient:
    """Who sends this request. Marks of single use (assertion, proof) are committed here, in one write."""
    used = [(method, claim) for method in here.methods if (claim := method.claims(request, form)) is not None]
    if len(used) > 1:
        ONE_METHOD.refuse("invalid_request", methods=[method.name for method, _ in used])
    if not used:
        AUTHENTICATED.refuse("invalid_client")
    method, claim = used[0]
    if here.fapi2:
        fapi2.hold_method(method)
        fapi2.hold_authentication(form, request.headers, here.issuer)
    if form.get("client_id") not in {None, claim.client_id}:
        SAME_CLIENT.refuse("invalid_client")
    client = await clients.find(claim.client_id, here.ways, env)
    marks = await method.verify(claim.shown, request, client or _NOBODY, here.issuer, env)
    if client is None or client.auth_method not in method.names:
        AUTHENTICATED.refuse("invalid_client", method=method.name)
    wanted = await nonces.at(here.issuer.text, here.dpop, env)
    proof = dpop.check(request.headers, method=request.method, url=request.url, now=env.clock(), nonces=wanted)
    if proof is not None:
        marks = (*marks, proof.once)
    if marks and not await env.store.commit(*marks):
        await _refuse_replay(marks, env)
    return proven(client, client.auth_method, proof.key if proof else _certificate_key(request, client))


def _certificate_key(request: Inbound, client: Client) -> BoundKey | None:
    """The certificate as the key to bind to: for who authenticates with it, or is registered for it (RFC 8705, 3)."""
    if request.certificate is None or not (client.auth_method in mtls.NAMES or client.certificate_bound):
        return None
    return certificate.key_of(request.certificate)


async def _refuse_replay(marks: tuple[Add | Append, ...], env: Env) -> None:
    for mark in marks:
        if isinstance(mark.record, dpop.ProofSeen) and await env.store.read(dpop.ProofSeen, mark.record.key):
            dpop.PROOF_ONCE.refuse("invalid_dpop_proof")
    assertion.ASSERTED_ONCE.refuse("invalid_client")
