"""Keys in a repository of PEM files: what is asked, and what answers mean."""

from typing import Any

import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, export_public_pem
from asapfn.resolvers import pem_repository
from asapfn.resolvers.sources import _from_mirrors, mirrors
from asapfn.types import Caching, Document, Key
from tests.support.keyring import key_for
from tests.support.keysources import (
    ILL_FORMED,
    KID,
    PEM,
    Clock,
    Events,
    Repository,
    asking,
    down,
    good,
    missing,
    published,
    settle,
)

ONE, TWO = "https://one.example/", "https://two.example/"


def same(one: Key | None, other: Key) -> bool:
    return one is not None and export_public_pem(one) == export_public_pem(other)


def answer(status: int = 200, media_type: str = PEM, body: bytes | None = None) -> Any:
    pem = export_public_pem(key_for("RS256")).encode()
    return lambda url: Document(status, media_type, pem if body is None else body)


async def test_a_repository_is_asked_for_base_and_key_id() -> None:
    asked: list[tuple[str, str]] = []

    async def fetch(url: str, accept: str) -> Document:
        asked.append((url, accept))
        return good(url)

    for base in ("https://keys.example/base", "https://keys.example/base/"):
        found = await pem_repository(base, fetch)(asking("a/b/RS256.pem"))
        assert same(found, key_for("RS256"))
        assert found is not None
        assert found.kid == "a/b/RS256.pem"
    assert asked == [("https://keys.example/base/a/b/RS256.pem", PEM)] * 2


async def test_a_repositorys_layout_and_media_types_can_be_others() -> None:
    asked: list[tuple[str, str]] = []

    async def fetch(url: str, accept: str) -> Document:
        asked.append((url, accept))
        return answer(media_type="text/plain")(url)

    def locate(kid: str) -> str:
        return f"by-id/{kid}.txt"

    anything = pem_repository(ONE, fetch, locate=locate, media_types=None)
    assert await anything(asking()) is not None
    two = pem_repository(ONE, fetch, media_types=("text/plain", PEM))
    assert await two(asking()) is not None
    assert asked == [(f"{ONE}by-id/{KID}.txt", "*/*"), (f"{ONE}{KID}", f"text/plain, {PEM}")]


@pytest.mark.parametrize("status", [204, 403, 404])
async def test_no_such_key_is_what_a_repository_says_by(status: int) -> None:
    repository = Repository(answer(status, "text/html", b"none"))
    assert await pem_repository(f"{ONE} | {TWO}", repository)(asking()) is None
    assert repository.asked == [f"{ONE}{KID}"]


OUTAGES = {
    "status 201": answer(201),
    "status 301": answer(301),
    "status 304": answer(304),
    "status 401": answer(401),
    "status 410": answer(410),
    "status 429": answer(429),
    "status 500": answer(500),
    "status 503": answer(503),
    "expected media type application/x-pem-file, got application/json": answer(
        media_type="application/json"
    ),
    "expected media type application/x-pem-file, got none": answer(media_type=""),
    "not a public key: ": answer(body=b"garbage"),
    "not a public key: expected one key in PEM, found 0": answer(body=b""),
    "not a public key: expected one key in PEM, found 2": answer(
        body=export_public_pem(key_for("RS256")).encode() * 2
    ),
    "a private key is published": answer(body=export_private_pem(key_for("RS256")).encode()),
    "no connection": down,
}


@pytest.mark.parametrize(("detail", "outage"), OUTAGES.items(), ids=OUTAGES)
async def test_all_else_is_an_outage_and_the_next_mirror_is_asked(detail: str, outage: Any) -> None:
    alone = Repository(outage)
    with pytest.raises(Unavailable, match=f": {detail.removesuffix('.')}") as raised:
        await pem_repository(ONE, alone)(asking())
    assert raised.value.source in (ONE, f"{ONE}{KID}")
    if detail.startswith("not a public key"):
        assert isinstance(raised.value.__cause__, Unavailable)
        assert isinstance(raised.value.__cause__.__cause__, ValueError)
    repository = Repository(lambda url: (outage if url.startswith(ONE) else good)(url))
    resolve = pem_repository([ONE, TWO], repository)
    assert same(await resolve(asking()), key_for("RS256"))
    assert repository.asked == [f"{ONE}{KID}", f"{TWO}{KID}"]


async def test_when_every_mirror_is_down_all_are_told_of() -> None:
    repository, events = Repository(down), Events()
    with pytest.raises(
        Unavailable, match=r": every mirror is unavailable: no connection$"
    ) as raised:
        await pem_repository([ONE, TWO], repository, observe=events)(asking())
    assert raised.value.source == "https://one.example/ | https://two.example/"
    assert [event.source for event in events] == [raised.value.source]
    assert isinstance(raised.value.__cause__, Unavailable)
    assert "two.example" in str(raised.value.__cause__.__cause__)


