"""A web site on loopback, over TLS, with an authority of its own: where a client's documents lie."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme


@dataclass
class Site:
    """`pages` is what it has: status, headers and body a path. `asked` counts what was asked for."""

    origin: str
    ca_file: str
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, path: str, document: Any, *, status: int = 200, **headers: str) -> str:
        """Put a page there; its URL."""
        told = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (status, told, document if isinstance(document, bytes) else json.dumps(document).encode())
        return self.origin + path


@contextmanager
def a_site(folder: Path) -> Iterator[Site]:
    """The site, for as long as this lasts; its authority's certificate lies in the folder."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    made: list[Site] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made[0].asked.append(self.path)
            status, headers, body = made[0].pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        made.append(Site(f"https://127.0.0.1:{server.server_port}", str(folder / "ca.pem")))
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield made[0]
        finally:
            server.shutdown()
            serving.join()
