"""requests-oauthlib goes through the code flow with PKCE and calls a tool: `ISSUER TOOLS CLIENT_ID`."""

import json
import os
import sys

from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]  # it has no types

from tests.interop.clients.tool_call import HEADERS, answered, message
from tests.interop.person import allows

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
issuer, tools, client_id = sys.argv[1:]

session = OAuth2Session(
    client_id, redirect_uri="http://127.0.0.1:5096/callback", scope=["prescriptions:read"], pkce="S256"
)
session.trust_env = False
page, _ = session.authorization_url(f"{issuer}/authorize", resource=tools)
landed = allows(page, "alice", os.environ["ALICE_PASSWORD"])
session.fetch_token(f"{issuer}/token", authorization_response=landed, include_client_id=True, resource=tools)
reply = session.post(tools, json=message("prescriptions"), headers=HEADERS)
refused = session.post(tools, json=message("order", medicine="Loratadine 10 mg"), headers=HEADERS)
print(json.dumps({"read": answered(reply.text), "refused": [refused.status_code, refused.headers["www-authenticate"]]}))
