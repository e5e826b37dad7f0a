"""The one authorization server that an API trusts: its keys, and what it knows of a token now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deputize.core.ports import Env
from deputize.core.published import Published
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Call, Malformed, form_bytes
from deputize.jose.algorithms import ALL
from deputize.jose.jws import Jws
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth import assertion, metadata
from deputize.oauth.caller import Credentials
from deputize.vc.status_check import Policy, StatusLists
from deputize.vc.status_list import IS_VALID, WITHIN, reference_in
from deputize.vc.status_token import Unverified

STILL_STANDS = Rule("RFC 7662", "2.2", "The token is active: neither ended, nor revoked, nor taken back by the person.")

ITS_LISTS: Final = Policy(ttl_min=Seconds(2), again_after=Seconds(1))  # our own server says how fresh they are to be

_FORM = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))


@dataclass(slots=True, kw_only=True)
class TrustedServer:
    """A server by its issuer identifier. Its documents are kept for a while; what it says of a token never is."""

    issuer: str
    env: Env
    _documents: Published[metadata.ServerMetadata] = field(
        default_factory=lambda: Published(read=metadata.read_server, names_itself="issuer")
    )
    _key_sets: Published[KeySet] = field(default_factory=lambda: Published(read=KeySet.published))
    _lists: StatusLists = field(default_factory=lambda: StatusLists(ITS_LISTS))
    _at: str = field(init=False)

    def __post_init__(self) -> None:
        self._at = metadata.well_known(self.issuer, metadata.OAUTH_WELL_KNOWN)

    async def keys(self, signed: Jws, now: Instant) -> KeySet:
        """Its keys; where it has none of this name, another look may help. Raises Fault rather than do without."""
        url = (await self._document(now)).jwks_uri
        if url is None:
            raise Fault(f"{self.issuer} publishes no keys")
        keys = self._key_sets.fresh(url, now) or await self._key_sets.get(url, self.env)
        if signed.alg in ALL and not keys.candidates(signed.kid, signed.alg):
            keys = await self._key_sets.get(url, self.env, fresher=True)
        return keys

    async def confirm(self, shown: Credentials, now: Instant, *, client_id: str, key: PrivateKey) -> None:
        """Hold a token against what the server knows at this moment, or refuse it. Raises Fault without an answer."""
        url = (await self._document(now)).introspection_endpoint
        if url is None:
            raise Fault(f"{self.issuer} has no introspection endpoint")
        signed = assertion.make(client_id, key, audience=self.issuer, jti=self.env.random(128), now=now)
        form = (
            ("token", shown.token),
            ("token_type_hint", "access_token"),
            ("client_assertion_type", assertion.TYPE),
            ("client_assertion", signed),
        )
        reply = await self.env.fetch(Call(method="POST", url=url, headers=_FORM, body=form_bytes(form)))
        if reply.status != 200:
            raise Fault(f"{url} answered {reply.status}", retry=True)
        try:
            active = reply.json_object().get("active")
        except Malformed as problem:
            raise Fault(f"{url}: {problem}") from None
        if active is False:
            STILL_STANDS.refuse("invalid_token")
        if active is not True:
            raise Fault(f"{url} did not say whether the token is active")

    async def hold_status(self, claims: Mapping[str, object]) -> None:
        """Refuse a token whose status, in a list that the server signed, is not VALID. Raises Fault without a list.

        The list is kept for as long as it says, so that for most calls nobody is asked. Where the list is not what it
        should be, the caller is not to blame.
        """
        reference = reference_in(claims, error="invalid_token")
        if reference is None:
            return
        try:
            await self._lists.hold(reference, self._list_keys, self.env)
        except Refusal as no:
            if no.rule in {IS_VALID, WITHIN}:
                raise
            raise Fault(f"{reference.uri} is no list of {self.issuer}: {no.rule.says}", retry=True) from None

    async def _list_keys(self, token: Unverified) -> KeySet:
        return await self.keys(token.signed, self.env.clock())  # whoever signs the tokens signs the lists, too

    async def _document(self, now: Instant) -> metadata.ServerMetadata:
        kept = self._documents.fresh(self._at, now)
        return kept or await self._documents.get(self._at, self.env, named=self.issuer)
