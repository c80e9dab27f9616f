"""A Flask application behind ASAP tokens.

    export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
    gunicorn flask_app:app --workers 2 --threads 8

The portal's event loop lives in a thread, so it is started after the fork: gunicorn imports this
module in each worker, unless it is told to preload it.
"""

import atexit
import contextlib

import httpx
from anyio.from_thread import start_blocking_portal
from flask import Flask, request

from asapfn import asap, bearer
from asapfn.adapters.httpx import fetcher
from asapfn.adapters.wsgi import protect

stack = contextlib.ExitStack()
atexit.register(stack.close)
portal = stack.enter_context(start_blocking_portal())
client = stack.enter_context(portal.wrap_async_context_manager(httpx.AsyncClient()))
verify = asap.verifier_from_env(fetcher(client))

app = Flask(__name__)
app.wsgi_app = protect(app.wsgi_app, bearer(verify), portal=portal)


@app.get("/invoices")
def invoices() -> str:
    return f"Hello, {request.environ['asapfn.token'].claims['iss']}."
