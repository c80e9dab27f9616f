"""The keys of an OpenID provider: its metadata, its key set, and where they are to be had."""

import json
from typing import Any

import anyio
import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_public_jwk, generate
from asapfn.resolvers import activity, by_issuer, clear, discovered, prefetch
from asapfn.types import Caching, Document, Event
from tests.support.keysets import same
from tests.support.keysources import settle
from tests.support.provider import (
    EC,
    ISSUER,
    KEYS,
    METADATA,
    MOVED,
    RSA,
    Provider,
    json_document,
    key_set,
    metadata,
    of_issuer,
)

NEW = generate("RS256", kid="oidc/new")


async def test_the_metadata_says_where_the_keys_are_and_both_are_asked_for_once() -> None:
    provider = Provider()
    assert same(await provider.resolve(of_issuer(RSA.kid)), RSA)
    assert same(await provider.resolve(of_issuer(EC.kid, algorithm="ES256")), EC)
    assert provider.asked == [METADATA, KEYS]


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://i.example", "https://i.example/.well-known/openid-configuration"),
        ("https://i.example/", "https://i.example/.well-known/openid-configuration"),
        ("https://i.example/a/b", "https://i.example/a/b/.well-known/openid-configuration"),
        ("https://i.example/a/b/", "https://i.example/a/b/.well-known/openid-configuration"),
        ("https://i.example:8443", "https://i.example:8443/.well-known/openid-configuration"),
    ],
)
async def test_the_path_is_put_behind_the_issuer_without_its_last_slash(
    issuer: str, url: str
) -> None:
    """OpenID Connect Discovery 1.0, section 4.1."""
    provider = Provider(issuer=issuer)
    provider.there[url] = metadata(issuer=issuer)
    assert await provider.sees(issuer=issuer) == "found"
    assert provider.asked == [url, KEYS]


async def test_the_metadata_may_be_elsewhere_and_its_query_is_in_no_event() -> None:
    url = "https://elsewhere.example/metadata"
    provider = Provider(metadata_url=f"{url}?appid=secret")
    assert await provider.sees() == "unavailable"
    provider.clock.turn(20.0)
    provider.there[f"{url}?appid=secret"] = metadata()
    assert await provider.sees() == "found"
    assert {event.source for event in provider.events} == {url, ISSUER}


@pytest.mark.parametrize(
    ("issuer", "reason", "detail"),
    [
        (None, "missing_claim", "no iss"),
        ("https://other.example", "issuer_not_allowed", '"https://other.example"'),
        (f"{ISSUER}/", "issuer_not_allowed", f'expected "{ISSUER}", got "{ISSUER}/"'),
        (ISSUER.upper(), "issuer_not_allowed", "got"),
        ("", "issuer_not_allowed", 'got ""'),
    ],
)
async def test_a_token_of_another_issuer_is_refused_and_nothing_is_fetched(
    issuer: str | None, reason: str, detail: str
) -> None:
    provider = Provider()
    with pytest.raises(TokenRejected, match=detail) as refused:
        await provider.resolve(of_issuer(RSA.kid, issuer))
    assert (refused.value.reason, refused.value.claim) == (reason, "iss")
    assert provider.asked == []
    assert await provider.sees() == "found"
    assert await provider.sees(issuer=issuer) == reason


