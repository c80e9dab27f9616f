"""Maps of certificates, `{kid: certificate}`, as Google and Firebase publish their keys."""

import json
import math
import pathlib
from typing import Any

import pytest

from asapfn.errors import Unavailable
from asapfn.keys import export_private_pem, export_public_pem
from asapfn.resolvers import certificates, jwks
from asapfn.types import Caching, Key
from tests.support.keyring import key_for
from tests.support.keysets import SOURCE, URL, serving, why
from tests.support.keysources import Clock, Events, Repository, asking, settle

FOLDER = pathlib.Path(__file__).parents[2] / "support" / "vectors" / "certificates"
IN_2020 = 1590000000
IN_2050 = 2530000000
EXPIRES = 1609459200


def pem(name: str) -> str:
    return (FOLDER / f"{name}.pem").read_text()


def public(name: str) -> str:
    return (FOLDER / f"{name}.pub").read_text()


MAP: dict[str, Any] = {"a1b2": pem("rsa"), "c3d4": pem("ec"), "e5f6": pem("ed25519")}


class Client:
    """A map of certificates behind `certificates`, and the two clocks."""

    def __init__(self, body: Any, now: float = IN_2020, **options: Any) -> None:
        self.now, self.clock, self.events = now, Clock(), Events()
        self.source = Repository(serving(body, 80_000.0))
        self.resolve = certificates(
            URL,
            self.source,
            now=lambda: self.now,
            clock=self.clock,
            observe=self.events,
            **options,
        )

    async def why(self, kid: str | None, algorithm: str = "RS256") -> str:
        return await why(self.resolve, asking(kid, "issuer", algorithm))

    async def find(self, kid: str | None, algorithm: str = "RS256") -> Key | None:
        return await self.resolve(asking(kid, "issuer", algorithm))


async def test_a_key_is_found_by_its_id_in_the_map() -> None:
    client = Client(MAP)
    key = await client.find("a1b2")
    assert key is not None
    assert (export_public_pem(key), key.kid) == (public("rsa"), "a1b2")
    assert await client.find("a1b2") is key
    assert "ES256 needs a key of type EC" in await client.why("a1b2", "ES256")
    assert await client.find("unknown") is None
    ed25519 = await client.find("e5f6", "EdDSA")
    assert ed25519 is not None
    assert export_public_pem(ed25519) == public("ed25519")
    assert client.source.asked == [URL]


async def test_a_certificate_that_expires_in_the_cache_is_used_no_more() -> None:
    client = Client(MAP, now=EXPIRES)
    assert await client.find("a1b2") is not None
    for now in (EXPIRES + 1, math.nan, 0):
        client.now = now
        assert "from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z" in await client.why("a1b2")
    client.now = EXPIRES
    assert await client.find("a1b2") is not None
    assert client.source.asked == [URL]


async def test_a_certificate_that_is_not_valid_yet_is_used_once_it_is() -> None:
    client = Client(MAP)
    assert "from 2040-02-29T12:00:00Z to 2060-01" in await client.why("c3d4", "ES256")
    client.now = IN_2050
    key = await client.find("c3d4", "ES256")
    assert key is not None
    assert export_public_pem(key) == public("ec")
    assert "from 2020-01-01" in await client.why("a1b2")
    assert client.source.asked == [URL]


async def test_a_key_that_is_absent_makes_the_map_be_fetched_again_after_the_cooldown() -> None:
    client = Client({"a1b2": pem("rsa")}, cooldown=30.0)
    assert await client.find("new") is None
    client.source.answer = serving({"new": pem("rsa")})
    client.clock.turn(30.0)
    assert await client.find("new") is not None


@pytest.mark.parametrize(("options", "cooldown"), [({}, 30.0), ({"cooldown": 7.0}, 7.0)])
async def test_the_cooldown_is_the_one_that_is_given(
    options: dict[str, Any], cooldown: float
) -> None:
    client = Client({"a1b2": pem("rsa")}, **options)
    for _ in range(2):
        assert await client.find("new") is None
        client.clock.turn(cooldown - 0.5)
        assert await client.find("new") is None
        assert len(client.source.asked) == 1
        client.clock.turn(0.5)
        assert await client.find("new") is None
        assert len(client.source.asked) == 2
        client.source.asked.pop()


