"""Resolvers of keys in memory, of shared secrets, and of keys in a directory."""

from pathlib import Path

import pytest

from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_private_pem, export_public_pem, generate, import_secret
from asapfn.resolvers import cached, keys_by_id, pem_directory, shared_secrets
from asapfn.types import Caching, Key
from tests.support.keyring import key_for
from tests.support.keysources import ILL_FORMED, KID, Clock, Events, asking


def same(one: Key | None, other: Key) -> bool:
    return one is not None and export_public_pem(one) == export_public_pem(other)


# keys_by_id


async def test_keys_are_found_by_their_ids() -> None:
    one, two = key_for("RS256"), key_for("ES256")
    for keys in ([one, two], iter([one, two]), {one.kid: one, two.kid: two}):
        resolve = keys_by_id(keys)
        assert await resolve(asking(one.kid)) is one
        assert await resolve(asking(two.kid)) is two
        assert await resolve(asking("issuer/other")) is None
        assert await resolve(asking(None, "issuer")) is None


async def test_a_mapping_names_keys_itself() -> None:
    nameless = import_secret("s" * 32)
    assert await keys_by_id({"tenant": nameless})(asking("tenant")) is nameless


def test_a_set_of_keys_that_is_ambiguous_is_refused() -> None:
    rsa, secret = key_for("RS256"), import_secret("s" * 32, kid="secret")
    with pytest.raises(ValueError, match=r"^a key has no key id: import it with kid="):
        keys_by_id([rsa, import_secret("s" * 32)])
    with pytest.raises(ValueError, match=r"^two keys have the same key id$"):
        keys_by_id([rsa, generate("ES256", kid=rsa.kid)])
    with pytest.raises(ValueError, match=r"^secrets and public keys"):
        keys_by_id([rsa, secret])
    with pytest.raises(ValueError, match=r"^secrets and public keys"):
        keys_by_id({"a": secret, "b": rsa})


# shared_secrets


async def test_the_secret_shared_with_the_issuer_is_the_key() -> None:
    async def lookup(issuer: str) -> str | bytes | None:
        return {"text": "s" * 32, "bytes": b"\xff" * 32}.get(issuer)

    resolve = shared_secrets(lookup)
    text, raw = await resolve(asking(None, "text")), await resolve(asking(None, "bytes"))
    assert text is not None
    assert raw is not None
    assert (text.raw_value, raw.raw_value) == (b"s" * 32, b"\xff" * 32)
    assert await resolve(asking(None, "unknown")) is None


async def test_no_secret_is_looked_up_for_nobody() -> None:
    async def lookup(issuer: str) -> str:
        raise AssertionError("looked up")

    with pytest.raises(TokenRejected, match="missing_claim: the token has no iss"):
        await shared_secrets(lookup)(asking("kid")._replace(claims={}))


@pytest.mark.no_event_loop
@pytest.mark.parametrize("secret", ["hunter2", "", export_public_pem(key_for("RS256"))])
async def test_a_secret_that_is_none_is_unsuitable_and_not_told(secret: str) -> None:
    async def lookup(issuer: str) -> str:
        return secret

    with pytest.raises(TokenRejected) as raised:
        await shared_secrets(lookup)(asking(None, "issuer"))
    assert raised.value.reason == "unsuitable_key"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert not secret or secret not in str(raised.value)


async def test_a_changed_secret_with_a_lone_surrogate_is_unsuitable() -> None:
    secrets = ["s" * 32, "\udc80" * 32]

    async def lookup(issuer: str) -> str:
        return secrets.pop(0)

    resolve = shared_secrets(lookup)
    assert await resolve(asking(None, "a")) is not None
    with pytest.raises(TokenRejected, match="unsuitable_key"):
        await resolve(asking(None, "a"))


