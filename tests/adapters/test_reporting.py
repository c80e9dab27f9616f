"""What became of each request is reported: to the caller's function, and refusals to the log."""

import logging
import ssl
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from asapfn import Request, Token, TokenRejected, Unavailable, asap, bearer, jitsi, observed, sign
from asapfn.adapters import asgi, wsgi
from asapfn.adapters.aiohttp import server_middleware
from asapfn.adapters.httpx import fetcher
from asapfn.resolvers import keys_by_id
from asapfn.types import ObserveRequest, Verdict
from tests.support.keyring import key_for
from tests.support.servers import raw_server, resets

KEY = key_for("ES256", "issuer")
AUTHENTICATE = bearer(asap.verifier(keys_by_id([KEY]), "service", issuers="issuer"))
SIGN = asap.signer("issuer", KEY)
# What is sent, and what is reported of it; None stands for nothing.
CASES: dict[str, tuple[str | None, tuple[str, str] | None]] = {
    "good": ("service", ("accepted", "")),
    "for another service": ("other", ("rejected", "wrong_audience")),
    "without a token": (None, None),
}


def headers(audience: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {SIGN(audience)}"} if audience else {}


def by_asgi(authenticate: Any, observe: ObserveRequest | None, sent: dict[str, str]) -> int:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> int:
        protected = asgi.protect(app, authenticate, optional=True, observe=observe)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(protected)) as client:
            return (await client.get("https://service.example/", headers=sent)).status_code

    return anyio.run(ask)


def by_wsgi(authenticate: Any, observe: ObserveRequest | None, sent: dict[str, str]) -> int:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    protected = wsgi.protect(app, authenticate, optional=True, observe=observe)
    with httpx.Client(transport=httpx.WSGITransport(protected)) as client:
        return client.get("https://service.example/", headers=sent).status_code


def by_aiohttp(authenticate: Any, observe: ObserveRequest | None, sent: dict[str, str]) -> int:
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    async def ask() -> int:
        middleware = server_middleware(authenticate, optional=True, observe=observe)
        app = web.Application(middlewares=[middleware])
        app.router.add_get("/", handler)
        async with (
            TestServer(app) as server,
            TestClient(server) as client,
            client.get("/", headers=sent) as answer,
        ):
            return answer.status

    return anyio.run(ask, backend="asyncio")


ADAPTERS = pytest.mark.parametrize("ask", [by_asgi, by_wsgi, by_aiohttp])


@ADAPTERS
@pytest.mark.parametrize("case", CASES)
def test_each_request_has_one_verdict(
    ask: Callable[..., int], case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    verdicts: list[Verdict] = []
    audience, expected = CASES[case]
    status = ask(AUTHENTICATE, verdicts.append, headers(audience))
    assert status == (401 if expected and expected[0] == "rejected" else 200)
    assert [verdict[:2] for verdict in verdicts] == ([] if expected is None else [expected])
    logged = [record for record in caplog.records if record.name == "asapfn"]
    assert len(logged) == (status == 401)
    for verdict in verdicts:
        assert verdict.issuer == ("issuer" if verdict.outcome == "accepted" else "")
        assert 0 <= verdict.seconds < 10


@ADAPTERS
def test_a_refusal_is_logged_with_its_cause_where_nothing_is_configured(
    ask: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asapfn")
    token = headers("other")
    assert ask(AUTHENTICATE, None, token) == 401
    assert ask(AUTHENTICATE, None, headers("service")) == 200
    (record,) = [record for record in caplog.records if record.name == "asapfn"]
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith(
        'asapfn: rejected wrong_audience: expected "service", got "other" ('
    )
    assert vars(record)["asapfn_reason"] == "wrong_audience"
    assert token["Authorization"][7:30] not in caplog.text


@ADAPTERS
def test_an_outage_is_a_warning_that_names_the_source_and_the_cause(
    ask: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    with raw_server(resets()) as origin:  # whose certificate is not trusted here
        verify = asap.verifier(asap.repository(origin, fetcher()), "service", issuers="issuer")
        assert ask(bearer(verify), None, headers("service")) == 503
    warnings = [record for record in caplog.records if record.name == "asapfn"]
    assert len(warnings) == 1
    assert origin in warnings[0].getMessage()
    assert "certificate verify failed" in warnings[0].getMessage()


async def test_an_outage_of_a_users_own_source_has_the_words_of_its_cause() -> None:
    async def down(request: Request) -> Token:
        raise Unavailable("vault") from ssl.SSLError("no\nroute \u202e")

    verdicts: list[Verdict] = []
    with pytest.raises(Unavailable):
        await observed(down, verdicts.append)(Request("GET", "/", ()))
    ((outcome, reason, detail, issuer, _),) = verdicts
    assert (outcome, reason, issuer) == ("unavailable", "unavailable", "")
    assert detail.startswith("vault: ")
    assert "route" in detail
    assert detail.isascii()
    assert detail.isprintable()


async def test_observed_reports_what_it_passes_on() -> None:
    verdicts: list[Verdict] = []
    authenticate = observed(AUTHENTICATE, verdicts.append)
    pairs = tuple(headers("service").items())
    assert (await authenticate(Request("GET", "/", pairs))).claims["iss"] == "issuer"
    with pytest.raises(TokenRejected):
        await authenticate(Request("GET", "/", ()))
    assert [verdict[:2] for verdict in verdicts] == [
        ("accepted", ""),
        ("rejected", "missing_token"),
    ]


async def test_a_detail_of_a_users_own_makes_no_line_and_fills_no_disk() -> None:
    async def rejects(request: Request) -> Token:
        raise TokenRejected("invalid_claim", "a\nb" * 5_000)

    verdicts: list[Verdict] = []
    with pytest.raises(TokenRejected):
        await observed(rejects, verdicts.append)(Request("GET", "/", ()))
    assert len(verdicts[0].detail) <= 600
    assert verdicts[0].detail.isprintable()


def test_what_the_logger_does_not_want_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "asapfn")
    assert by_asgi(AUTHENTICATE, None, headers("other")) == 401
    assert not [record for record in caplog.records if record.name == "asapfn"]


def test_an_issuer_that_a_key_holder_chose_is_one_short_line_of_ascii() -> None:
    seen: list[Verdict] = []
    issuer = "a\n\x1b[31m\u202e" + "\U0001f600" * 500
    key = key_for("ES256", "app")
    claims = jitsi.claims("app", "jitsi", "standup") | {"iss": issuer}
    verify = jitsi.verifier(keys_by_id([key]), issuers=None, audience="jitsi")
    request = Request("GET", "/", (("Authorization", f"Bearer {sign(claims, key)}"),))
    anyio.run(observed(bearer(verify), seen.append), request)
    assert seen[0].issuer.startswith("a\\n\\x1b[31m\\u202e\\U0001f600")
    assert len(seen[0].issuer) == 200