async def test_when_every_mirror_fails_the_event_and_later_refusals_name_each_cause() -> None:
    page, events = Document(200, "text/html", b""), Events()
    repository = Repository(lambda url: page if url.startswith(ONE) else Document(503, "", b""))
    resolve = pem_repository([ONE, TWO], repository, observe=events, clock=Clock())
    causes = f"every mirror is unavailable: expected media type {PEM}, got text/html; status 503"
    for start in ("", r"not asked again for .* s, since it failed: "):
        with pytest.raises(Unavailable, match=f": {start}{causes}$"):
            await resolve(asking())
    assert [event.detail for event in events] == [causes]


@pytest.mark.parametrize("last", ["a proxy said no", "", "r\xe9seau", "long " * 60])
async def test_what_the_last_mirrors_error_was_caused_by_hides_no_other_mirrors_cause(
    last: str,
) -> None:
    events = Events()

    async def fetch(url: str, accept: str) -> Document:
        if url.startswith(ONE):
            raise Unavailable(url, "down")
        raise Unavailable(url, last) from OSError("no route")

    resolve = pem_repository([ONE, TWO], fetch, observe=events, clock=Clock())
    with pytest.raises(Unavailable, match="every mirror is unavailable: down; "):
        await resolve(asking())
    with pytest.raises(Unavailable, match="since it failed: every mirror is unavailable: down; "):
        await resolve(asking())
    assert [event.detail[:34] for event in events] == ["every mirror is unavailable: down;"]


async def test_when_every_mirror_is_down_each_cause_is_said_once() -> None:
    failures = [Unavailable("a"), Unavailable("b", "down"), Unavailable("c"), Unavailable("d")]
    for failure in (failures[0], failures[2]):
        failure.__cause__ = OSError("no route")
    failures[3].__cause__ = last = OSError("slow")
    left = iter(failures)

    async def fetch(url: str, accept: str) -> Document:
        raise next(left)

    with pytest.raises(Unavailable) as raised:
        await _from_mirrors([ONE] * 4, fetch, str, None, asking())
    assert raised.value.detail == "every mirror is unavailable: no route; down; slow"
    assert raised.value.__cause__ is failures[3]
    assert raised.value.__cause__.__cause__ is last


@pytest.mark.no_event_loop
@pytest.mark.parametrize(
    ("statuses", "answered"),
    [
        ([400], True),
        ([301], True),
        ([499], True),
        ([401], False),
        ([429], False),
        ([500], False),
        ([503], False),
        ([503, 503], False),
        ([503, 400], True),
        ([400, 503], True),
        ([503, 404], True),
        ([503, 200], True),
    ],
)
async def test_an_outage_says_whether_any_mirror_answered_for_this_key(
    statuses: list[int], answered: bool
) -> None:
    """If one did, this is no outage for other keys. What is served as 200 is no PEM."""
    left = iter(statuses)

    async def fetch(url: str, accept: str) -> Document:
        return Document(next(left), "text/html", b"<html>")

    with pytest.raises(Unavailable) as raised:
        await _from_mirrors([ONE, TWO][: len(statuses)], fetch, str, None, asking())
    assert raised.value.answered is answered


async def test_a_key_that_comes_with_a_time_to_ask_again_is_a_key() -> None:
    repository = Repository(lambda url: good(url)._replace(retry_after=17.0))
    assert same(await pem_repository(ONE, repository)(asking()), key_for("RS256"))


def test_what_is_no_function_to_fetch_with_is_named() -> None:
    wrong: Any = 7
    with pytest.raises(TypeError, match=r"\Afetch is a function of a URL .*, not int\Z"):
        pem_repository(ONE, wrong)


async def test_the_first_mirror_that_says_no_such_key_is_believed_and_the_old_key_is_gone() -> None:
    clock, repository = Clock(), Repository(good)
    resolve = pem_repository([ONE, TWO], repository, clock=clock)
    assert await resolve(asking()) is not None
    clock.turn(300.0)
    repository.answer = lambda url: (missing if url.startswith(ONE) else good)(url)
    assert await resolve(asking()) is None


async def test_no_such_key_of_a_mirror_is_an_outage_while_the_first_is_down() -> None:
    clock, repository = Clock(), Repository(good)
    resolve = pem_repository([ONE, TWO], repository, clock=clock)
    assert await resolve(asking()) is not None
    clock.turn(300.0)
    repository.answer = lambda url: (down if url.startswith(ONE) else missing)(url)
    assert same(await resolve(asking()), key_for("RS256"))
    with pytest.raises(Unavailable, match="no connection"):
        await resolve(asking("issuer/other"))
    clock.turn(4000.0)
    with pytest.raises(Unavailable, match="no connection"):
        await resolve(asking())


async def test_no_mirror_is_asked_for_a_key_that_one_of_them_does_not_have() -> None:
    three = "https://three.example/"
    answers = {ONE: down, TWO: missing, three: good}
    repository = Repository(lambda url: answers[url.removesuffix(KID)](url))
    with pytest.raises(Unavailable, match="no connection"):
        await pem_repository([ONE, TWO, three], repository)(asking())
    assert repository.asked == [f"{ONE}{KID}", f"{TWO}{KID}"]


