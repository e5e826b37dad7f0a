"""A server process that can be killed: the protocol over a SQLite file, and one address where a person answers.

`python -m tests.support.serve FILE KEY` prints its port once it listens. KEY is a file with the signing key as a JWK.
"""

import json
import socket
import sys
from pathlib import Path

import structlog
import uvicorn
import uvloop

from deputize.adapters.sqlite import SqliteStore
from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal
from deputize.core.values import Issuer, Subject
from deputize.core.wire import Form
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking
from deputize.oauth.client_auth import METHODS
from deputize.oauth.grants import GRANTS
from deputize.oauth.server import AuthorizationServer
from deputize.server import http
from deputize.server.app import protocol_app
from deputize.server.http import Asgi, Receive, Scope, Send
from deputize.server.wire_guard import GuardedProtocol
from tests.support.cast import ClosedFetch, KeySigner, OpenPolicy, QuietNotify


def answering(env: Env) -> Asgi:
    """In place of the pages: whoever posts is the person, and `ask` and `allow` say what they answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        form = Form.parse((await http.inbound(scope, receive, "")).body)
        found = await env.store.read(asking.Ask, form.one("ask"))
        assert found is not None
        try:
            allow = form.get("allow") == "1"
            await asking.answer(found, by=Subject(found.person), allow=allow, env=env, via="a test")
            await http.send_out(http.answered({}), send)
        except Refusal as refusal:
            await http.send_out(http.refused(refusal), send)
        except Fault as fault:
            await http.send_out(http.failed(fault), send)

    return app


async def main(file: Path, key: Path) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    env = Env(
        clock=SystemClock(),
        random=SystemRandom(),
        store=SqliteStore(file),
        fetch=ClosedFetch(),
        signer=KeySigner(PrivateKey.from_jwk(json.loads(key.read_text()))),
        notify=QuietNotify(),
        policy=OpenPolicy(),
    )
    here = AuthorizationServer(
        issuer=Issuer("https://as.example"), grants=GRANTS, methods=METHODS, drafts=frozenset({"txn-challenge"})
    )
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(128)
    sys.stdout.write(f"{bound.getsockname()[1]}\n")
    sys.stdout.flush()
    app = protocol_app(here, env, answering(env))
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        ws="none",
    )
    await uvicorn.Server(config).serve(sockets=[bound])


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
