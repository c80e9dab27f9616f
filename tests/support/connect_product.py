"""A tenant of the Connect app: a product that makes its tokens with Atlassian's own library."""

import contextlib
import itertools
import json
import pathlib
import secrets
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from asapfn.keys import export_private_pem
from tests.support.connect_app import BASE_URL
from tests.support.keyring import key_for
from tests.support.npm_peers import Ask

ATLASSIAN = key_for("RS256", "atlassian")
_numbers = itertools.count()


@dataclass
class App:
    """The app, as a test gets at it."""

    origin: str
    database: pathlib.Path

    def secret_of(self, client_key: str) -> str | None:
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            row = database.execute(
                "select secret from tenants where client_key = ?", [client_key]
            ).fetchone()
        return row[0] if row else None


@dataclass
class Product:
    """One tenant: a product that has the app, or is going to."""

    app: App
    node: Ask
    client_key: str = field(default_factory=lambda: f"client-{next(_numbers)}")
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    base_url: str = "https://acme.product.example"

    def send(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        scheme: str = "JWT",
        body: object = None,
    ) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
        text = None if body is None else json.dumps(body)
        if text is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self.app.origin}/connect{path}"
        answer = self.node(send={"method": method, "url": url, "headers": headers, "body": text})
        assert "error" not in answer, answer
        said = json.loads(answer["body"]) if answer["body"] else None
        return answer["status"], said

    def token(self, method: str, path: str, *, claims: Any = None, **how: Any) -> str:
        """A token by Atlassian's library: with the shared secret, unless `how` says otherwise."""
        signing = {"secret": self.secret} if "pem" not in how else {}
        made = self.node(
            token={
                "claims": {"iss": self.client_key} | (claims or {}),
                "method": method,
                "url": f"{BASE_URL}{path}",
                "base_url": BASE_URL,
            }
            | signing
            | how
        )
        assert "error" not in made, made
        return str(made["token"])

    def lifecycle_token(self, path: str, key: Any = ATLASSIAN, **claims: Any) -> str:
        return self.token(
            "POST",
            path,
            claims={"aud": [BASE_URL]} | claims,
            pem=export_private_pem(key),
            kid=ATLASSIAN.kid,
        )

    def body(self, event: str = "installed", **changes: Any) -> dict[str, Any]:
        return {
            "key": "app",
            "clientKey": self.client_key,
            "oauthClientId": "oauth",
            "sharedSecret": self.secret,
            "baseUrl": self.base_url,
            "productType": "jira",
            "eventType": event,
        } | changes

    def install(self, **changes: Any) -> tuple[int, Any]:
        token = self.lifecycle_token("/installed")
        return self.send("POST", "/installed", token, body=self.body(**changes))

    def uninstall(self) -> tuple[int, Any]:
        body = self.body("uninstalled")
        del body["sharedSecret"]
        token = self.lifecycle_token("/uninstalled")
        return self.send("POST", "/uninstalled", token, body=body)

    def webhook(self, **how: Any) -> tuple[int, Any]:
        token = self.token("POST", "/webhook?user=1", **how)
        return self.send("POST", "/webhook?user=1", token, body={"issue": "A-1"})