NOT_METADATA: dict[str, tuple[Any, str]] = {
    "of another issuer": (
        {"issuer": "https://evil.example", "jwks_uri": KEYS},
        f'not the metadata of {ISSUER}: expected that issuer, got "https://evil.example"',
    ),
    "of the issuer with a slash": ({"issuer": f"{ISSUER}/", "jwks_uri": KEYS}, f'"{ISSUER}/"'),
    "of no issuer": ({"jwks_uri": KEYS}, "got null"),
    "of a list of issuers": ({"issuer": [ISSUER], "jwks_uri": KEYS}, "got \\["),
    "without keys": ({"issuer": ISSUER}, "expected a URL as jwks_uri, got null"),
    "with keys at a number": ({"issuer": ISSUER, "jwks_uri": 7}, "got 7"),
    "with keys over http": (
        {"issuer": ISSUER, "jwks_uri": "http://issuer.example/keys"},
        "jwks_uri: .*https.*not http://issuer.example/keys",
    ),
    "with keys in a file": ({"issuer": ISSUER, "jwks_uri": "file:///etc/keys"}, "https"),
    "with keys at a user's": ({"issuer": ISSUER, "jwks_uri": "https://u:p@x.example/"}, "https"),
    "with keys behind a fragment": ({"issuer": ISSUER, "jwks_uri": f"{KEYS}#x"}, "fragment"),
    "with keys at a path": ({"issuer": ISSUER, "jwks_uri": "/keys"}, "https"),
    "with a line feed": ({"issuer": ISSUER, "jwks_uri": "https://x.example/\nHost: y"}, "a URL"),
    "with a space": ({"issuer": ISSUER, "jwks_uri": "https://x.example/ y"}, "a URL"),
    "with a URL that is too long": ({"issuer": ISSUER, "jwks_uri": KEYS + "x" * 3000}, "a URL"),
    "not JSON": (b"<html>", "not the metadata"),
    "a list": ([ISSUER], "not the metadata"),
    "empty": (b"", "not the metadata"),
    "with two places of keys": (
        f'{{"issuer":"{ISSUER}","jwks_uri":"{KEYS}","jwks_uri":"https://evil.example/"}}'.encode(),
        "not the metadata",
    ),
    "with two issuers": (
        f'{{"issuer":"https://evil.example","issuer":"{ISSUER}","jwks_uri":"{KEYS}"}}'.encode(),
        "not the metadata",
    ),
    "deep": (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "not the metadata"),
}


@pytest.mark.parametrize(("content", "detail"), NOT_METADATA.values(), ids=NOT_METADATA)
async def test_what_is_no_metadata_of_the_issuer_is_said_and_no_key_set_is_fetched(
    content: Any, detail: str
) -> None:
    provider = Provider()
    provider.there[METADATA] = json_document(content)
    with pytest.raises(Unavailable, match=detail) as outage:
        await provider.resolve(of_issuer(RSA.kid))
    assert outage.value.source == METADATA
    assert provider.asked_since() == [METADATA]
    ours = [event for event in provider.events if event.source == METADATA]
    assert [event.kind for event in ours] == ["unavailable"]
    assert ours[0].detail
    # It is remembered for as long as a key that cannot be used, and found within a second more.
    provider.clock.turn(19.9)
    assert await provider.sees() == "unavailable"
    assert provider.asked_since() == []
    provider.there[METADATA] = metadata()
    provider.clock.turn(1.1)
    assert await provider.sees() == "found"


@pytest.mark.parametrize(
    ("media_type", "body", "named"),
    [
        ("text/html", b"<html>", "got text/html"),
        ("", b"", "got none"),
        ("text/plain", b' {"issuer": 7}', None),
        ("application/json", b"<html>", None),
    ],
)
async def test_what_is_no_json_at_all_is_named_by_its_media_type(
    media_type: str, body: bytes, named: str | None
) -> None:
    provider = Provider()
    provider.there[METADATA] = Document(200, media_type, body)
    with pytest.raises(Unavailable, match="not the metadata") as outage:
        await provider.resolve(of_issuer(RSA.kid))
    said = "expected media type application/json"
    assert (said in outage.value.detail) == (named is not None)
    assert outage.value.detail.endswith(f"; {said}, {named}") == (named is not None)


async def test_metadata_that_is_down_says_when_to_ask_again() -> None:
    provider = Provider()
    provider.there[METADATA] = Document(503, "", b"", retry_after=17.0)
    with pytest.raises(Unavailable) as outage:
        await provider.resolve(of_issuer(RSA.kid))
    assert outage.value.retry_after == 17.0


async def test_the_bounds_that_are_given_are_those_of_both_documents() -> None:
    provider = Provider(caching=Caching(default_age=50.0, spread=0.0))
    assert await provider.sees() == "found"
    assert provider.asked_since() == [METADATA, KEYS]
    for step, asked in ((49.0, []), (1.0, [METADATA, KEYS])):
        provider.clock.turn(step)
        assert await provider.sees() == "found"
        assert provider.asked_since() == asked


