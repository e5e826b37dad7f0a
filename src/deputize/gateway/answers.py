"""What the gateway itself says: the one map from refusals to statuses, and nothing that an agent should not know."""

from typing import Final

from deputize.core.rules import Fault, Refusal
from deputize.core.values import Instant
from deputize.core.wire import JsonObject, Outbound, json_bytes
from deputize.gateway.approvals import Approval
from deputize.gateway.upstream import Unreachable
from deputize.jose.algorithms import ALL
from deputize.oauth.challenge import www_authenticate

LOOK_AGAIN: Final = 2

_STATUS: Final = {
    "access_denied": 403,
    "expired_token": 403,
    "gone": 410,
    "insufficient_scope": 403,
    "invalid_client": 401,
    "invalid_dpop_proof": 401,
    "invalid_token": 401,
    "method_not_allowed": 405,
    "misdirected_request": 421,
    "not_found": 404,
    "not_implemented": 501,
    "request_timeout": 408,
    "too_large": 413,
    "too_many_requests": 429,
}
_CANNOT: Final = "The gateway cannot do this at present."
_ALWAYS: Final = (
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
)


def said(members: JsonObject, *, status: int = 200, extra: tuple[tuple[str, str], ...] = ()) -> Outbound:
    """A JSON answer of the gateway's own, that nobody may keep."""
    return Outbound(status=status, headers=(*_ALWAYS, *extra), body=json_bytes(members))


def of(problem: Exception, *, metadata_url: str = "", status: int | None = None) -> Outbound:
    """What goes out for what went wrong. All that is not foreseen is refused too."""
    match problem:
        case Refusal():
            return _refused(problem, metadata_url, status or _STATUS.get(problem.error, 400))
        case Fault() if problem.retry:
            told = {"error": "temporarily_unavailable", "error_description": "Please try again in a moment."}
            return said(told, status=503, extra=(("retry-after", str(LOOK_AGAIN)),))
        case Fault():
            return said({"error": "server_error", "error_description": _CANNOT}, status=502)
        case Unreachable():
            told = {"error": "bad_gateway", "error_description": "The API did not answer as it should."}
            return said(told, status=502)
    return said({"error": "server_error", "error_description": _CANNOT}, status=500)


def _refused(no: Refusal, metadata_url: str, status: int) -> Outbound:
    """Say no: the code and the rule's sentence, and at a 401 how to come."""
    extra: tuple[tuple[str, str], ...] = ()
    if status == 401:
        where = ("resource_metadata", metadata_url)
        told = (("error", no.error), ("error_description", no.rule.says))
        proven = www_authenticate("DPoP", (*told, ("algs", " ".join(sorted(ALL))), where))
        extra = (("www-authenticate", proven), ("www-authenticate", www_authenticate("Bearer", (where,))))
    elif status == 405:
        extra = tuple((name, value) for name, value in no.params if name == "allow")
    elif status == 429:
        extra = (("retry-after", str(LOOK_AGAIN)),)
    if status in {400, 408, 413, 501}:
        extra = (*extra, ("connection", "close"))  # what of the request is still to come is not read as another one
    return said({"error": no.error, "error_description": no.rule.says}, status=status, extra=extra)


def metadata(url: str) -> Outbound:
    """What the gateway says of itself (RFC 9728): agents come with a key of their own, and with no token."""
    told: JsonObject = {
        "resource": url,
        "resource_name": "Deputize gateway",
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": sorted(ALL),
    }
    return Outbound(
        status=200,
        headers=(
            ("content-type", "application/json"),
            ("cache-control", "public, max-age=300"),
            ("x-content-type-options", "nosniff"),
        ),
        body=json_bytes(told),
    )


def asking_first() -> Outbound:
    """A person is being asked whether the agent may use this at all; a body that is not kept has to come again."""
    told = {"error": "authorization_pending", "error_description": "A person is being asked. Please come again."}
    return said(told, status=503, extra=(("retry-after", str(LOOK_AGAIN * 2)),))


def pending(approval: Approval, now: Instant, *, preferred: bool = False) -> Outbound:
    """A person is being asked: where the agent may look. Where the person answers is for no agent to know."""
    told = {"status": "pending", "approval": approval.id, "expires_in": max(0, approval.until - now)}
    extra: tuple[tuple[str, str], ...] = (
        ("location", f"/approvals/{approval.id}"),
        ("deputize-approval", approval.id),
        ("retry-after", str(LOOK_AGAIN)),
    )
    if preferred:
        extra = (*extra, ("preference-applied", "respond-async"))
    return said(told, status=202, extra=extra)