async def test_the_map_is_cached_and_reported_under_its_url_without_the_query() -> None:
    client = Client(MAP, caching=Caching(max_age=50.0, spread=0.0))
    assert await client.find("a1b2") is not None
    assert [(event.kind, event.source) for event in client.events] == [("fetched", SOURCE)]
    client.clock.turn(49.0)
    assert await client.find("a1b2") is not None
    assert len(client.source.asked) == 1
    client.clock.turn(10_000.0)  # the source said more
    assert await client.find("a1b2") is not None
    await settle()
    assert len(client.source.asked) == 2


async def test_a_map_of_1000_members_is_read_and_says_what_is_wrong_with_each() -> None:
    client = Client({str(number): 1 for number in range(999)} | {"weak": pem("weak")})
    assert await client.why("998") == "the key set has this kid, but it is not a certificate in PEM"
    assert "less than 2048 bits" in await client.why("weak")


async def test_without_a_key_id_the_refusal_says_why_no_key_of_its_type_can_be_used() -> None:
    client = Client({"a": pem("rsa"), "b": pem("ec")}, IN_2050)
    found = await client.why(None, "RS256")
    assert found.startswith("the token has no kid, and no key of the set can be used for RS256: ")
    assert "valid from 2020-01-01" in found
    assert "EC" not in found


async def test_a_token_without_a_key_id_has_the_only_key_that_fits() -> None:
    assert await Client({"a": pem("rsa"), "b": pem("rsa")}).find(None) is not None
    assert await Client({"a": pem("old")}, IN_2050).find(None, "ES256") is not None
    two = Client({"a": pem("old"), "b": pem("ec")}, IN_2050)
    assert "more than one key of the set fits" in await two.why(None, "ES256")


@pytest.mark.parametrize(
    "member",
    [1, [], {}, "", "x", pem("weak"), pem("p224"), pem("encipher"), pem("rsa") * 2,
     pem("rsa")[:-40], public("rsa"), {"kty": "RSA"}],
)  # fmt: skip
async def test_a_member_that_is_no_certificate_is_passed_over(member: Any) -> None:
    client = Client({"bad": member, "null": None, "a1b2": pem("rsa")})
    assert await client.find("null") is None
    assert await client.why("bad")
    assert await client.find("a1b2") is not None


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not a map of certificates: "),
        (b"[]", "not a map of certificates: "),
        (b'{"a": "x", "a": "y"}', "not a map of certificates: "),
        ({"keys": []}, "not a map of certificates: it is a JSON Web Key Set, which jwks reads"),
        ({"a": export_private_pem(key_for("ES256"))}, "a private key is published"),
        ({"a": pem("rsa") + export_private_pem(key_for("RS256"))}, "a private key is published"),
        ({str(number): "x" for number in range(1001)}, "1001 certificates: expected at most 1000"),
    ],
)
async def test_what_is_no_map_of_certificates_is_an_outage(body: Any, detail: str) -> None:
    with pytest.raises(Unavailable, match=detail) as raised:
        await Client(body).find("a1b2")
    assert raised.value.source == SOURCE


async def test_a_key_set_and_a_map_name_each_others_function() -> None:
    source = Repository(serving(MAP))
    with pytest.raises(Unavailable, match="it is a map of certificates, which certificates reads"):
        await jwks(URL, source)(asking("a1b2", "issuer"))


@pytest.mark.parametrize("status", [204, 403, 404, 500])
async def test_a_status_but_200_is_an_outage(status: int) -> None:
    client = Client(b"")
    client.source.answer = serving(json.dumps(MAP).encode(), status=status)
    with pytest.raises(Unavailable, match=f": status {status}"):
        await client.find("a1b2")


@pytest.mark.parametrize("url", ["http://keys.example/", "https://u:p@keys.example/"])
def test_a_map_is_at_an_https_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^keys come from an https URL"):
        certificates(url, Repository())


async def test_a_byte_order_mark_before_the_map_is_no_part_of_it() -> None:
    client = Client(b"\xef\xbb\xbf" + json.dumps(MAP).encode())
    assert await client.find("a1b2") is not None
    twice = Client(b"\xef\xbb\xbf" * 2 + json.dumps(MAP).encode())
    with pytest.raises(Unavailable, match="not UTF-8 JSON"):
        await twice.find("a1b2")
