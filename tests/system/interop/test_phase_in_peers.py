"""What atlassian-jwt-auth's settings and decorators let through, their equivalents here do too."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from atlassian_jwt_auth.frameworks.django import restrict_asap
from atlassian_jwt_auth.frameworks.wsgi import ASAPMiddleware
from atlassian_jwt_auth.key import BasePublicKeyRetriever

from asapfn import asap, bearer, testing
from asapfn.adapters import wsgi
from asapfn.guards import issuer_is_one_of
from asapfn.keys import export_public_pem
from tests.support.django_site import configure

configure()

from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import RequestFactory  # noqa: E402

from asapfn.adapters.django import requires  # noqa: E402

ORDERS, SHIPPING = testing.issuer("orders"), testing.issuer("shipping")


# None of them has a key that could not be fetched: there both answer otherwise, as the table says.
def requests() -> Mapping[str, Mapping[str, str]]:
    return {
        "good": ORDERS.headers("billing"),
        **{
            reason: testing.broken(reason, ORDERS, "billing").headers
            for reason in ("missing_token", "expired", "wrong_audience", "bad_signature")
        },
        "another issuer": SHIPPING.headers("billing"),
    }


class Keys(BasePublicKeyRetriever):
    """The peer's way to the public keys, in memory."""

    def __init__(self, base_url: Any) -> None:
        pass

    def retrieve(self, key_identifier: Any, **requests_kwargs: Any) -> str:
        issuers = {each.key.kid: each for each in (ORDERS, SHIPPING)}
        return export_public_pem(issuers[key_identifier.key_id].key)


def theirs(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ.get("ATL_ASAP_CLAIMS", {}).get("iss", "nobody").encode()]


def ours(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [wsgi.token(environ).claims["iss"].encode() if "asapfn.token" in environ else b"nobody"]


def answer(app: Any, headers: Mapping[str, str]) -> tuple[int, str]:
    with httpx.Client(transport=httpx.WSGITransport(app)) as client:
        got = client.get("https://billing.example/", headers=dict(headers))
    return got.status_code, got.text if got.status_code == 200 else ""


@pytest.mark.parametrize("required", [True, False])
def test_asap_required_lets_through_what_its_equivalent_does(required: bool) -> None:
    settings = {
        "ASAP_KEY_RETRIEVER_CLASS": Keys,
        "ASAP_VALID_AUDIENCE": "billing",
        "ASAP_VALID_ISSUERS": ["orders"],
        "ASAP_REQUIRED": required,
    }
    verify = asap.verifier(testing.resolver(ORDERS, SHIPPING), "billing", issuers="orders")
    phasing_in: dict[str, Any] = {} if required else {"optional": True, "enforce": False}
    protected = wsgi.protect(ours, bearer(verify), **phasing_in)
    sent = requests()
    answers = {name: answer(protected, headers) for name, headers in sent.items()}
    peers = {
        name: answer(ASAPMiddleware(theirs, settings), headers) for name, headers in sent.items()
    }
    assert answers == peers
    refused = {name for name, (status, _) in answers.items() if status != 200}
    assert refused == (set(sent) - {"good"} if required else set())
    assert {text for _, text in answers.values() if text} == (
        {"orders"} if required else {"orders", "nobody"}
    )


@pytest.mark.parametrize("required", [True, False])
def test_restrict_asap_lets_through_what_its_equivalent_does(required: bool) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("seen")

    by_peer = restrict_asap(issuers=["orders"], required=required)(view)
    by_us = requires(issuer_is_one_of("orders"), enforce=required)(view)
    statuses = {}
    for caller in (None, ORDERS, SHIPPING):
        request: Any = RequestFactory().get("/")
        request.asapfn_token = None if caller is None else caller.verified("billing")
        request.asap_claims = None if caller is None else request.asapfn_token.claims
        name = "nobody" if caller is None else caller.name
        theirs = by_peer(request).status_code
        statuses[name] = by_us(request).status_code
        assert statuses[name] == theirs, name
    expected = (401, 200, 403) if required else (200, 200, 200)
    assert statuses == dict(zip(("nobody", "orders", "shipping"), expected, strict=True))
