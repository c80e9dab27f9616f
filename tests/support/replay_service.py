"""A service that takes each token once, to be run as several processes that share a Redis.

It says which process answered, and it reads what it needs from its environment: `REDIS_URL` and
`PUBLIC_KEY`.
"""

import os
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

from asapfn import asap
from asapfn._core.credentials import bearer
from asapfn.adapters.asgi import protect
from asapfn.adapters.redis import replay_store
from asapfn.keys import import_pem
from asapfn.resolvers import keys_by_id


def service() -> Any:
    """The application: its every path but `/free` wants a token of orders for billing."""
    key = import_pem(os.environ["PUBLIC_KEY"], kid="orders/key.pem")
    pool = BlockingConnectionPool.from_url(
        os.environ["REDIS_URL"], max_connections=20, timeout=None
    )
    # Ample, as a store that is slow on a busy machine is not what is tested.
    replay = replay_store(Redis.from_pool(pool), timeout=10.0)
    verify = asap.verifier(keys_by_id([key]), "billing", issuers="orders", replay=replay)
    protected = protect(_answer, bearer(verify))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def send_signed(message: Any) -> None:
            if message["type"] == "http.response.start":
                worker = (b"x-worker", str(os.getpid()).encode())
                message = {**message, "headers": [*message["headers"], worker]}
            await send(message)

        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await pool.aclose()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"] == "/free":
            await _answer(scope, receive, send_signed)
        else:
            await protected(scope, receive, send_signed)

    return app


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})
