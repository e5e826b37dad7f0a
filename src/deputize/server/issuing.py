"""The issuer's endpoints (OpenID4VCI 1.0): nonce, credential, deferred, notification, offers, and the metadata."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final
from urllib.parse import urlsplit

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Inbound, JsonObject, Outbound, json_bytes
from deputize.jose.algorithms import ALL
from deputize.oauth import dpop, nonces, offers
from deputize.oauth.caller import Caller
from deputize.oauth.certificate import Edge
from deputize.oauth.offers import Entitled, Offer, secret_hash
from deputize.oauth.server import AuthorizationServer
from deputize.server import entitled, http, issuer_metadata
from deputize.server.credentials import DAY, Credentials, Issued
from deputize.server.http import Receive, Scope
from deputize.server.issuer_metadata import HAIP_ALGS
from deputize.vc import issuance, proofs
from deputize.vc.credential import prepare
from deputize.vc.issuance import AnswerKey
from deputize.vc.proofs import ProofNonces

NONCE, CREDENTIAL, DEFERRED, NOTIFICATION = "/nonce", "/credential", "/deferred", "/notification"
OFFERS: Final = "/offers/"
TRANSACTION_LIFE: Final = Seconds(30 * DAY)
DELIVERED_LIFE: Final = Seconds(7 * DAY)
TRIES: Final = 20

_SPEC: Final = "OpenID4VCI 1.0"
KNOWN_TRANSACTION = Rule(
    _SPEC, "9.1", "The transaction_id was given out for what this token covers, and nothing was delivered for it yet."
)
KNOWN_NOTIFICATION = Rule(_SPEC, "11.3", "The notification_id was given out with credentials of this token's subject.")
KEPT_OFFER = Rule(_SPEC, "4.1.3", "The offer at this address has not expired, and was not taken.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction(Record):
    """Credentials that are issued later. `key` is a hash of the transaction_id; `jwks` the keys that were proven."""

    kind: ClassVar[str] = "credential_transaction"

    dataset: str
    client: str
    jwks: str
    delivered_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Record):
    """Credentials that were issued, and what the wallet told of them. `key` is a hash of the notification_id."""

    kind: ClassVar[str] = "credential_delivered"

    dataset: str
    whose: str
    events: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CredentialSite:
    """One issuer's endpoints. Everything lies below `/credentials`, the well-known documents aside."""

    credentials: Credentials
    here: AuthorizationServer
    env: Env
    edge: Edge | None = None

    @property
    def _base(self) -> str:
        return urlsplit(self.credentials.name).path

    def serves(self, path: str) -> bool:
        named = path.removeprefix(self._base)
        return path in self._documents() or (named != path and (named in self._endpoints() or named.startswith(OFFERS)))

    def _documents(self) -> dict[str, Callable[[Scope], Outbound]]:
        return {
            issuer_metadata.WELL_KNOWN + self._base: self._metadata,
            issuer_metadata.JWT_VC_ISSUER + self._base: self._keys,
        }

    def _endpoints(self) -> dict[str, Callable[[Inbound], Awaitable[Outbound]]]:
        return {
            NONCE: self._nonce,
            CREDENTIAL: self._credential,
            DEFERRED: self._deferred,
            NOTIFICATION: self._notified,
        }

    async def answered(self, scope: Scope, receive: Receive) -> Outbound:
        """The answer to a request at one of its paths."""
        path, method = scope["path"], scope["method"]
        named = path.removeprefix(self._base)
        reads = path in self._documents() or named.startswith(OFFERS)
        try:
            if method not in ({"GET", "HEAD"} if reads else {"POST"}):
                http.METHOD.refuse("invalid_request")
            if path in self._documents():
                return self._documents()[path](scope)
            if reads:
                return await self._offer(named.removeprefix(OFFERS))
            request = await http.inbound(scope, receive, self.credentials.name + named)
            if self.edge is not None and (shown := self.edge.certificates(scope, request.headers)):
                request = replace(request, certificate=shown[0], chain=shown[1:])
            return await self._endpoints()[named](request)
        except Refusal as refusal:
            http.note_refusal(refusal, self._base if named.startswith(OFFERS) else path)  # an offer's name opens it
            return _refused(refusal)
        except Fault as fault:
            http.log.error("failed", path=path, what=str(fault))
            return http.failed(fault)

    # --- what is public ---------------------------------------------------------------------------------------------

    def _metadata(self, scope: Scope) -> Outbound:
        accepts = [value for name, value in scope["headers"] if name == b"accept"]
        said = issuer_metadata.of_issuer(self.credentials)
        if self.credentials.certified is not None and any(b"application/jwt" in value for value in accepts):
            return http.answered_signed(issuer_metadata.signed(said, self.credentials, self.env.clock()), "jwt")
        return http.answered(said, extra=(("access-control-allow-origin", "*"), ("vary", "accept")))

    def _keys(self, scope: Scope) -> Outbound:
        del scope
        return http.answered({"issuer": self.credentials.name, "jwks": {"keys": list(self.env.signer.keys())}})

    async def _offer(self, secret: str) -> Outbound:
        offer = await self.env.store.read(Offer, secret_hash(secret))
        if offer is None or offer.spent_at is not None or self.env.clock() >= offer.lives_until:
            KEPT_OFFER.refuse("invalid_request")
        return http.answered(offers.told(offer, secret))

    async def _nonce(self, request: Inbound) -> Outbound:
        """POST /nonce (7): for anybody; nothing is written, so that strangers fill no table."""
        del request
        given = (await self._nonces()).fresh(self.env.clock(), self.env.random(128))
        return http.answered({"c_nonce": given})

    async def _nonces(self) -> ProofNonces:
        return ProofNonces(await nonces.secret_of("c_nonce", self.env))

    # --- the credential ---------------------------------------------------------------------------------------------

    async def _credential(self, request: Inbound) -> Outbound:
        """POST /credential (8)."""
        told, once = await entitled.bearer(request, self.credentials, self.here, self.env)
        said, encrypted = issuance.body(request, self.credentials.requests)
        identified = bool(entitled.identifiers(told, self.credentials.name))
        asked = issuance.read(said, encrypted=encrypted, identified=identified, batch=self.credentials.settings.batch)
        if self.credentials.requests.required and asked.answer_key is None:
            issuance.ENCRYPTED.refuse("invalid_encryption_parameters")
        issued, whose = await entitled.dataset_of(asked, told, self.credentials, self.env)
        now = self.env.clock()
        client_id = None if told.client == self.here.anonymous else str(told.client)
        algs = frozenset(HAIP_ALGS) if self.credentials.settings.haip else ALL
        proven = proofs.hold(asked.proofs, issuer=self.credentials.name, client_id=client_id, now=now, algs=algs)
        mark = Add((await self._nonces()).hold(proven.nonce, now))
        if not whose.claims:
            return await self._later(told, whose, proven.jwks, asked.answer_key, (*once, mark))
        return await self._issue(told, issued, whose, proven.jwks, asked.answer_key, (*once, mark))

    async def _issue(
        self,
        told: Caller,
        issued: Issued,
        whose: Entitled,
        jwks: Sequence[JsonObject],
        answer_key: AnswerKey | None,
        once: tuple[Change, ...],
    ) -> Outbound:
        """One credential a key, with salts, an entry and rounded times of its own; then one write, and the answer."""
        now, name = self.env.clock(), self.env.random(128)
        until = Instant(now - now % DAY + issued.life)
        kept = Delivered(
            key=secret_hash(name), dataset=whose.key, whose=whose.whose, expires_at=Instant(now + DELIVERED_LIFE)
        )
        about = {"configuration": whose.configuration, "count": str(len(jwks))}
        event = Event(key="", at=now, what="credential_issued", client=told.client, person=told.subject, told=about)
        lists = self.credentials.lists if issued.status else None
        for _ in range(TRIES):
            drawn = [] if lists is None else [await lists.draw(until, self.env, under=(whose.key,)) for _ in jwks]
            taken = {change.record.key for each in drawn for change in each.changes}
            if len(taken) < sum(len(each.changes) for each in drawn):
                continue  # two of the batch drew the same
            made = [
                await self._signed(issued, whose, jwk, until, drawn[place].claim if drawn else None)
                for place, jwk in enumerate(jwks)
            ]
            changes = (change for each in drawn for change in each.changes)
            if await self.env.store.commit(*once, Add(kept), Append(event), *changes):
                answer: JsonObject = {"credentials": [{"credential": one} for one in made], "notification_id": name}
                return _answered(answer, answer_key)
            await self._refuse_replay(once)
        raise Fault("no entry of a list could be had", retry=True)

    async def _refuse_replay(self, once: Sequence[Change]) -> None:
        """Say which of the things that are good for once was used before; none, where it was another's entry."""
        for change in once:
            if isinstance(change, Replace):
                KNOWN_TRANSACTION.refuse("invalid_transaction_id", race=True)
            if await self.env.store.read(type(change.record), change.record.key) is not None:
                if isinstance(change.record, dpop.ProofSeen):
                    dpop.PROOF_ONCE.refuse("invalid_token")
                proofs.NONCE_ONCE.refuse("invalid_nonce")

    async def _signed(
        self, issued: Issued, whose: Entitled, jwk: JsonObject, until: Instant, status: JsonObject | None
    ) -> str:
        now = self.env.clock()
        claims: JsonObject = {
            **json.loads(whose.claims),
            "iss": self.credentials.name,
            "vct": issued.vct,
            "iat": now - now % DAY,  # OpenID4VCI 1.0, 15.4.1: so that a time tells nobody who it is
            "exp": until,
            "cnf": {"jwk": jwk},
        }
        if status is not None:
            claims["status"] = status
        frame, certified = self.credentials.frame(issued), self.credentials.certified
        if self.credentials.settings.haip and certified is not None:
            header = {"x5c": certified.x5c}
            alg = certified.key.alg.name
            made = prepare(claims, frame, alg=alg, kid=None, random=self.env.random, header=header)
            return made.signed(certified.key.sign(made.data))
        kid, alg = self.env.signer.active()
        made = prepare(claims, frame, alg=alg, kid=kid, random=self.env.random)
        return made.signed(await self.env.signer.sign(kid, made.data))

    # --- what is issued later ---------------------------------------------------------------------------------------

    async def _later(
        self,
        told: Caller,
        whose: Entitled,
        jwks: Sequence[JsonObject],
        answer_key: AnswerKey | None,
        once: tuple[Change, ...],
    ) -> Outbound:
        now, name = self.env.clock(), self.env.random(256)
        kept = Transaction(
            key=secret_hash(name),
            dataset=whose.key,
            client=told.client,
            jwks=json_bytes(list(jwks)).decode(),
            expires_at=Instant(now + TRANSACTION_LIFE),
        )
        event = Event(key="", at=now, what="credential_deferred", client=told.client, person=told.subject)
        if not await self.env.store.commit(*once, Add(kept), Append(event)):
            await self._refuse_replay(once)
            raise Fault("there is a transaction of this name already", retry=True)
        return _answered(self._waits(name), answer_key, status=202)

    def _waits(self, name: str) -> JsonObject:
        return {"transaction_id": name, "interval": self.credentials.settings.interval}

    async def _deferred(self, request: Inbound) -> Outbound:
        """POST /deferred (9)."""
        told, once = await entitled.bearer(request, self.credentials, self.here, self.env)
        said, encrypted = issuance.body(request, self.credentials.requests)
        answer_key = issuance.answer_key(said, encrypted=encrypted)
        if self.credentials.requests.required and answer_key is None:
            issuance.ENCRYPTED.refuse("invalid_encryption_parameters")
        name = said.get("transaction_id")
        kept = await self.env.store.read(Transaction, secret_hash(name)) if isinstance(name, str) else None
        whose = None if kept is None else await self.env.store.read(Entitled, kept.dataset)
        now = self.env.clock()
        if kept is None or whose is None or kept.delivered_at is not None or (kept.expires_at or now) <= now:
            KNOWN_TRANSACTION.refuse("invalid_transaction_id")
        if kept.client != told.client or whose.whose not in entitled.stands_for(told):
            KNOWN_TRANSACTION.refuse("invalid_transaction_id")
        issued = self.credentials.settings.issued.get(whose.configuration)
        covered = whose.key in entitled.identifiers(told, self.credentials.name)
        if issued is None or not (covered or (issued.scope and issued.scope in told.authority.scope)):
            KNOWN_TRANSACTION.refuse("invalid_transaction_id")
        if not whose.claims:
            if once and not await self.env.store.commit(*once):
                dpop.PROOF_ONCE.refuse("invalid_token")
            return _answered(self._waits(str(name)), answer_key, status=202)
        done = Replace(kept, replace(kept, delivered_at=now))
        return await self._issue(told, issued, whose, json.loads(kept.jwks), answer_key, (*once, done))

    # --- what a wallet tells ----------------------------------------------------------------------------------------

    async def _notified(self, request: Inbound) -> Outbound:
        """POST /notification (11): told again, it is as it was."""
        told, once = await entitled.bearer(request, self.credentials, self.here, self.env)
        said, _ = issuance.body(
            request, replace(self.credentials.requests, required=False), "invalid_notification_request"
        )
        name, event = issuance.notification(said)
        for _ in range(TRIES):
            kept = await self.env.store.read(Delivered, secret_hash(name))
            if kept is None or kept.whose not in entitled.stands_for(told):
                KNOWN_NOTIFICATION.refuse("invalid_notification_id")
            changes: tuple[Change, ...] = once
            if event not in kept.events:
                noted = Event(key="", at=self.env.clock(), what=event, client=told.client, person=told.subject)
                changes = (*once, Replace(kept, replace(kept, events=(*kept.events, event))), Append(noted))
            if not changes or await self.env.store.commit(*changes):
                return Outbound(status=204, headers=(("cache-control", "no-store"),))
            await self._refuse_replay(once)
        raise Fault("this was told of too often at once", retry=True)


def _answered(said: JsonObject, answer_key: AnswerKey | None, *, status: int = 200) -> Outbound:
    if answer_key is None:
        return http.answered(said, status=status)
    signed = http.answered_signed(answer_key.seal(said), "jwt")
    return replace(signed, status=status)


_OF_TOKENS: Final = frozenset(
    {"invalid_token", "missing_token", "insufficient_scope", "invalid_dpop_proof", "use_dpop_nonce"}
)


def _refused(refusal: Refusal) -> Outbound:
    """Token problems as RFC 6750 has them; what is refused otherwise in the clear, also where the rest is encrypted."""
    return http.refused_token(refusal) if refusal.error in _OF_TOKENS else http.refused(refusal)
