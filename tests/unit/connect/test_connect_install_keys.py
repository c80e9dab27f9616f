"""Connect, signed installs: whose keys are asked for, and where."""

from typing import Any

import pytest

from asapfn import connect
from asapfn._core.signing import sign
from asapfn.errors import Unavailable
from asapfn.types import Event
from tests.support.installs import BASE, FIRST, KEY, SECOND, body, claims, install, refused, request
from tests.support.published import Published


@pytest.fixture
def published() -> Published:
    published = Published()
    published.put(f"{FIRST}{KEY.kid}", KEY)
    return published


@pytest.mark.parametrize("media_type", ["", "text/plain", "binary/octet-stream"])
async def test_the_key_may_be_of_any_media_type(media_type: str) -> None:
    published = Published()
    published.put(f"{FIRST}{KEY.kid}", KEY, media_type)
    assert (await install(published)).client_key == "client"


@pytest.mark.parametrize("how", ["404", "down"])
async def test_the_second_host_is_asked_where_the_first_has_no_key(how: str) -> None:
    published = Published()
    published.put(f"{SECOND}{KEY.kid}", KEY)
    if how == "down":
        published.down.add(FIRST)
    await install(published)
    assert [url for url, _ in published.asked] == [f"{FIRST}{KEY.kid}", f"{SECOND}{KEY.kid}"]


async def test_a_key_that_neither_host_has_is_unknown() -> None:
    assert (await refused(Published())).reason == "unknown_key"


async def test_an_outage_is_not_a_rejection(published: Published) -> None:
    published.down.add(FIRST)
    with pytest.raises(Unavailable):
        await install(published)


async def test_the_resolver_of_an_environment_is_shared(published: Published) -> None:
    keys = connect.install_keys(published)
    acme, jira = keys("https://acme.atlassian.net"), keys("https://b.jira.com/x")
    assert acme is jira
    both = {**connect.PRODUCTION_HOSTS, **connect.STAGING_HOSTS}
    keys = connect.install_keys(published, hosts=both)
    assert keys("https://acme.atlassian.net") is not keys("https://acme.jira-dev.com")
    for _ in range(2):
        await connect.verify_install(request(sign(claims(), KEY)), body(), keys, base_urls=BASE)
    assert len(published.asked) == 1


async def test_what_is_asked_of_each_url_is_observed() -> None:
    published = Published()
    published.put(f"{SECOND}{KEY.kid}", KEY)
    events: list[Event] = []
    keys = connect.install_keys(published, observe=events.append)
    for _ in range(2):
        await connect.verify_install(request(sign(claims(), KEY)), body(), keys, base_urls=BASE)
    assert [event[:3] for event in events] == [
        ("unknown", FIRST, KEY.kid),
        ("fetched", SECOND, KEY.kid),
    ]


async def test_a_table_of_the_developers_is_trusted_instead() -> None:
    published = Published()
    published.put(f"https://keys.example/{KEY.kid}", KEY)
    for urls in ("https://keys.example", ["https://other.example/", "https://keys.example/"]):
        hosts: Any = {"localhost:2990": urls}
        await install(published, sent=body(baseUrl="https://localhost:2990/jira"), hosts=hosts)
        assert (await refused(published, hosts=hosts)).reason == "issuer_not_allowed"


@pytest.mark.parametrize(
    "hosts",
    [
        {},
        {"https://a.example": "https://keys.example"},
        {"a.example": "http://keys.example"},
        {"a.example": ()},
    ],
)
def test_a_table_that_cannot_work_is_told_at_once(hosts: Any) -> None:
    with pytest.raises(ValueError, match=r"empty|lower case|https|at least one"):
        connect.install_keys(Published(), hosts=hosts)
