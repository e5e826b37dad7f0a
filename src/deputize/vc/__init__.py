"""Credentials: SD-JWT, SD-JWT VC and Token Status List, usable without the server. No I/O but through ports."""

from deputize.vc.credential import issue, lint, prepare
from deputize.vc.dids import decentralized
from deputize.vc.issue import Frame, Unfit
from deputize.vc.issue import issue as issue_sd_jwt
from deputize.vc.issuer_keys import certified, pinned, well_known
from deputize.vc.present import choose, present, tree
from deputize.vc.presented import Asked, VerifiedSdJwt, verify_sd_jwt
from deputize.vc.sdjwt import from_json, to_json
from deputize.vc.status_check import StatusLists
from deputize.vc.type_metadata import Catalogue
from deputize.vc.verify import (
    Policy,
    TrustedIssuer,
    VerifiedCredential,
    averify,
    status_at_hand,
    status_ignored,
    status_in,
    status_of_issuer,
    verify,
)

__all__ = [
    "Asked",
    "Catalogue",
    "Frame",
    "Policy",
    "StatusLists",
    "TrustedIssuer",
    "Unfit",
    "VerifiedCredential",
    "VerifiedSdJwt",
    "averify",
    "certified",
    "choose",
    "decentralized",
    "from_json",
    "issue",
    "issue_sd_jwt",
    "lint",
    "pinned",
    "prepare",
    "present",
    "status_at_hand",
    "status_ignored",
    "status_in",
    "status_of_issuer",
    "to_json",
    "tree",
    "verify",
    "verify_sd_jwt",
    "well_known",
]