async def test_metadata_is_kept_for_as_long_as_it_says() -> None:
    provider = Provider(cooldown=100_000.0, caching=Caching(spread=0.0))
    document = metadata(1000.0)
    provider.there[METADATA] = document._replace(retry_after=17.0)
    provider.there[KEYS] = key_set(RSA, ages=(700.0,))
    assert await provider.sees() == "found"
    assert provider.asked_since() == [METADATA, KEYS]
    for step, asked in ((100_000.0, [METADATA, KEYS]), (800.0, [KEYS]), (100_000.0, [METADATA])):
        provider.clock.turn(step)
        await provider.sees()
        await settle(30)
        assert provider.asked_since()[: len(asked)] == asked


async def test_the_media_type_of_what_is_the_metadata_does_not_matter() -> None:
    """As static files have it, of which an issuer may consist."""
    provider = Provider()
    for url in (METADATA, KEYS):
        document = provider.there[url]
        assert isinstance(document, Document)
        provider.there[url] = document._replace(media_type="binary/octet-stream")
    assert await provider.sees() == "found"


@pytest.mark.parametrize("status", [204, 301, 401, 403, 404, 500, 503])
async def test_a_status_but_200_is_an_outage_of_either_document(status: int) -> None:
    for url in (METADATA, KEYS):
        provider = Provider()
        provider.there[url] = Document(status, "", b"", retry_after=None)
        with pytest.raises(Unavailable, match=f"status {status}") as outage:
            await provider.resolve(of_issuer(RSA.kid))
        assert outage.value.source == url


async def test_the_key_set_may_be_on_another_host() -> None:
    """Discovery, section 3: https is all that is asked of it. Google's is on another host."""
    provider = Provider()
    provider.there[METADATA] = metadata(jwks_uri="https://www.keys.example/certs?v=3")
    provider.there["https://www.keys.example/certs?v=3"] = key_set(RSA)
    assert await provider.sees() == "found"


async def test_metadata_that_names_itself_as_key_set_is_asked_for_no_more_than_that() -> None:
    provider = Provider()
    provider.there[METADATA] = metadata(jwks_uri=METADATA)
    with pytest.raises(Unavailable, match="no list of keys"):
        await provider.resolve(of_issuer(RSA.kid))
    assert await provider.sees() == "unavailable"
    assert provider.asked == [METADATA, METADATA]


async def test_a_key_that_is_new_makes_both_be_asked_for_again_after_the_cooldown() -> None:
    provider = Provider(cooldown=30.0)
    assert await provider.sees() == "found"
    provider.there[KEYS] = key_set(RSA, NEW)
    provider.clock.turn(29.9)
    assert await provider.sees(NEW.kid) == "unknown_key"
    assert provider.asked_since() == [METADATA, KEYS]
    provider.clock.turn(0.1)
    assert await provider.sees(NEW.kid) == "found"
    assert provider.asked_since() == [METADATA, KEYS]


async def test_a_key_set_that_moved_is_found_though_the_old_one_is_still_there() -> None:
    provider = Provider(cooldown=30.0)
    provider.there[METADATA] = metadata(86_400.0)
    assert await provider.sees() == "found"
    provider.there[METADATA] = metadata(86_400.0, jwks_uri=MOVED)
    provider.there[MOVED] = key_set(NEW)
    provider.clock.turn(30.0)
    assert await provider.sees(NEW.kid) == "found"
    assert await provider.sees() == "unknown_key"
    assert provider.asked == [METADATA, KEYS, METADATA, MOVED]


# Who asks while the set moves, by the old key's kid: the algorithm, which may not fit the key; and
# how long metadata and sets are fresh.
KEEPS_OUT: dict[str, tuple[str | None, tuple[float, ...], tuple[float, ...]]] = {
    "nobody": (None, (86_400.0,), ()),
    "unsigned tokens": ("ES256", (86_400.0,), ()),
    "unsigned tokens, metadata of default age": ("ES256", (), ()),
    "unsigned tokens, both fresh for a day": ("ES256", (86_400.0,), (86_400.0,)),
    "tokens of the old key, sets of 10 seconds": ("RS256", (86_400.0,), (10.0,)),
}


