"""A client that nobody registered signs a person in: its maker publishes a document, and that is all that is done."""

import json
from pathlib import Path

from typer.testing import CliRunner

from deputize.adapters.guarded_fetch import GuardedFetch, Settings
from deputize.cli.main import app
from deputize.jose import jwt
from deputize.jose.keys import PrivateKey
from deputize.oauth.client import EVERY
from deputize.oauth.clients import document
from tests.support.cast import PHARMACY, READ
from tests.support.documents import METHODS
from tests.support.flow import ISSUER, a_flow, ticks_on
from tests.support.pages import text_of
from tests.support.site import a_site

runner = CliRunner()
CALLBACK = "https://app.example/callback"


async def test_a_client_that_nobody_registered_signs_a_person_in(tmp_path: Path) -> None:
    with a_site(tmp_path) as site:
        # Its maker writes the document and puts it on the web; over TLS, with an authority of its own.
        client_id = f"{site.origin}/agent.json"
        words = ["client", "publish", client_id, "--name", "Trip Planner", "--redirect-uri", CALLBACK]
        words += ["--scope", f"openid profile {READ}", "--folder", str(tmp_path / "public")]
        assert runner.invoke(app, words).exit_code == 0
        site.put("/agent.json", (tmp_path / "public" / "agent.json").read_bytes(), Cache_Control="max-age=600")
        key = PrivateKey.from_jwk(json.loads((tmp_path / "agent.key.json").read_text()))

        # The server has never heard of it, and lets its kind ask people for what it serves.
        fetch = GuardedFetch(settings=Settings(allowed_origins=(site.origin,), ca_file=site.ca_file))
        ways = (document.way(document.Settings(audiences=(EVERY,)), METHODS),)
        async with a_flow(ways=ways, fetch=fetch) as flow:
            metadata = (await flow.world.get("/.well-known/oauth-authorization-server")).json
            assert metadata["client_id_metadata_document_supported"] is True

            # Alice's browser is sent over. She reads who was proven first, and then what it calls itself.
            browser = await flow.browser("alice")
            asked = {"redirect_uri": CALLBACK, "scope": f"openid {READ}", "resource": PHARMACY, "nonce": "n"}
            page = await flow.shown(browser, client_id, **asked)
            text = text_of(page)
            host = site.origin.removeprefix("https://")
            assert text.index(host) < text.index("Trip Planner")
            assert "nobody has checked what it calls itself" in text
            assert f"The answer goes to app.example, and not to {host}." in text
            landing = await flow.says(browser, page, "allow", *ticks_on(page))
            assert (landing.where, landing.told["iss"]) == (CALLBACK, ISSUER)

            # The client signs with its own key, and has what she allowed; and knows that it was she.
            flow.world.keys[client_id] = key
            answer = await flow.redeem(landing.told["code"], client_id, redirect_uri=CALLBACK)
            assert answer.status == 200, answer.body
            assert answer["scope"] == f"openid {READ}"
            _, claims = jwt.peek(answer["id_token"], "invalid_token")
            assert (claims["sub"], claims["aud"], claims["nonce"]) == ("alice", client_id, "n")
            _, claims = jwt.peek(answer["access_token"], "invalid_token")
            assert (claims["sub"], claims["client_id"]) == ("alice", client_id)
            assert await flow.world.is_active(answer["access_token"])

            # Its refresh token goes on; one look at the document was enough for all of it.
            more = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
            assert (await flow.world.post("/token", more, by=client_id)).status == 200
            assert site.asked == ["/agent.json"]
        await fetch.aclose()
