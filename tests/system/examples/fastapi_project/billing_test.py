"""The tests of billing, with `asapfn.testing`: no network, no files, no sleeping."""

import billing
import pytest
from fastapi.testclient import TestClient

from asapfn import Unavailable, asap, testing
from asapfn.errors import Reason

ORDERS, SHIPPING = testing.issuer("orders"), testing.issuer("shipping")


@pytest.fixture
def client() -> TestClient:
    return TestClient(billing.make_app(testing.resolver(ORDERS, SHIPPING)))


def test_a_caller_is_known_by_its_token(client: TestClient) -> None:
    assert client.get("/health").json() == "well"
    greeted = client.get("/invoices", headers=ORDERS.headers("billing"))
    assert greeted.json() == "Hello, orders of no team."
    headers = ORDERS.headers("billing", claims={"team": "tea"})
    assert client.get("/invoices", headers=headers).json() == "Hello, orders of tea."


def test_shipping_refunds_and_orders_does_not(client: TestClient) -> None:
    assert client.post("/refunds", headers=SHIPPING.headers("billing")).json() == "Refunded."
    refused = client.post("/refunds", headers=ORDERS.headers("billing"))
    assert (refused.status_code, refused.json()["reason"]) == (403, "issuer_not_allowed")


@pytest.mark.parametrize("reason", testing.ASAP_REASONS)
def test_a_broken_token_is_refused(client: TestClient, reason: Reason) -> None:
    headers = testing.broken(reason, ORDERS, "billing").headers
    for method, path in (("GET", "/invoices"), ("POST", "/refunds")):
        answer = client.request(method, path, headers=headers)
        assert answer.json()["reason"] == reason
        assert answer.status_code == (403 if reason == "issuer_not_allowed" else 401)


def test_claims_that_do_not_fit_are_refused(client: TestClient) -> None:
    headers = ORDERS.headers("billing", claims={"team": ["tea"]})
    assert client.get("/invoices", headers=headers).json()["reason"] == "invalid_claim"


def test_a_token_expires() -> None:
    clock = testing.clock()
    orders = testing.issuer("orders", now=clock)
    client = TestClient(billing.make_app(testing.resolver(orders), now=clock))
    headers = orders.headers("billing")
    assert client.get("/invoices", headers=headers).status_code == 200
    clock.time += 70
    assert client.get("/invoices", headers=headers).json()["reason"] == "expired"


def test_while_the_key_repository_is_down_new_callers_wait_and_known_ones_go_on() -> None:
    table = testing.repository(ORDERS)
    resolver = asap.repository(testing.REPOSITORY, testing.fetch(table))
    client = TestClient(billing.make_app(resolver))
    assert client.get("/invoices", headers=ORDERS.headers("billing")).status_code == 200
    for issuer in (ORDERS, SHIPPING):
        table[f"{testing.REPOSITORY}{issuer.key.kid}"] = Unavailable("keys.example", "down")
    assert client.get("/invoices", headers=ORDERS.headers("billing")).status_code == 200
    refused = client.get("/invoices", headers=SHIPPING.headers("billing"))
    assert (refused.status_code, refused.json()["reason"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "5"