@pytest.mark.parametrize(("algorithm", "ages", "set_ages"), KEEPS_OUT.values(), ids=KEEPS_OUT)
async def test_no_token_keeps_the_new_keys_of_a_set_that_moved_out(
    algorithm: str | None, ages: tuple[float, ...], set_ages: tuple[float, ...]
) -> None:
    provider = Provider(cooldown=30.0)
    provider.there |= {METADATA: metadata(*ages), KEYS: key_set(RSA, ages=set_ages)}
    assert await provider.sees() == "found"
    provider.there |= {
        METADATA: metadata(*ages, jwks_uri=MOVED),
        MOVED: key_set(RSA, NEW, ages=set_ages),
    }
    seen: list[str] = []
    while len(seen) < 30 and "found" not in seen:
        provider.clock.turn(1.0)
        if algorithm is not None:
            await provider.sees(algorithm=algorithm)
        seen.append(await provider.sees(NEW.kid))
    assert seen[-1] == "found"
    assert len(provider.asked) <= 8


async def test_a_key_set_that_moved_is_found_by_tokens_of_the_old_keys_alone() -> None:
    """As the old place may go away any day: each fetch of the set follows the metadata."""
    provider = Provider(cooldown=30.0)
    provider.there[METADATA] = metadata(86_400.0)
    assert await provider.sees() == "found"
    provider.there |= {METADATA: metadata(86_400.0, jwks_uri=MOVED), MOVED: key_set(RSA, NEW)}
    provider.clock.turn(600.0)
    assert await provider.sees() == "found"
    assert provider.asked == [METADATA, KEYS, METADATA, MOVED]


async def test_without_a_cooldown_metadata_that_was_just_fetched_is_not_asked_for_again() -> None:
    provider = Provider(cooldown=0.0)
    document = provider.there[METADATA]
    assert isinstance(document, Document)

    def after_a_second() -> Document:
        provider.clock.turn(1.0)
        return document

    provider.there[METADATA] = after_a_second
    assert await provider.sees() == "found"
    assert provider.asked == [METADATA, KEYS]


