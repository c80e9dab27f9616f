"""WSGI servers for tests, over TLS, a thread for each request; and an application to serve."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from werkzeug.serving import WSGIRequestHandler as QuietHandler
from werkzeug.serving import make_server as make_threaded_server

from tests.support.servers import serving


def app(environ: Any, start_response: Any) -> list[bytes]:
    """Say who called."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    token = environ.get("asapfn.token")
    return [(token.claims["iss"] if token else "nobody").encode()]


class Quiet(QuietHandler):
    def log(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def wsgi_server(app: Any) -> Iterator[str]:
    """Serve a WSGI application over TLS, each request in a thread of its own."""
    server = make_threaded_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=Quiet, ssl_context=serving()
    )
    with in_a_thread(server):
        yield f"https://localhost:{server.server_port}"


@contextlib.contextmanager
def in_a_thread(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
