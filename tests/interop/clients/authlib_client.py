"""Authlib goes through the code flow with PKCE and calls a tool: `ISSUER TOOLS CLIENT_ID`."""

import json
import os
import sys

from authlib.common.security import generate_token  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]  # it has no types

from tests.interop.clients.tool_call import HEADERS, answered, message
from tests.interop.person import allows

issuer, tools, client_id = sys.argv[1:]
verifier = generate_token(48)

with OAuth2Client(
    client_id,
    scope="prescriptions:read",
    redirect_uri="http://127.0.0.1:5095/callback",
    code_challenge_method="S256",
    token_endpoint_auth_method="none",
) as client:
    page, state = client.create_authorization_url(f"{issuer}/authorize", code_verifier=verifier, resource=tools)
    landed = allows(page, "alice", os.environ["ALICE_PASSWORD"])
    client.fetch_token(
        f"{issuer}/token", authorization_response=landed, state=state, code_verifier=verifier, resource=tools
    )
    reply = client.post(tools, json=message("prescriptions"), headers=HEADERS)
    refused = client.post(tools, json=message("order", medicine="Loratadine 10 mg"), headers=HEADERS)
    told = {"read": answered(reply.text), "refused": [refused.status_code, refused.headers["www-authenticate"]]}
    print(json.dumps(told))