async def test_shared_secrets_are_cached_by_issuer_with_the_bounds_that_are_given() -> None:
    looked_up: list[str] = []

    async def lookup(issuer: str) -> str:
        looked_up.append(issuer)
        return issuer * 32

    clock, events = Clock(), Events()
    caching = Caching(default_age=50.0, spread=0.0)
    resolve = shared_secrets(lookup, caching=caching, clock=clock, observe=events)
    for kid in ("one", "two", None):
        key = await resolve(asking(kid, "a"))
        assert key is not None
        assert key.raw_value == b"a" * 32
    clock.turn(49.0)
    await resolve(asking(None, "a"))
    assert looked_up == ["a"]
    assert events.kinds() == ["fetched"]
    clock.turn(100_000.0)
    await resolve(asking(None, "a"))
    assert looked_up == ["a", "a"]


# pem_directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "keys" / "issuer").mkdir(parents=True)
    (tmp_path / "keys" / KID).write_text(export_public_pem(key_for("RS256")))
    (tmp_path / "secret.pem").write_text(export_public_pem(key_for("ES256")))
    return tmp_path / "keys"


async def test_a_directory_is_read_at_every_look_up(directory: Path) -> None:
    resolve = pem_directory(str(directory))
    found = await resolve(asking())
    assert same(found, key_for("RS256"))
    assert found is not None
    assert (found.kid, found.is_private) == (KID, False)
    assert await resolve(asking("issuer/new.pem")) is None
    (directory / "issuer" / "new.pem").write_text(export_public_pem(key_for("ES256")))
    assert await resolve(asking("issuer/new.pem")) is not None


@pytest.mark.parametrize("kid", ["issuer", "issuer/none", f"{KID}/more", "issuer/" + "x" * 300])
async def test_what_is_no_file_in_a_directory_is_no_key(directory: Path, kid: str) -> None:
    assert await pem_directory(directory)(asking(kid, "issuer")) is None


@pytest.mark.no_event_loop
@pytest.mark.parametrize("kid", [*ILL_FORMED, "issuer/../../secret.pem"])
async def test_no_key_is_read_outside_of_a_directory(directory: Path, kid: str) -> None:
    with pytest.raises(TokenRejected, match="invalid_claim: the kid is not well formed") as raised:
        await pem_directory(directory)(asking(kid, "issuer"))
    assert raised.value.claim == "kid"


async def test_a_directory_needs_a_key_id(directory: Path) -> None:
    with pytest.raises(TokenRejected, match="missing_claim"):
        await pem_directory(directory)(asking(None, "issuer"))


async def test_what_cannot_be_read_in_a_directory_is_an_outage(directory: Path) -> None:
    (directory / "issuer" / "loop").symlink_to("loop")
    with pytest.raises(Unavailable) as raised:
        await pem_directory(directory)(asking("issuer/loop"))
    assert (raised.value.source, str(raised.value)) == (str(directory), f"{directory}: OSError")
    assert isinstance(raised.value.__cause__, OSError)


@pytest.mark.parametrize("instead", ["nothing", "a file", "a link to nothing"])
async def test_a_directory_that_is_not_there_is_an_outage(directory: Path, instead: str) -> None:
    clock = Clock()
    resolve = cached(pem_directory(directory), caching=Caching(default_age=30.0), clock=clock)
    assert await resolve(asking()) is not None
    directory.rename(directory.with_name("away"))
    if instead == "a file":
        directory.write_text(export_public_pem(key_for("RS256")))
    elif instead == "a link to nothing":
        directory.symlink_to("nothing")
    clock.turn(30.0)
    assert same(await resolve(asking()), key_for("RS256"))
    with pytest.raises(Unavailable, match="there is no such directory"):
        await pem_directory(directory)(asking())


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "not a public key"),
        (b"\xff\x00", "not a public key"),
        (export_private_pem(key_for("RS256")).encode(), "a private key is published"),
    ],
    ids=["empty", "garbage", "private"],
)
async def test_a_file_that_is_no_public_key_is_an_outage(
    directory: Path, content: bytes, detail: str
) -> None:
    (directory / KID).write_bytes(content)
    with pytest.raises(Unavailable, match=detail) as raised:
        await pem_directory(directory)(asking())
    assert raised.value.source == str(directory)