GONE: dict[str, Any] = {
    "gone": Document(404, "", b""),
    "down": Unavailable(KEYS, "no connection"),
    "no set": json_document({"keys": 7}),
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
async def test_a_key_set_that_moved_is_found_when_the_old_one_is_gone(gone: Any) -> None:
    provider = Provider()
    provider.there[METADATA] = metadata(86_400.0)
    assert await provider.sees() == "found"
    provider.there |= {METADATA: metadata(jwks_uri=MOVED), MOVED: key_set(RSA), KEYS: gone}
    provider.clock.turn(600.0)
    assert await provider.sees() == "found"
    assert provider.asked == [METADATA, KEYS, METADATA, MOVED]
    assert provider.events.kinds()[-1] == "refreshed"


async def test_where_the_new_place_of_the_keys_is_down_the_old_keys_serve() -> None:
    provider = Provider(caching=Caching(stale_if_error=3600.0))
    assert await provider.sees() == "found"
    provider.there |= {METADATA: metadata(jwks_uri=MOVED), KEYS: Document(404, "", b"")}
    provider.clock.turn(600.0)
    assert await provider.sees() == "found"
    provider.clock.turn(3601.0)
    assert await provider.sees() == "unavailable"


async def test_unknown_keys_cost_two_fetches_a_cooldown_however_many_there_are() -> None:
    provider = Provider(cooldown=30.0)
    assert await provider.sees() == "found"
    provider.clock.turn(30.0)
    for number in range(50):
        assert await provider.sees(f"random/{number}") == "unknown_key"
    assert provider.asked == [METADATA, KEYS, METADATA, KEYS]


async def test_metadata_that_cannot_be_had_again_leaves_the_place_that_was_known() -> None:
    provider = Provider(caching=Caching(stale_if_error=86_400.0))
    assert await provider.sees() == "found"
    provider.there[METADATA] = Unavailable(METADATA, "no connection")
    for _ in range(5):
        provider.clock.turn(3600.0)
        provider.there[KEYS] = key_set(RSA)
        assert await provider.sees() == "found"
    provider.there[KEYS] = key_set(RSA, NEW)
    provider.clock.turn(30.0)
    assert await provider.sees(NEW.kid) == "found"
    assert {"stale", "unavailable"} <= {
        event.kind for event in provider.events if event.source == METADATA
    }


async def test_a_key_that_was_withdrawn_is_unknown_though_the_metadata_is_down() -> None:
    provider = Provider()
    assert await provider.sees() == "found"
    provider.there |= {KEYS: key_set(EC), METADATA: Unavailable(METADATA, "no connection")}
    provider.clock.turn(600.0)
    assert await provider.sees() == "unknown_key"
    assert provider.asked[2:] == [METADATA, KEYS]
    provider.clock.turn(30.0)
    assert await provider.sees() == "unknown_key"


async def test_a_new_place_that_is_down_makes_no_key_unknown() -> None:
    provider = Provider()
    provider.there[METADATA] = metadata(86_400.0)
    assert await provider.sees() == "found"
    provider.there |= {METADATA: metadata(jwks_uri=MOVED), MOVED: Unavailable(MOVED, "down")}
    provider.clock.turn(30.0)
    assert await provider.sees(NEW.kid) == "unavailable"
    assert await provider.sees() == "found"


async def test_metadata_that_turns_to_another_issuer_leaves_the_keys_for_the_outages_time() -> None:
    provider = Provider(caching=Caching(default_age=600.0, stale_if_error=3600.0))
    assert await provider.sees() == "found"
    provider.there |= {
        METADATA: metadata(issuer="https://evil.example", jwks_uri=MOVED),
        MOVED: key_set(NEW),
        KEYS: Unavailable(KEYS, "no connection"),
    }
    provider.clock.turn(600.0)
    assert await provider.sees() == "found"
    provider.clock.turn(30.0)
    assert await provider.sees(NEW.kid) == "unavailable"
    provider.clock.turn(3600.0)
    assert await provider.sees() == "unavailable"
    assert MOVED not in provider.asked


async def test_a_hundred_at_once_ask_for_each_document_once() -> None:
    provider = Provider()
    found: list[str] = []

    async def call() -> None:
        found.append(await provider.sees())

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(call)
    assert found == ["found"] * 100
    assert provider.asked == [METADATA, KEYS]


async def test_a_caller_that_is_cancelled_leaves_the_others_their_keys() -> None:
    provider = Provider()
    gate = anyio.Event()
    fetch = provider.__call__

    async def slow(url: str, accept: str) -> Document:
        await gate.wait()
        return await fetch(url, accept)

    resolve = discovered(ISSUER, slow)
    found: list[Any] = []
    first = anyio.CancelScope()

    async def lead() -> None:
        with first:
            await resolve(of_issuer(RSA.kid))

    async def follow() -> None:
        found.append(await resolve(of_issuer(RSA.kid)))

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        await settle()
        group.start_soon(follow)
        await settle()
        first.cancel()
        await settle()
        gate.set()
    assert same(found[0], RSA)
    assert provider.asked == [METADATA, KEYS]


async def test_events_are_those_of_two_sources() -> None:
    provider = Provider()
    await provider.sees()
    kid = RSA.kid or ""
    assert provider.events == [
        Event("fetched", METADATA, kid, 0.0),
        Event("fetched", ISSUER, kid, 0.0),
    ]
    provider.events.clear()
    await provider.sees("absent")
    assert provider.events == [Event("unknown", ISSUER, "absent", 0.0)]


async def test_a_key_for_another_use_is_chosen_by_uses() -> None:
    member = export_public_jwk(RSA) | {"use": "jwt-svid"}
    provider, bundle = Provider(), Provider(uses="jwt-svid")
    for each in (provider, bundle):
        each.there[KEYS] = json_document({"keys": [member]})
    assert await provider.sees() == "unknown_key"
    assert await bundle.sees() == "found"


async def test_a_published_key_that_cannot_be_used_is_explained() -> None:
    provider = Provider()
    provider.there[KEYS] = json_document({"keys": [export_public_jwk(RSA) | {"use": "enc"}]})
    with pytest.raises(TokenRejected, match="the key set has this kid, but") as refused:
        await provider.resolve(of_issuer(RSA.kid))
    assert refused.value.reason == "unknown_key"


async def test_it_is_warmed_counted_and_cleared() -> None:
    provider = Provider()
    assert await prefetch(provider.resolve, [RSA.kid or ""]) == {RSA.kid: True}
    assert provider.asked_since() == [METADATA, KEYS]
    assert activity(provider.resolve).cached == 2
    clear(provider.resolve, RSA.kid)
    assert await provider.sees() == "found"
    assert provider.asked_since() == [KEYS]
    clear(provider.resolve)
    assert await provider.sees() == "found"
    assert provider.asked_since() == [METADATA, KEYS]


async def test_each_issuers_keys_are_asked_for_by_its_own_tokens_alone() -> None:
    first, second = Provider(), Provider(issuer="https://other.example")
    resolve = by_issuer({ISSUER: first.resolve, "https://other.example": second.resolve})
    assert same(await resolve(of_issuer(RSA.kid)), RSA)
    assert second.asked == []


BAD_ISSUERS = {
    "http": "http://issuer.example",
    "userinfo": "https://user:hunter2@issuer.example",
    "fragment": "https://issuer.example#x",
    "no host": "https:///x",
    "no URL": "issuer",
    "query": "https://issuer.example?x=hunter2",
}


@pytest.mark.parametrize("issuer", BAD_ISSUERS.values(), ids=BAD_ISSUERS)
def test_an_issuer_is_an_https_url_without_query(issuer: str) -> None:
    """OpenID Connect Discovery 1.0, section 3."""
    with pytest.raises(ValueError, match=r"https|no query") as refused:
        discovered(issuer, Provider())
    assert "hunter2" not in str(refused.value)


def test_an_issuer_is_a_str_and_fetch_a_function() -> None:
    with pytest.raises(TypeError, match="issuer is a str, not NoneType"):
        discovered(None, Provider())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fetch is a function of a URL"):
        discovered(ISSUER, None)  # type: ignore[arg-type]


def test_options_are_checked_when_it_is_made() -> None:
    options: list[dict[str, Any]] = [
        {"metadata_url": "http://issuer.example/"},
        {"uses": "enc"},
        {"uses": ()},
        {"cooldown": -1.0},
        {"caching": Caching(max_age=-1.0)},
    ]
    for wrong in options:
        with pytest.raises(ValueError, match=r"https|uses|cooldown|max_age"):
            discovered(ISSUER, Provider(), **wrong)


async def test_what_is_accepted_is_said() -> None:
    accepted: list[str] = []
    provider = Provider()

    async def fetch(url: str, accept: str) -> Document:
        accepted.append(accept)
        return await provider(url, accept)

    await discovered(ISSUER, fetch)(of_issuer(RSA.kid))
    assert accepted == ["application/json", "application/jwk-set+json, application/json"]


async def test_large_metadata_with_all_that_providers_publish_is_read() -> None:
    provider = Provider()
    more = {f"member_{number}": ["value"] * 20 for number in range(100)}
    provider.there[METADATA] = metadata(**more)
    assert len(json.dumps(more)) > 10_000
    assert await provider.sees() == "found"


async def test_a_byte_order_mark_before_either_document_is_no_part_of_it() -> None:
    async def fetch(url: str, accept: str) -> Document:
        document = key_set(RSA) if url == KEYS else metadata()
        return document._replace(media_type="text/plain", body=b"\xef\xbb\xbf" + document.body)

    assert same(await discovered(ISSUER, fetch)(of_issuer(RSA.kid)), RSA)
