"""Installs of a Connect app, good but for what a test changes."""

import json
import time
from typing import Any

import pytest

from asapfn import connect
from asapfn._core.canonical import qsh
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected
from asapfn.types import Request
from tests.support.keyring import key_for
from tests.support.published import Published

FIRST = "https://asap-distribution.us-west-2.prod.atl-asap.net/"
SECOND = "https://connect-install-keys.atlassian.com/"
KEY = key_for("RS256")
BASE = "https://app.example/connect"
SECRET = "a new tenant's secret, long enough"
BODY: dict[str, Any] = {
    "key": "app",
    "clientKey": "client",
    "sharedSecret": SECRET,
    "baseUrl": "https://acme.atlassian.net",
    "productType": "jira",
    "eventType": "installed",
}


def body(**changes: Any) -> bytes:
    return json.dumps(BODY | changes).encode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": "client",
        "aud": [BASE],
        "iat": now,
        "exp": now + 180,
        "qsh": qsh("POST", "/installed"),
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def request(
    token: str | None, target: str | None = "/connect/installed", *, method: str = "POST"
) -> Request:
    headers = () if token is None else (("Authorization", f"JWT {token}"),)
    return Request(method, target, headers)


async def install(
    published: Published, token: str | None = None, sent: bytes = body(), **more: Any
) -> connect.Installation:
    settings: dict[str, Any] = {"base_urls": BASE} | more
    hosts = settings.pop("hosts", connect.PRODUCTION_HOSTS)
    incoming = settings.pop("request", None) or request(token or sign(claims(), KEY))
    keys = connect.install_keys(published, hosts=hosts)
    return await connect.verify_install(incoming, sent, keys, **settings)


async def refused(*args: Any, **more: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await install(*args, **more)
    assert SECRET not in str(caught.value)
    return caught.value
