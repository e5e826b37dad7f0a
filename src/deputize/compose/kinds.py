"""All kinds of records that the package keeps: what `deputize db migrate` makes tables for."""

from typing import Final

from deputize.adapters.keys_store import KeyRing
from deputize.bff.sessions import BffBegun, BffSession
from deputize.core.ports import Event, Notice, Record
from deputize.oauth.asking import Ask, Turn
from deputize.oauth.assertion import AssertionSeen
from deputize.oauth.backchannel_logout import LogoutDue, SignedInAt
from deputize.oauth.begun import Begun
from deputize.oauth.caller import CallSpent
from deputize.oauth.client import Client, Person, Resource
from deputize.oauth.device import DeviceClient, DeviceRequest
from deputize.oauth.dpop import ProofSeen
from deputize.oauth.families import Family
from deputize.oauth.grants.authorization_code import Code
from deputize.oauth.grants.transaction import Presented
from deputize.oauth.mandates import MandateOut
from deputize.oauth.newcomers import InitialToken, Registration
from deputize.oauth.nonces import NonceSecret
from deputize.oauth.offers import Entitled, Offer
from deputize.oauth.registration import Quota
from deputize.oauth.standing import Standing
from deputize.oauth.statuses import StatusEntry, StatusList, StatusTie, StatusUse
from deputize.oauth.throttle import Throttle
from deputize.oauth.tokens import Revoked
from deputize.server.codes import Authenticator
from deputize.server.invitations import Invitation
from deputize.server.issuing import Delivered, Transaction
from deputize.server.passkeys import Passkey
from deputize.server.people import KnownBrowser, Password
from deputize.server.session import Session
from deputize.server.tickets import TicketUsed
from deputize.server.upstream import UpstreamLink
from deputize.vc.presentations import Wanted
from deputize.vc.proofs import ProofNonceUsed
from deputize.vc.verify import NonceSpent

KINDS: Final[tuple[type[Record], ...]] = (
    *(Client, Resource, Person, Password, Session, Throttle),
    *(Begun, Code, DeviceRequest, DeviceClient),
    *(SignedInAt, LogoutDue, UpstreamLink),
    *(Passkey, Authenticator, KnownBrowser, Invitation, TicketUsed),
    *(Registration, InitialToken, Quota),
    *(Ask, Turn, Standing, MandateOut, Notice, Event),
    *(Family, Revoked, AssertionSeen, ProofSeen, Presented, CallSpent, NonceSecret),
    *(KeyRing, NonceSpent, Wanted),
    *(Offer, Entitled, Transaction, Delivered, ProofNonceUsed),
    *(BffBegun, BffSession),
    *(StatusList, StatusEntry, StatusTie, StatusUse),
)
