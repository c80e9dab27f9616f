"""A whole Connect app in Flask: its descriptor, its installs, a page, and what that page calls.

export APP_BASE_URL=https://app.example/connect APP_DATABASE=tenants.sqlite
gunicorn flask_connect:app --workers 2 --threads 8
"""

import asyncio
import contextlib
import json
import os
import sqlite3
from urllib.parse import urlsplit

from flask import Blueprint, Flask, request
from markupsafe import escape

from asapfn import TokenRejected, Unavailable, connect
from asapfn.adapters import wsgi
from asapfn.adapters.flask import requires, token
from asapfn.adapters.httpx import fetcher
from asapfn.errors import challenge
from asapfn.resolvers import shared_secrets

BASE_URL = os.environ["APP_BASE_URL"]
# Products beside Atlassian's own, such as one for development, and where their keys are.
HOSTS = {**connect.PRODUCTION_HOSTS, **json.loads(os.environ.get("APP_MORE_HOSTS", "{}"))}
KEYS = connect.install_keys(fetcher(), hosts=HOSTS)


def execute(statement: str, *values: str) -> tuple[str, ...] | None:
    # A connection belongs to one thread.
    with contextlib.closing(sqlite3.connect(os.environ["APP_DATABASE"])) as database, database:
        row: tuple[str, ...] | None = database.execute(statement, values).fetchone()
        return row


async def secret_of(client_key: str) -> str | None:
    row = execute("select secret from tenants where client_key = ?", client_key)
    return row[0] if row else None


execute("create table if not exists tenants (client_key text primary key, secret text)")
secrets = shared_secrets(secret_of)
page_only = requires(connect.authenticator(secrets, base_url=BASE_URL), scheme="JWT")
context_only = requires(connect.context_authenticator(secrets), scheme="JWT")

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 65_536
parts = Blueprint("parts", __name__, url_prefix=urlsplit(BASE_URL).path or None)


@parts.get("/atlassian-connect.json")
def descriptor() -> dict[str, object]:
    page = {"key": "page", "name": {"value": "Issue"}, "url": "/page?issue={issue.key}"}
    return {
        "key": "app",
        "name": "An app",
        "baseUrl": BASE_URL,
        "authentication": {"type": "jwt"},
        "apiMigrations": {"signed-install": True},
        "lifecycle": {"installed": "/installed", "uninstalled": "/uninstalled"},
        "scopes": ["READ"],
        "modules": {"jiraIssueContents": [page]},
    }


def verified_install() -> connect.Installation:
    asked, body = wsgi.request(request.environ), request.get_data()
    return asyncio.run(connect.verify_install(asked, body, KEYS, base_urls=BASE_URL))


@parts.post("/installed")
def installed() -> tuple[str, int]:
    tenant = verified_install()
    row = (tenant.client_key, tenant.shared_secret)
    execute("insert or replace into tenants values (?, ?)", *row)
    return "", 204


@parts.post("/uninstalled")
def uninstalled() -> tuple[str, int]:
    execute("delete from tenants where client_key = ?", verified_install().client_key)
    return "", 204


@parts.get("/page")
@page_only
def page() -> str:
    return f"<p>Hello, {escape(token().claims['iss'])}: {escape(request.args['issue'])}.</p>"


@parts.get("/api/items")
@context_only
def items() -> dict[str, object]:
    return {"tenant": token().claims["iss"]}


@app.errorhandler(TokenRejected)
def refused(error: TokenRejected) -> tuple[dict[str, str], int, dict[str, str]]:
    return {"reason": error.reason}, error.status, {"WWW-Authenticate": challenge(error, "JWT")}


@app.errorhandler(Unavailable)
def unavailable(error: Unavailable) -> tuple[dict[str, str], int, dict[str, str]]:
    return {"reason": "unavailable"}, error.status, {"Retry-After": "5"}


app.register_blueprint(parts)
