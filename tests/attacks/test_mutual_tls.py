"""Corpus CA-18 and CA-19: certificates of others, and tokens that were bound to one and are shown without it."""

import asyncio
import base64
import http.client
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
import trustme
import uvicorn
from cryptography import x509 as certificates
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from deputize.core.wire import json_object
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import TRUSTED, Roots, thumbprint
from deputize.oauth.caller import BOUND_ONLY, CERTIFICATE_SHOWN, SCHEME
from deputize.oauth.certificate import CLIENT_CERT, Edge
from deputize.oauth.client import Client
from deputize.oauth.client_auth import AUTHENTICATED, METHODS, SAME_CLIENT, mtls, with_certificates
from deputize.oauth.client_auth.mtls import PINNED, SUBJECT
from deputize.oauth.fapi2 import ALWAYS_BOUND, STRONG_CLIENT
from deputize.oauth.grants import refresh_token, token_exchange
from deputize.oauth.grants.token_exchange import KEY_SHOWN
from deputize.oauth.tokens import BOUND, CERTIFIED
from deputize.server.http import Asgi
from deputize.server.wire_guard import GuardedProtocol
from tests.jose.test_x509 import Made, issue
from tests.resource.world import World as Api
from tests.support.asgi import Answer
from tests.support.cast import ALL_GRANTS, BOT, NOW, PHARMACY, POST, READ, a_client
from tests.support.proofs import lets_through, stops
from tests.support.serving import loopback_socket
from tests.support.variants import remade, showing
from tests.support.world import CLIENT_CREDENTIALS, World

BOT_URI, CA_BOT, PINNED_BOT = "spiffe://example.org/bot", "ca-bot", "pinned-bot"
REFUSED = (401, "invalid_client")
TODAY = datetime.fromtimestamp(NOW, UTC)
TIMES: dict[str, Any] = {"since": TODAY - timedelta(days=1), "until": TODAY + timedelta(days=30)}
PROXY = "192.0.2.7"  # where the tests' requests come from

Name = certificates.GeneralName


@cache
def authority() -> Made:
    return issue("an authority", authority=True, **TIMES)


def named(*names: Name, by: Made | None = None, cn: str = "bot", **told: Any) -> Made:
    extra = ((certificates.SubjectAlternativeName(names), False),) if names else ()
    return issue(cn, by or authority(), extra=extra, **{**TIMES, **told})


def uri(text: str) -> Name:
    return certificates.UniformResourceIdentifier(text)


@cache
def good() -> Made:
    return named(uri(BOT_URI))


@cache
def pinned() -> Made:
    return issue("pinned", **TIMES)


@pytest.fixture
async def there(world: World) -> World:
    """A server that trusts one authority, with a client of each of the two methods."""
    grants = ALL_GRANTS | {refresh_token.TYPE}
    await world.add(
        a_client(CA_BOT, auth_method=mtls.CA_ISSUED, certificate_subject=f"san_uri:{BOT_URI}", grant_types=grants),
        a_client(PINNED_BOT, auth_method=mtls.SELF_SIGNED, certificates=frozenset({thumbprint(pinned().der)})),
    )
    return remade(world, methods=with_certificates(Roots([authority().der])), edge=Edge())


def over(world: World, made: Made | None) -> World:
    """The requests that follow come over a connection where this certificate was shown."""
    remade(world, edge=Edge())
    world.app = showing(world.app, made.der if made else None)
    return world


async def asks(world: World, client: str, made: Made | None, **form: str) -> Answer:
    over(world, made)
    return await world.post("/token", {**CLIENT_CREDENTIALS, "client_id": client, **form})


def said(answer: Answer) -> tuple[int, str, object]:
    return (*answer.told, answer.json.get("error_description"))


# --- tls_client_auth ------------------------------------------------------------------------------------------------