@pytest.mark.parametrize(
    ("waits", "expected"), [((30.0, 10.0), 10.0), ((30.0, None), 0.0), ((None, None), 0.0)]
)
async def test_mirrors_are_left_alone_until_the_first_wants_to_be_asked_again(
    waits: tuple[float | None, float | None], expected: float
) -> None:
    clock, repository = Clock(), Repository()
    first, second = (Document(503, "", b"", retry_after=wait) for wait in waits)
    repository.answer = lambda url: first if url.startswith(ONE) else second
    resolve = pem_repository([ONE, TWO], repository, clock=clock)
    with pytest.raises(Unavailable, match="every mirror is unavailable"):
        await resolve(asking())
    repository.answer = good
    if expected:
        clock.turn(expected - 0.1)
        with pytest.raises(Unavailable, match=r"not asked again for 0\.1 s"):
            await resolve(asking("issuer/other"))
        clock.turn(0.1)
    assert await resolve(asking("issuer/other")) is not None


async def test_what_a_mirror_says_of_caching_counts() -> None:
    clock, events = Clock(), Events()
    repository = Repository(lambda url: published(key_for("RS256"), 100.0, 50.0, 25.0))
    resolve = pem_repository(
        ONE, repository, caching=Caching(spread=0.0), clock=clock, observe=events
    )
    await resolve(asking())
    clock.turn(99.0)
    await resolve(asking())
    assert len(repository.asked) == 1
    repository.answer = down
    clock.turn(50.9)
    assert await resolve(asking()) is not None
    await settle()
    clock.turn(5.1)
    with pytest.raises(Unavailable):
        await resolve(asking())
    assert [(event.kind, event.source, event.key_id) for event in events] == [
        (kind, ONE, KID) for kind in ("fetched", "stale", "unavailable", "unavailable")
    ]


@pytest.mark.no_event_loop
@pytest.mark.parametrize("kid", ILL_FORMED)
async def test_no_repository_is_asked_for_an_ill_formed_key_id(kid: str) -> None:
    repository = Repository()
    with pytest.raises(TokenRejected, match="invalid_claim"):
        await pem_repository(ONE, repository)(asking(kid, "issuer"))
    with pytest.raises(TokenRejected, match="missing_claim"):
        await pem_repository(ONE, repository)(asking(None, "issuer"))
    assert repository.asked == []


async def test_one_key_id_is_never_answered_with_anothers_key() -> None:
    keys = {f"{ONE}issuer/{name}": key_for(name) for name in ("RS256", "ES256")}
    resolve = pem_repository(ONE, Repository(lambda url: published(keys[url], 300.0)))
    for _ in range(2):
        for name in ("RS256", "ES256"):
            assert same(await resolve(asking(f"issuer/{name}")), key_for(name))


async def test_a_key_is_parsed_once_a_fetch() -> None:
    resolve = pem_repository(ONE, Repository())
    assert await resolve(asking()) is await resolve(asking())


@pytest.mark.parametrize(
    "given",
    [
        "https://one.example | https://two.example/",
        ["https://one.example/", "https://two.example"],
        [" https://one.example|https://two.example "],
    ],
)
def test_mirrors_are_one_string_or_several(given: str | list[str]) -> None:
    assert mirrors(given) == [ONE, TWO]


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ([], "^a key repository has at least one URL$"),
        ("", "^keys come from an https URL that has neither"),
        ("https://one.example |", "^keys come from an https URL that has neither"),
        (
            "http://user:hunter2@one.example/keys",
            r"fragment, not http://one\.example/keys; for development use pem_directory$",
        ),
        (
            "one.example:8443/a",
            r"fragment, such as https://keys\.example/, not one\.example:8443/a;",
        ),
        ("http://user:hunter2@hunter2@one.example/", r"fragment, not http://one\.example/; for"),
        ("http://one.example/a", r"fragment, not http://one\.example/a; for"),
        ("file:///etc/hunter2/", "fragment; for development"),
        ("https://[/hunter2", "fragment; for development"),
        ("http://one.example/", "^keys come from an https URL that has neither"),
        ("file:///etc/keys/", "^keys come from an https URL that has neither"),
        ("one.example", "^keys come from an https URL that has neither"),
        ("https:///keys", "^keys come from an https URL that has neither"),
        ("https://[/keys", "^keys come from an https URL that has neither"),
        ("https://user:hunter2@one.example/", "^keys come from an https URL that has neither"),
        ("https://user:hunter2@one.ex\u2100mple/", "^keys come from an https URL that has neither"),
        ("https://@one.example/", "^keys come from an https URL that has neither"),
        ("https://one.example/#keys", "^keys come from an https URL that has neither"),
        ("https://one.example/?key=", "^a key repository's URL has no query"),
        ("https://one.example/?", "^a key repository's URL has no query"),
        (
            ["https://one.example/", "http://two.example/"],
            "^keys come from an https URL that has neither",
        ),
    ],
)
def test_a_repository_is_an_https_url_and_no_message_tells_a_password(
    urls: str | list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        pem_repository(urls, Repository())
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in str(raised.value.__context__)
