"""client_credentials (RFC 6749, 4.4): a workload for itself."""

from dataclasses import dataclass

from deputize.core.ports import Env
from deputize.core.values import Issuer
from deputize.core.wire import Form
from deputize.oauth.approval import Approval
from deputize.oauth.asked import allowed_scope, asked_scope, target
from deputize.oauth.authority import FOREVER, Authority
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient


@dataclass(frozen=True, slots=True)
class Request:
    """What this grant asks."""

    scope: frozenset[str] | None
    resources: tuple[str, ...]


def parse(form: Form) -> Request:
    return Request(asked_scope(form), form.all("resource"))


async def approve(request: Request, client: AuthenticatedClient, _: Issuer, env: Env) -> Approval:
    resource = await target(request.resources, client.client, env)
    wanted = allowed_scope(request.scope, client.client, resource)
    authority = Authority(audience=frozenset({resource.key}), scope=wanted, until=FOREVER)
    return Approval(client=client.id, authority=authority)


GRANT = Grant("client_credentials", parse, approve)
