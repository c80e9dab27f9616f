"""A Flask application, its blueprint behind ASAP tokens.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
gunicorn flask_app:app --workers 2 --threads 8
"""

from flask import Blueprint, Flask

from asapfn import asap, bearer
from asapfn.adapters.flask import requires, token
from asapfn.adapters.httpx import fetcher
from asapfn.guards import issuer_is_one_of

authenticate = bearer(asap.verifier_from_env(fetcher()))
app = Flask(__name__)
billing = Blueprint("billing", __name__)
billing.before_request(requires(authenticate))


@app.get("/health")
def health() -> str:
    return "well"


@billing.get("/invoices")
def invoices() -> str:
    return f"Hello, {token().claims['iss']}."


@billing.post("/refunds")
@requires(authenticate, issuer_is_one_of("orders"))
def refunds() -> str:
    return f"Refunded, {token().claims['iss']}."


app.register_blueprint(billing)