@lets_through(SUBJECT, TRUSTED, AUTHENTICATED)
async def test_a_certificate_that_names_the_client_lets_it_in_and_binds_its_token(there: World) -> None:
    answer = await asks(there, CA_BOT, good())
    assert answer["token_type"] == "Bearer"
    assert peek(answer["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(good().der)}
    told = (await there.post("/introspect", {"token": answer["access_token"]}, by=PHARMACY)).json
    assert told["cnf"] == {"x5t#S256": thumbprint(good().der)}
    assert told["token_type"] == "Bearer"


async def test_that_tokens_are_bound_to_certificates_is_told_where_they_reach_the_server(there: World) -> None:
    told = (await there.get("/.well-known/openid-configuration")).json
    assert told["tls_client_certificate_bound_access_tokens"] is True
    remade(there, methods=METHODS)
    told = (await there.get("/.well-known/openid-configuration")).json
    assert "tls_client_certificate_bound_access_tokens" not in told


KINDS = [
    ("san_uri", BOT_URI, uri(BOT_URI), uri("spiffe://example.org/other")),
    ("san_dns", "bot.example", certificates.DNSName("BOT.example"), certificates.DNSName("sub.bot.example")),
    ("san_dns", "bot.example", certificates.DNSName("bot.example"), certificates.DNSName("*.example")),
    ("san_email", "bot@example", certificates.RFC822Name("bot@example"), certificates.RFC822Name("BOT@example")),
    (
        "san_ip",
        "2001:db8:0::1",
        certificates.IPAddress(ipaddress.ip_address("2001:db8::1")),
        certificates.IPAddress(ipaddress.ip_address("2001:db8::2")),
    ),
]


@lets_through(SUBJECT)
@stops(SUBJECT)
@pytest.mark.parametrize(("kind", "text", "right", "wrong"), KINDS)
async def test_ca_18_each_kind_of_subject_is_held_as_its_own_kind(
    there: World, kind: str, text: str, right: Name, wrong: Name
) -> None:
    await there.change(Client, CA_BOT, certificate_subject=f"{kind}:{text}")
    assert (await asks(there, CA_BOT, named(right))).status == 200
    assert (await asks(there, CA_BOT, named(wrong, right))).status == 200
    for other in (named(wrong), named(), named(cn=text), named(uri(f"x:{text}"))):
        assert said(await asks(there, CA_BOT, other)) == (*REFUSED, SUBJECT.says)


@lets_through(SUBJECT)
@stops(SUBJECT)
async def test_ca_18_a_whole_name_is_compared_whole(there: World) -> None:
    root = trustme.CA()
    leaf = root.issue_cert("bot.example", common_name="bot", organization_name="Pharmacy", organization_unit_name="IT")
    [shown] = certificates.load_pem_x509_certificates(leaf.cert_chain_pems[0].bytes())
    made = Made(shown, None)
    roots = Roots([certificates.load_pem_x509_certificate(root.cert_pem.bytes()).public_bytes(Encoding.DER)])
    remade(there, methods=with_certificates(roots))
    for subject, lets in (
        ("CN=bot,OU=IT,O=Pharmacy", True),
        ("CN=bot, OU=IT, O=Pharmacy", False),  # RFC 4514 has no spaces between
        ("O=Pharmacy,OU=IT,CN=bot", False),
        ("CN=bot", False),
        ("CN=bot,OU=IT", False),
        ("cn", False),
        ("", False),
    ):
        await there.change(Client, CA_BOT, certificate_subject=f"subject_dn:{subject}")
        answer = await asks(there, CA_BOT, made)
        assert (answer.status == 200) == lets, subject
    for unknown in ("subject:CN=bot", "san_other:bot", "bot", "san_ip:bot", "san_ip:"):
        await there.change(Client, CA_BOT, certificate_subject=unknown)
        assert said(await asks(there, CA_BOT, made)) == (*REFUSED, SUBJECT.says)


@stops(TRUSTED)
@pytest.mark.parametrize(
    "made",
    [
        lambda: named(uri(BOT_URI), since=TODAY - timedelta(days=9), until=TODAY - timedelta(seconds=1)),
        lambda: named(uri(BOT_URI), since=TODAY + timedelta(seconds=1)),
        lambda: named(uri(BOT_URI), by=issue("an authority", authority=True, **TIMES)),
        lambda: issue("bot", extra=((certificates.SubjectAlternativeName([uri(BOT_URI)]), False),), **TIMES),
        lambda: named(uri(BOT_URI), by=good()),  # a client's certificate signs nothing
        lambda: named(uri(BOT_URI), authority=True),
        lambda: named(uri(BOT_URI), key=rsa.generate_private_key(65537, 1024)),
        authority,
        pinned,
    ],
    ids=["expired", "not-yet", "other-ca", "self-signed", "by-a-leaf", "a-ca", "weak", "the-root", "pinned"],
)
async def test_ca_18_a_certificate_that_nobody_vouches_for(there: World, made: Any) -> None:
    for client in (CA_BOT, "nobody"):
        assert said(await asks(there, client, made())) == (*REFUSED, TRUSTED.says)


@stops(SUBJECT, AUTHENTICATED)
async def test_ca_18_a_good_certificate_is_one_clients_alone(there: World) -> None:
    unknown = await asks(there, "nobody", good())
    assert said(unknown) == (*REFUSED, SUBJECT.says)
    assert (await asks(there, BOT, good())).body == unknown.body  # which authenticates otherwise
    await there.change(Client, CA_BOT, certificate_subject=None)
    assert (await asks(there, CA_BOT, good())).body == unknown.body
    await there.change(Client, BOT, certificate_subject=f"san_uri:{BOT_URI}")
    assert said(await asks(there, BOT, good())) == (*REFUSED, AUTHENTICATED.says)


@stops(SUBJECT, AUTHENTICATED)
async def test_ca_18_no_certificate_or_nobody_to_trust(there: World) -> None:
    assert said(await asks(there, CA_BOT, None)) == (*REFUSED, AUTHENTICATED.says)
    remade(there, methods=with_certificates(None))
    assert said(await asks(there, CA_BOT, good())) == (*REFUSED, SUBJECT.says)
    remade(there, methods=METHODS)
    assert said(await asks(there, CA_BOT, good())) == (*REFUSED, AUTHENTICATED.says)


async def test_a_client_without_its_name_is_nobody(there: World) -> None:
    over(there, good())
    assert (await there.post("/token", CLIENT_CREDENTIALS)).told == REFUSED


# --- self_signed_tls_client_auth ------------------------------------------------------------------------------------


@lets_through(PINNED)
async def test_a_certificate_that_was_registered_lets_its_client_in(there: World) -> None:
    answer = await asks(there, PINNED_BOT, pinned())
    assert peek(answer["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(pinned().der)}
    following = issue("pinned", **TIMES)
    both = frozenset({thumbprint(pinned().der), thumbprint(following.der)})
    await there.change(Client, PINNED_BOT, certificates=both)
    for made in (pinned(), following):
        assert (await asks(there, PINNED_BOT, made)).status == 200


@stops(PINNED)
async def test_ca_18_a_certificate_that_was_not_registered_or_is_past_its_time(there: World) -> None:
    same_key = issue("pinned", key=pinned().key, **TIMES)
    for made in (same_key, issue("pinned", **TIMES), good(), authority()):
        assert said(await asks(there, PINNED_BOT, made)) == (*REFUSED, PINNED.says)
    for seconds, status in ((-24 * 3600, 200), (-1, 401), (31 * 24 * 3600, 200), (1, 401)):
        there.clock.forward(seconds)
        assert (await asks(there, PINNED_BOT, pinned())).status == status
    await there.change(Client, PINNED_BOT, certificates=frozenset({thumbprint(b"garbage")}))
    over(there, None).app = showing(there.app, b"garbage")
    form = {**CLIENT_CREDENTIALS, "client_id": PINNED_BOT}
    assert said(await there.post("/token", form)) == (*REFUSED, PINNED.says)


# --- beside other methods -------------------------------------------------------------------------------------------


@stops(AUTHENTICATED, SAME_CLIENT)
async def test_ca_03_a_certificate_and_another_method(there: World) -> None:
    """TLS may carry a certificate whatever the method: what the request itself uses is the method."""
    over(there, good())
    answer = await there.post("/token", {**CLIENT_CREDENTIALS, "client_id": BOT}, by=BOT)
    assert answer.status == 200
    assert "cnf" not in peek(answer["access_token"], "")[1]  # it did not ask to be bound
    assert (await there.post("/token", {**CLIENT_CREDENTIALS, "client_id": CA_BOT}, by=BOT)).told == REFUSED
    for more in ({"client_secret": "x"}, {"client_assertion": "x"}, {"client_assertion_type": "x"}):
        form = {**CLIENT_CREDENTIALS, "client_id": CA_BOT, **more}
        assert (await there.post("/token", form)).told == REFUSED
    form = {**CLIENT_CREDENTIALS, "client_id": CA_BOT}
    assert (await there.post("/token", form, (("authorization", "Basic eDp5"),))).told == REFUSED
    assert (await there.post("/token", form, (("authorization", "Bearer x"),))).told == REFUSED
    assert (await there.post("/token", {**form, "client_secret": there.secrets[POST]})).told == REFUSED


@lets_through(CERTIFIED)
async def test_a_client_with_a_key_may_have_its_tokens_bound_to_its_certificate(there: World) -> None:
    await there.change(Client, BOT, certificate_bound=True)
    over(there, issue("anything", **TIMES))  # it authenticates by its key: any certificate will do
    assert "x5t#S256" in str(peek((await there.token())["access_token"], "")[1]["cnf"])


@lets_through(ALWAYS_BOUND, STRONG_CLIENT)
@stops(ALWAYS_BOUND)
async def test_under_fapi_a_certificate_is_as_good_as_a_proof_and_none_of_both_is_refused(there: World) -> None:
    remade(there, fapi2=True)
    answer = await asks(there, CA_BOT, good())
    assert peek(answer["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(good().der)}
    missing = (400, "invalid_dpop_proof", ALWAYS_BOUND.says)
    assert said(await there.token()) == missing  # the bot has a key, and its tokens are not bound to this certificate
    await there.change(Client, BOT, certificate_bound=True)
    assert (await there.token()).status == 200


@stops(CERTIFIED, BOUND)
async def test_a_client_that_is_to_be_bound_is_never_let_off(there: World) -> None:
    await there.change(Client, BOT, certificate_bound=True)
    missing = (400, "invalid_request", CERTIFIED.says)
    assert said(await there.token()) == missing
    over(there, good())
    assert said(await there.token(key=PrivateKey.generate())) == missing
    await there.change(Client, CA_BOT, dpop_bound=True)
    assert said(await asks(there, CA_BOT, good())) == (400, "invalid_dpop_proof", BOUND.says)
    key = PrivateKey.generate()
    form = {**CLIENT_CREDENTIALS, "client_id": CA_BOT}
    answer = await there.post("/token", form, key=key)
    assert (answer["token_type"], peek(answer["access_token"], "")[1]["cnf"]) == (
        "DPoP",
        {"jkt": key.public().thumbprint},
    )


# --- bound tokens at the server -------------------------------------------------------------------------------------


async def allowed(world: World, made: Made) -> Answer:
    """What comes of an ask of the client with its certificate."""
    over(world, made)
    form = {"scope": f"openid {READ}", "login_hint": "alice", "client_id": CA_BOT}
    ask = await world.ask_of((await world.post("/backchannel", form))["auth_req_id"])
    if ask.open_for:
        await world.allow(ask)
    poll = {"grant_type": "urn:openid:params:grant-type:ciba", "auth_req_id": ask.key, "client_id": CA_BOT}
    return await world.post("/token", poll)


@lets_through(KEY_SHOWN)
@stops(KEY_SHOWN)
async def test_ca_19_a_bound_token_is_exchanged_with_its_certificate(there: World) -> None:
    token = (await allowed(there, good()))["access_token"]
    kind = "urn:ietf:params:oauth:token-type:access_token"
    form = {"grant_type": token_exchange.TYPE, "subject_token": token, "subject_token_type": kind, "client_id": CA_BOT}
    renewed = named(uri(BOT_URI))
    over(there, renewed)
    assert (await there.post("/token", form)).told == (400, "invalid_request")
    over(there, good())
    answer = await there.post("/token", form)
    assert peek(answer["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(good().der)}


async def test_a_refresh_goes_with_the_clients_certificate_also_where_it_was_renewed(there: World) -> None:
    """RFC 8705, 6.3: the client authenticates with a certificate, so a renewed one serves as well."""
    token = (await allowed(there, good()))["refresh_token"]
    form = {"grant_type": refresh_token.TYPE, "client_id": CA_BOT}
    renewed = named(uri(BOT_URI))
    for made in (None, pinned(), named(uri("spiffe://example.org/other"))):
        over(there, made)
        assert (await there.post("/token", {**form, "refresh_token": token})).told == REFUSED
    for made in (good(), renewed):
        over(there, made)
        answer = await there.post("/token", {**form, "refresh_token": token})
        assert peek(answer["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(made.der)}
        token = answer["refresh_token"]


# --- behind a proxy -------------------------------------------------------------------------------------------------


def field(der: bytes) -> str:
    return f":{base64.b64encode(der).decode()}:"


async def through(world: World, *headers: tuple[str, str], client: str = CA_BOT) -> Answer:
    return await world.post("/token", {**CLIENT_CREDENTIALS, "client_id": client}, headers)


@lets_through(CLIENT_CERT)
@pytest.mark.parametrize("proxies", [[PROXY], ["192.0.2.0/24", "2001:db8::/32"]])
async def test_a_trusted_proxy_tells_of_the_certificate(there: World, proxies: list[str]) -> None:
    remade(there, edge=Edge.of(proxies))
    answer = await through(there, ("client-cert", field(good().der)))
    assert peek(answer["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(good().der)}
    between = issue("between", authority(), authority=True, path=0, **TIMES)
    leaf = named(uri(BOT_URI), by=between)
    headers = (("client-cert", field(leaf.der)), ("client-cert-chain", f"{field(between.der)}, {field(pinned().der)}"))
    assert (await through(there, *headers)).status == 200
    assert (await through(there, *headers[:1])).told == REFUSED
    assert (await through(there)).told == REFUSED


async def test_a_proxys_self_signed_client(there: World) -> None:
    remade(there, edge=Edge.of([PROXY]))
    answer = await through(there, ("client-cert", field(pinned().der)), client=PINNED_BOT)
    assert answer.status == 200


@pytest.mark.parametrize("proxies", [[], ["192.0.2.8"], ["198.51.100.0/24"], ["::/0"]])
async def test_ca_18_what_an_untrusted_peer_says_of_a_certificate_is_not_looked_at(
    there: World, proxies: list[str]
) -> None:
    remade(there, edge=Edge.of(proxies))
    for told in (field(good().der), "nonsense"):
        answer = await through(there, ("client-cert", told), ("client-cert-chain", told))
        assert said(answer) == (*REFUSED, AUTHENTICATED.says)
    there.app = showing(there.app, pinned().der)  # its own certificate counts, and not what it says
    assert said(await through(there, ("client-cert", field(good().der)))) == (*REFUSED, TRUSTED.says)


async def test_ca_18_the_proxys_own_certificate_is_not_its_clients(there: World) -> None:
    """The proxy shows a certificate of its own to us; who comes through it with none has none."""
    remade(there, edge=Edge.of([PROXY]))
    there.app = showing(there.app, good().der)
    assert said(await through(there)) == (*REFUSED, AUTHENTICATED.says)
    answer = await through(there, ("client-cert", field(pinned().der)), client=PINNED_BOT)
    assert answer.status == 200


@stops(CLIENT_CERT)
async def test_what_a_proxy_says_is_read_strictly(there: World) -> None:
    remade(there, edge=Edge.of([PROXY]))
    der = field(good().der)
    for told in (der[1:], der[:-1], der.strip(":"), "", ":", f"{der};x=y", f'"{der}"', ":é:", f":{der}:", ":a:"):
        assert said(await through(there, ("client-cert", told))) == (400, "invalid_request", CLIENT_CERT.says), told
    huge = (("client-cert", f":{'A' * 12_000}:"),)
    assert (await through(there, *huge)).told == (400, "invalid_request")
    many = (("client-cert", der), ("client-cert-chain", ",".join([der] * 4)))
    assert (await through(there, *many)).told == (400, "invalid_request")
    twice = (("client-cert", der), ("client-cert", der))
    assert (await through(there, *twice)).told == (400, "invalid_request")
    assert (await through(there, ("client-cert", "::"))).told == REFUSED
    assert (await through(there, ("client-cert", field(b"garbage")))).told == REFUSED


def test_whom_an_edge_trusts() -> None:
    headers: Any = type("Headers", (), {"one": staticmethod({"client-cert": ":AAAA:"}.get)})
    edge = Edge.of(["10.0.0.0/8", "2001:db8::1"])
    for peer, trusted in (
        (("10.1.2.3", 1), True),
        (("::ffff:10.1.2.3", 1), True),  # IPv4 on a socket for both
        (("2001:db8::1", 1), True),
        (("11.0.0.1", 1), False),
        (("::ffff:11.0.0.1", 1), False),
        (("", 0), False),
        (("unix:", 0), False),
        (None, False),
    ):
        assert bool(edge.certificates({"client": peer}, headers)) == trusted, peer
    with pytest.raises(ValueError, match="host bits"):
        Edge.of(["10.0.0.1/8"])


# --- at an API ------------------------------------------------------------------------------------------------------


def bound_to(api: Api, made: Made, **cnf: str) -> str:
    return api.token(bearer=True, cnf={"x5t#S256": thumbprint(made.der), **cnf})


async def calls(api: Api, token: str, made: Made | None, *, scheme: str = "Bearer") -> tuple[int, Any]:
    inner = api.guard.wrap(api.api)
    api.app = showing(inner, made.der if made else None)
    answer = await api.send("GET", "/prescriptions", headers=[("authorization", f"{scheme} {token}")])
    return answer.status_code, answer.json().get("error_description")


@lets_through(CERTIFICATE_SHOWN, SCHEME)
async def test_an_api_takes_a_bound_token_over_the_clients_own_tls() -> None:
    api = Api()
    assert await calls(api, bound_to(api, good()), good()) == (200, None)
    scope, _ = api.api.seen[-1]
    key = scope["deputize.caller"].key
    assert (key.x5t, key.jkt) == (thumbprint(good().der), None)


@stops(CERTIFICATE_SHOWN, SCHEME, BOUND_ONLY)
async def test_ca_19_another_certificate_or_none_at_an_api() -> None:
    api = Api()
    token = bound_to(api, good())
    for made in (pinned(), named(uri(BOT_URI)), None):
        assert await calls(api, token, made) == (401, CERTIFICATE_SHOWN.says)
    assert await calls(api, token, good(), scheme="DPoP") == (401, SCHEME.says)
    both = bound_to(api, good(), jkt=api.agent.public().thumbprint)
    assert await calls(api, both, good()) == (401, SCHEME.says)
    others: list[Any] = [{"x5t#S256": 7}, {"x5t#S256": None}, {"x5t": thumbprint(good().der)}, {}, [], "x"]
    for crooked in others:
        assert await calls(api, api.token(bearer=True, cnf=crooked), good()) == (401, SCHEME.says), crooked
    forged = api.token(bearer=True, cnf={"jkt": f"x5t:{thumbprint(good().der)}"})
    assert await calls(api, forged, good()) == (401, SCHEME.says)
    wants_keys = Api(dpop_required=True)
    assert await calls(wants_keys, bound_to(wants_keys, good()), good()) == (401, BOUND_ONLY.says)
    assert api.api.seen == []


async def test_ca_19_an_api_believes_its_own_proxies_alone() -> None:
    told = [("client-cert", field(good().der))]
    for proxies, status in (((), 401), (("127.0.0.0/8",), 200), (("10.0.0.1",), 401)):
        api = Api(proxies=proxies)
        headers = [("authorization", f"Bearer {bound_to(api, good())}"), *told]
        assert (await api.send("GET", "/prescriptions", headers=headers)).status_code == status
        for scope, _ in api.api.seen:
            assert not [name for name, _ in scope["headers"] if name.startswith(b"client-cert")]


# --- over real TLS --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(app: Asgi, files: Path, ours: trustme.CA, theirs: trustme.CA) -> AsyncIterator[int]:
    chain, key, trusted = files / "server.pem", files / "server.key", files / "clients.pem"
    made = ours.issue_cert("localhost", "127.0.0.1")
    chain.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    theirs.cert_pem.write_to_path(str(trusted))
    config = uvicorn.Config(
        cast("Any", app),
        http=GuardedProtocol,
        log_level="error",
        lifespan="off",
        ws="none",
        proxy_headers=False,
        ssl_certfile=str(chain),
        ssl_keyfile=str(key),
        ssl_ca_certs=str(trusted),
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
    )
    bound = loopback_socket()
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def told_over_tls(port: int, ours: trustme.CA, shown: Path | None, form: dict[str, str]) -> tuple[int, Any]:
    context = ssl.create_default_context()
    ours.configure_trust(context)
    if shown is not None:
        context.load_cert_chain(shown)
    link = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    try:
        link.request("POST", "/token", urlencode(form), {"content-type": "application/x-www-form-urlencoded"})
        answer = link.getresponse()
        return answer.status, json_object(answer.read())
    finally:
        link.close()


async def test_ca_18_over_real_tls(there: World, tmp_path: Path) -> None:
    ours, theirs, strangers = trustme.CA(), trustme.CA(), trustme.CA()
    root = certificates.load_pem_x509_certificate(theirs.cert_pem.bytes()).public_bytes(Encoding.DER)
    remade(there, methods=with_certificates(Roots([root])), edge=Edge())
    await there.change(Client, CA_BOT, certificate_subject="san_dns:bot.example")
    files = {}
    for name, by, host in (
        ("good", theirs, "bot.example"),
        ("other", theirs, "x.example"),
        ("bad", strangers, "bot.example"),
    ):
        files[name] = tmp_path / f"{name}.pem"
        by.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(files[name]))
    form = {**CLIENT_CREDENTIALS, "client_id": CA_BOT}
    async with tls_server(there.app, tmp_path, ours, theirs) as port:
        status, told = await asyncio.to_thread(told_over_tls, port, ours, files["good"], form)
        assert status == 200
        pem = files["good"].read_bytes()
        der = certificates.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)
        assert peek(told["access_token"], "")[1]["cnf"] == {"x5t#S256": thumbprint(der)}
        for shown in (files["other"], None):
            status, told = await asyncio.to_thread(told_over_tls, port, ours, shown, form)
            assert (status, told["error"]) == REFUSED
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            await asyncio.to_thread(told_over_tls, port, ours, files["bad"], form)
