"""A web page and its backend, `python examples/pharmacy_page.py SECRET_FILE`: the browser never sees a token.

deputize client add page --dev --method client_secret_basic --redirect-uri http://127.0.0.1:9450/bff/callback \
    --resource http://127.0.0.1:9420 --scope "openid prescriptions:read" > SECRET_FILE
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from deputize import Bff, GuardedProtocol, PrivateKey, local_env
from deputize.bff import Api, ClientId, ClientLogin, Issuer, Secret, SecretBasic

HERE = os.environ.get("PAGE_URL", "http://127.0.0.1:9450")
ISSUER = os.environ.get("PAGE_ISSUER", "http://127.0.0.1:9400")
API = os.environ.get("PAGE_API", "http://127.0.0.1:9420")

env = local_env("var/page.db", allowed_origins=frozenset({ISSUER, API}))
secret = SecretBasic(Secret(Path(sys.argv[1]).read_text().strip()))
key = PrivateKey.generate()  # tokens are bound to it: after a restart, people are signed in anew
login = ClientLogin(
    client_id=ClientId("page"), issuer=Issuer(ISSUER), method=secret, clock=env.clock, random=env.random, dpop_key=key
)
api = Api(prefix="/api", url=API, methods=frozenset({"GET"}))
bff = Bff(HERE, login=login, resource=API, scope=frozenset({"prescriptions:read"}), apis=(api,), env=env)
app = bff.wrap(Starlette(routes=[Mount("/", StaticFiles(directory=Path(__file__).with_suffix(""), html=True))]))

if __name__ == "__main__":
    uvicorn.run(app, port=urlsplit(HERE).port or 9450, http=GuardedProtocol, log_level="warning")
