"""The example services, started for real and called by the example client."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from asapfn import asap
from asapfn.adapters.asgi import key_repository
from asapfn.keys import export_data_uri
from tests.support.keyring import key_for
from tests.support.processes import running, trusted
from tests.support.servers import asgi_server, trusting

EXAMPLES = Path(__file__).parent / "examples"
ORDERS = key_for("ES256", "orders")
SHIPPING = key_for("ES256", "shipping")
TLS = ("--{}keyfile={{certificate}}", "--{}certfile={{certificate}}")

SERVICES = {
    "fastapi": [
        *("-m", "uvicorn", "fastapi_server:app", "--workers=2", "--fd={fd}"),
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
}


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    with asgi_server(key_repository([ORDERS, SHIPPING])) as origin:
        yield origin


@pytest.fixture
def service(request: pytest.FixtureRequest, keys: str, tmp_path: Path) -> Iterator[str]:
    environment = {"ASAP_PUBLIC_KEY_REPOSITORY_URL": f"{keys}/", "ASAP_SERVER_AUDIENCE": "billing"}
    command = SERVICES[request.param]
    with running(command, within=EXAMPLES, folder=tmp_path, environment=environment) as origin:
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
        timeout=30,
    )
    assert done.stderr == ""
    assert done.stdout.replace('"', "") == "200 Hello, orders.\n"
    answer = httpx.get(f"{service}/invoices", verify=trusting())
    assert (answer.status_code, answer.json()["reason"]) == (401, "missing_token")


@pytest.mark.parametrize("service", ["fastapi"], indirect=True)
def test_an_endpoint_of_the_resource_server_says_who_may_call_it(service: str) -> None:
    statuses = {}
    with httpx.Client(base_url=service, verify=trusting(), timeout=20) as client:
        for issuer, key in {"orders": ORDERS, "shipping": SHIPPING}.items():
            headers = {"Authorization": f"Bearer {asap.signer(issuer, key)('billing')}"}
            invoices = client.get("/invoices", headers=headers)
            refunds = client.post("/refunds", headers=headers)
            statuses[issuer] = (invoices.status_code, refunds.status_code)
    assert statuses == {"orders": (200, 200), "shipping": (200, 403)}
