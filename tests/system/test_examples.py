"""The example services, started for real and called by the example client."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import requests
from atlassian_jwt_auth import create_signer
from atlassian_jwt_auth.contrib.requests import JWTAuth

from asapfn import asap
from asapfn.adapters.asgi import key_repository
from asapfn.keys import export_data_uri, export_private_pem
from asapfn.types import Key
from tests.support.grpc_service import channel_credentials
from tests.support.keyring import key_for
from tests.support.processes import announcing, running, trusted
from tests.support.servers import asgi_server, trusting
from tests.support.websocket import first_message, refusal

EXAMPLES = Path(__file__).parent / "examples"
ORDERS = key_for("ES256", "orders")
SHIPPING = key_for("ES256", "shipping")
TLS = ("--{}keyfile={{certificate}}", "--{}certfile={{certificate}}")

SERVICES = {
    "fastapi": [
        *("-m", "uvicorn", "fastapi_server:app", "--workers=2", "--fd={fd}"),
        *(option.format("ssl-") for option in TLS),
    ],
    "django on WSGI": [
        *("-m", "gunicorn", "django_app:application", "--workers=2", "--threads=8"),
        *("--bind=fd://{fd}", *(option.format("") for option in TLS)),
    ],
    "django on ASGI": [
        *("-m", "uvicorn", "django_app:asgi_application", "--workers=2", "--fd={fd}"),
        *(option.format("ssl-") for option in TLS),
    ],
    "trio": ["trio_server.py", "fd://{fd}", "{certificate}"],
    "flask": [
        *("-m", "gunicorn", "flask_app:app", "--workers=2", "--threads=8", "--bind=fd://{fd}"),
        *(option.format("") for option in TLS),
    ],
    "flask, preloaded": [
        *("-m", "gunicorn", "flask_app:app", "--workers=3", "--threads=8", "--bind=fd://{fd}"),
        *("--preload", *(option.format("") for option in TLS)),
    ],
    "aiohttp": ["aiohttp_server.py", "127.0.0.1:0", "{certificate}"],
}


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    with asgi_server(key_repository([ORDERS, SHIPPING])) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(
    request: pytest.FixtureRequest, keys: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    environment = {"ASAP_PUBLIC_KEY_REPOSITORY_URL": f"{keys}/", "ASAP_SERVER_AUDIENCE": "billing"}
    command = SERVICES[request.param]
    folder = tmp_path_factory.mktemp("service")
    if "127.0.0.1:0" in command:
        with announcing(command, within=EXAMPLES, folder=folder, environment=environment) as where:
            yield f"https://{where}"
        return
    with running(command, within=EXAMPLES, folder=folder, environment=environment) as origin:
        yield origin


@pytest.mark.parametrize("service", SERVICES, indirect=True)
def test_the_client_is_known_to_the_service_and_a_call_without_a_token_is_refused(
    service: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "httpx_client.py", service, "/invoices"],
        cwd=EXAMPLES,
        env={
            **os.environ,
            **trusted(tmp_path),
            "ASAP_PRIVATE_KEY": export_data_uri(ORDERS),
            "ASAP_ISSUER": "orders",
            "ASAP_AUDIENCE": "billing",
        },
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stderr == ""
    assert done.stdout.replace('"', "") == "200 Hello, orders.\n"
    answer = httpx.get(f"{service}/invoices", verify=trusting())
    assert (answer.status_code, answer.json()["reason"]) == (401, "missing_token")


def headers_of(issuer: str) -> dict[str, str]:
    key = {"orders": ORDERS, "shipping": SHIPPING}[issuer]
    return {"Authorization": f"Bearer {asap.signer(issuer, key)('billing')}"}


@pytest.mark.parametrize(
    "service", ["fastapi", "django on WSGI", "django on ASGI", "flask", "aiohttp"], indirect=True
)
def test_an_endpoint_says_who_may_call_it(service: str) -> None:
    with httpx.Client(base_url=service, verify=trusting(), timeout=20) as client:
        assert client.get("/health").text.strip('"') == "well"
        for path in ("/health/", "//health", "/health%2F..%2Finvoices"):
            assert client.get(path).status_code in (307, 308, 401, 404)
        for issuer, status in {"orders": 200, "shipping": 403}.items():
            headers = headers_of(issuer)
            assert client.get("/invoices", headers=headers).status_code == 200
            refunds = client.post("/refunds", headers=headers)
            assert refunds.status_code == status
            if status == 403:
                assert refunds.json()["reason"] == "issuer_not_allowed"
                assert 'error="insufficient_scope"' in refunds.headers["WWW-Authenticate"]
        assert client.post("/refunds").status_code == 401


@pytest.mark.parametrize("service", ["fastapi", "aiohttp"], indirect=True)
def test_a_websocket_opens_for_a_good_token_alone(service: str) -> None:
    url = f"{service.replace('https', 'wss')}/events"
    assert first_message(url, headers_of("orders")) == "Hello, orders."
    assert refusal(url).status_code == 401


@pytest.mark.parametrize("service", ["django on WSGI", "django on ASGI"], indirect=True)
def test_rest_framework_answers_in_its_own_form(service: str) -> None:
    with httpx.Client(base_url=service, verify=trusting(), timeout=20) as client:
        good = client.get("/api/invoices", headers=headers_of("orders"))
        assert (good.status_code, good.json()) == (200, "Hello, orders.")
        refused = client.get("/api/invoices")
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert list(refused.json()) == ["detail"]


@pytest.mark.parametrize(
    "service", ["fastapi", "django on WSGI", "django on ASGI", "flask", "aiohttp"], indirect=True
)
def test_a_peers_client_is_accepted_by_each_framework(service: str, tmp_path: Path) -> None:
    authority = trusted(tmp_path)["REQUESTS_CA_BUNDLE"]
    private = export_private_pem(ORDERS)
    signer = create_signer("orders", ORDERS.kid, private, algorithm="ES256")
    answer = requests.get(
        f"{service}/invoices", auth=JWTAuth(signer, "billing"), verify=authority, timeout=20
    )
    assert (answer.status_code, answer.text.strip('"')) == (200, "Hello, orders.")
    other = requests.get(
        f"{service}/invoices", auth=JWTAuth(signer, "another"), verify=authority, timeout=20
    )
    assert (other.status_code, other.json()["reason"]) == (401, "wrong_audience")


@pytest.fixture
def grpc_service(keys: str, tmp_path: Path) -> Iterator[str]:
    environment = {"ASAP_PUBLIC_KEY_REPOSITORY_URL": f"{keys}/", "ASAP_SERVER_AUDIENCE": "billing"}
    command = ["grpc_service.py", "127.0.0.1:0", "{certificate}"]
    with announcing(command, within=EXAMPLES, folder=tmp_path, environment=environment) as where:
        yield where


def test_grpc_has_its_own_client_and_a_peers_tokens(grpc_service: str, tmp_path: Path) -> None:
    trust = trusted(tmp_path)
    done = subprocess.run(
        [sys.executable, "grpc_service.py", "client", grpc_service, trust["SSL_CERT_FILE"]],
        cwd=EXAMPLES,
        env={
            **os.environ,
            "ASAP_PRIVATE_KEY": export_data_uri(ORDERS),
            "ASAP_ISSUER": "orders",
            "ASAP_AUDIENCE": "billing",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("invoice 1 of orders\ninvoice 2 of orders\n", 0)

    def by_peer(audience: str, key: Key = ORDERS, issuer: str = "orders") -> Any:
        signer = create_signer(issuer, key.kid, export_private_pem(key), algorithm="ES256")
        token = signer.generate_jwt(audience)
        text = token if isinstance(token, str) else token.decode()
        return (("authorization", f"Bearer {text}"),)

    with grpc.secure_channel(grpc_service, channel_credentials()) as channel:

        def call(method: str, metadata: Any = ()) -> Any:
            name = f"/billing.Invoices/{method}"
            try:
                return channel.unary_unary(name)(b"", metadata=metadata, timeout=20)
            except grpc.RpcError as error:
                return error.code(), error.details()

        assert call("Health") == b"well"
        assert call("Refund", by_peer("billing")) == b"Refunded, orders."
        status = grpc.StatusCode.UNAUTHENTICATED
        assert call("Refund") == (status, "missing_token: There is no token")
        other = call("Refund", by_peer("another"))
        assert other == (status, "wrong_audience: The token is for another audience")
        for method in ("Refund", "Unknown"):
            code, details = call(method, by_peer("billing", SHIPPING, "shipping"))
            assert code == grpc.StatusCode.PERMISSION_DENIED
            assert details == "issuer_not_allowed: The token's issuer is not allowed"
        listing = channel.unary_stream("/billing.Invoices/List")
        answers = listing(b"", metadata=by_peer("billing", SHIPPING, "shipping"), timeout=20)
        assert list(answers) == [b"invoice 1 of shipping", b"invoice 2 of shipping"]
