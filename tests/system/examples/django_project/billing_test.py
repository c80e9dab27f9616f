"""The tests of billing, with `asapfn.testing` and Django's test clients."""

from collections.abc import Iterator

import billing
import pytest
from django.test import AsyncClient, Client, override_settings

from asapfn import Unavailable, asap, testing
from asapfn.errors import Reason

ORDERS, SHIPPING = testing.issuer("orders"), testing.issuer("shipping")

# What stands for billing.authenticated in the settings of the tests.
authenticated = billing.authenticated_by(testing.resolver(ORDERS, SHIPPING))
outage = testing.fetch({}, otherwise=Unavailable("keys.example", "down"))
without_keys = billing.authenticated_by(asap.repository(testing.REPOSITORY, outage))


@pytest.fixture(autouse=True)
def keys() -> Iterator[None]:
    with override_settings(MIDDLEWARE=[f"{__name__}.authenticated"]):
        yield


def test_a_caller_is_known_by_its_token() -> None:
    assert Client().get("/health").content == b"well"
    greeted = Client().get("/invoices", headers=ORDERS.headers("billing"))
    assert greeted.content == b"Hello, orders."


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_caller_is_known_under_asgi_too() -> None:
    greeted = await AsyncClient().get("/invoices", headers=ORDERS.headers("billing"))
    assert greeted.content == b"Hello, orders."
    assert (await AsyncClient().get("/invoices")).json()["reason"] == "missing_token"


def test_shipping_refunds_and_orders_does_not() -> None:
    refunded = Client().post("/refunds", headers=SHIPPING.headers("billing"))
    assert refunded.content == b"Refunded."
    refused = Client().post("/refunds", headers=ORDERS.headers("billing"))
    assert (refused.status_code, refused.json()["reason"]) == (403, "issuer_not_allowed")


@pytest.mark.parametrize("reason", testing.ASAP_REASONS)
@pytest.mark.parametrize("path", ["/invoices", "/refunds", "/no-such-page"])
def test_a_broken_token_is_refused(path: str, reason: Reason) -> None:
    headers = testing.broken(reason, ORDERS, "billing").headers
    assert Client().get(path, headers=headers).json()["reason"] == reason


def test_while_the_key_repository_is_down_it_is_to_be_tried_again() -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.without_keys"]):
        refused = Client().get("/invoices", headers=ORDERS.headers("billing"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
