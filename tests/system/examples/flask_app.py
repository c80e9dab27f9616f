"""A Flask application behind ASAP tokens.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
gunicorn flask_app:app --workers 2 --threads 8
"""

from flask import Flask, request

from asapfn import asap, bearer
from asapfn.adapters.httpx import fetcher
from asapfn.adapters.wsgi import protect

verify = asap.verifier_from_env(fetcher())

app = Flask(__name__)
app.wsgi_app = protect(app.wsgi_app, bearer(verify))


@app.get("/invoices")
def invoices() -> str:
    return f"Hello, {request.environ['asapfn.token'].claims['iss']}."
