"""A URL's query may hold a secret: whatever names a source leaves it out."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from asapfn import Unavailable, bearer, forge, policy, testing, verifier
from asapfn.adapters.logging import observer
from asapfn.errors import TokenRejected
from asapfn.resolvers import certificates, discovered, jwks
from asapfn.types import Caching, Document, Event, Fetch, Resolver

SECRET = "S3CRET"
ISSUER = "https://keys.example"
BY = testing.issuer(ISSUER, algorithm="RS256")

Make = Callable[..., Resolver]
SOURCES: dict[str, Make] = {
    "jwks": lambda fetch, **named: jwks(f"{ISSUER}/keys?sig={SECRET}", fetch, **named),
    "certificates": lambda fetch, **named: certificates(
        f"{ISSUER}/keys?sig={SECRET}", fetch, **named
    ),
    "discovered": lambda fetch, **named: discovered(
        ISSUER, fetch, metadata_url=f"{ISSUER}/metadata?sig={SECRET}", **named
    ),
    "forge, label in the path": lambda fetch, **named: forge.keys(
        fetch, isolated_cloud=f"{ISSUER}/{{icLabel}}/keys?sig={SECRET}", **named
    ),
    "forge, label in the query": lambda fetch, **named: forge.keys(
        fetch, isolated_cloud=f"{ISSUER}/keys?label={{icLabel}}&sig={SECRET}", **named
    ),
}


async def breaks(url: str, accept: str) -> Document:
    raise LookupError("no such provider")


def answering(document: Document) -> Fetch:
    async def fetch(url: str, accept: str) -> Document:
        return document

    return fetch


FETCHES: dict[str, Fetch] = {
    "status 404": testing.fetch({}),
    "status 503": answering(Document(503, "", b"")),
    "no document": answering(Document(200, "text/html", b"<html>")),
    "no keys": answering(testing.json_document({"keys": []})),
    "its keys at a secret place": answering(
        testing.json_document({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys?sig={SECRET}"})
    ),
    "an error": breaks,
}


@pytest.mark.parametrize("fetch", FETCHES.values(), ids=FETCHES)
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
async def test_no_event_error_or_log_has_the_query_of_a_source(
    make: Make, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    log = observer(logging.getLogger("sources"))

    def observe(event: Event) -> None:
        events.append(event)
        log(event)

    caplog.set_level(logging.DEBUG)
    # After two misses the budget is spent, which is an outage by the cache's own name.
    caching = Caching(issuer_misses=(0.0, 2), longest_wait=0.0, unknown_for=0.0)
    resolve = make(fetch, caching=caching, observe=observe)
    authenticate = bearer(verifier(policy(resolve, audience="service")))
    shown: list[Any] = []
    for number in range(4):
        token = BY.token("service", claims={"icLabel": f"label-{number}"})
        with pytest.raises((TokenRejected, Unavailable, LookupError)) as raised:
            await authenticate(testing.request({"Authorization": f"Bearer {token}"}))
        error = raised.value
        shown += [repr(error), str(error), vars(error)]
    assert events
    for each in (*shown, *events, caplog.text):
        assert SECRET not in str(each)
