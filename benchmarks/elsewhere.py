"""Servers in a process of their own.

A server there has its own interpreter lock: what it costs to answer is not added to what it costs
to ask, but for the waiting.
"""

import contextlib
import multiprocessing
import pathlib
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from tests.support.servers import asgi_server, authority


@contextlib.contextmanager
def served(
    make: Callable[..., Any], *arguments: Any, certificate: pathlib.Path | None = None
) -> Iterator[int]:
    """Serve an ASGI application from another process.

    Args:
        make: Makes the application there: a function at the top of a module.
        *arguments: What it is given.
        certificate: Where to put the certificate of the authority that vouches for the server,
            which then speaks https.

    Yields:
        Its port on 127.0.0.1.
    """
    # A new interpreter: forking is not for a process that has threads.
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(make, arguments, certificate, there), daemon=True)
    process.start()
    there.close()
    try:
        port: int = here.recv()
        yield port
        here.send("enough")
        process.join(20)
    finally:
        process.kill()
        process.join()
        process.close()
        here.close()


def _serve(
    make: Callable[..., Any],
    arguments: tuple[Any, ...],
    certificate: pathlib.Path | None,
    pipe: Connection,
) -> None:
    if certificate is not None:
        authority().cert_pem.write_to_path(str(certificate))
    with asgi_server(make(*arguments), tls=certificate is not None) as origin:
        pipe.send(int(origin.rpartition(":")[2]))
        # Also ends when the other side is gone.
        with contextlib.suppress(EOFError):
            pipe.recv()
