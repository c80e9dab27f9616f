"""Tokens made here are taken by PyPI's atlassian-jwt-auth and PyJWT, and theirs are taken here."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from atlassian_jwt_auth import JWTAuthVerifier, create_signer
from atlassian_jwt_auth.key import (
    BasePublicKeyRetriever,
    DataUriPrivateKeyRetriever,
    FilePrivateKeyRetriever,
    HTTPSPublicKeyRetriever,
    KeyIdentifier,
)
from atlassian_jwt_auth.signer import JWTAuthSigner

from asapfn import asap
from asapfn._core.verification import peek
from asapfn.adapters.asgi import key_repository
from asapfn.errors import TokenRejected
from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_pem,
    import_data_uri,
    import_pem,
)
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id
from asapfn.types import Key, Resolver
from tests.support.keyring import key_for
from tests.support.servers import asgi_server, authority

ALGORITHMS = [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


class Keys(BasePublicKeyRetriever):
    """The peer's way to the public keys, in memory."""

    def retrieve(self, key_identifier: KeyIdentifier | str, **kwargs: Any) -> str:
        assert isinstance(key_identifier, KeyIdentifier)
        name = key_identifier.key_id.removeprefix("issuer/").removesuffix(".pem")
        return export_public_pem(key_for(name))


def published(algorithm: str) -> Resolver:
    """The public key as a repository has it, which says nothing of an algorithm."""
    key = key_for(algorithm)
    return keys_by_id([import_pem(export_public_pem(key), kid=key.kid)])


def their_signer(algorithm: str, **options: Any) -> JWTAuthSigner:
    key = key_for(algorithm)
    assert key.kid is not None
    return create_signer("issuer", key.kid, export_private_pem(key), algorithm=algorithm, **options)


# atlassian-jwt-auth


@each_algorithm
@pytest.mark.parametrize("audience", ["service", ["service", "another"]], ids=["one", "several"])
def test_atlassian_jwt_auth_takes_our_tokens(algorithm: str, audience: Any) -> None:
    sign_for = asap.signer("issuer", key_for(algorithm), additional={"mine": 1})
    token = sign_for(audience)
    for given in (token, token.encode()):
        claims = JWTAuthVerifier(Keys()).verify_jwt(given, "service")
        assert claims == peek(token).claims
        assert claims["mine"] == 1


@each_algorithm
@pytest.mark.parametrize("audience", ["service", ["service", "another"]], ids=["one", "several"])
async def test_we_take_atlassian_jwt_auths_tokens(algorithm: str, audience: Any) -> None:
    token = their_signer(algorithm).generate_jwt(audience).decode()
    verify = asap.verifier(published(algorithm), "service", issuers="issuer", leeway=0)
    verified = await verify(token)
    assert verified.header["alg"] == algorithm
    assert verified.claims["aud"] == audience
    # It names the issuer for a subject, and the time of issue for nbf.
    assert verified.claims["sub"] == "issuer"
    assert verified.claims["nbf"] == verified.claims["iat"]


@each_algorithm
async def test_neither_takes_a_token_that_was_changed(algorithm: str) -> None:
    ours = asap.signer("issuer", key_for(algorithm))("service")
    theirs = their_signer(algorithm).generate_jwt("service").decode()
    verify = asap.verifier(published(algorithm), "service", issuers="issuer")
    for token, other in ((ours, theirs), (theirs, ours)):
        mixed = token.rpartition(".")[0] + other[other.rindex(".") :]
        with pytest.raises(jwt.InvalidSignatureError):
            JWTAuthVerifier(Keys()).verify_jwt(mixed, "service")
        with pytest.raises(TokenRejected) as raised:
            await verify(mixed)
        assert raised.value.reason == "bad_signature"


async def test_a_subject_of_its_own_is_taken_by_both_when_told_to() -> None:
    ours = asap.signer("issuer", key_for("ES256"), subject="user")("service")
    lax = JWTAuthVerifier(Keys(), subject_should_match_issuer=False)
    assert lax.verify_jwt(ours, "service")["sub"] == "user"
    theirs = their_signer("ES256", subject="user").generate_jwt("service").decode()
    resolver = published("ES256")
    verify = asap.verifier(resolver, "service", issuers=None, subject_is_issuer=False)
    assert (await verify(theirs)).claims["sub"] == "user"
    with pytest.raises(TokenRejected) as raised:
        await asap.verifier(resolver, "service", issuers=None)(theirs)
    assert raised.value.reason == "subject_mismatch"


async def test_a_life_of_an_hour_is_taken_by_both() -> None:
    ours = asap.signer("issuer", key_for("ES256"), lifetime=3600)("service")
    assert JWTAuthVerifier(Keys()).verify_jwt(ours, "service")
    hour = datetime.timedelta(hours=1)
    theirs = their_signer("ES256", lifetime=hour).generate_jwt("service").decode()
    assert await asap.verifier(published("ES256"), "service", issuers=None)(theirs)


async def test_their_token_is_taken_once_where_uses_are_remembered() -> None:
    verify = asap.verifier(published("RS256"), "service", issuers=None, replay=in_memory())
    signer = their_signer("RS256")
    first, second = (signer.generate_jwt("service").decode() for _ in range(2))
    assert await verify(first)
    assert await verify(second)
    with pytest.raises(TokenRejected) as raised:
        await verify(first)
    assert raised.value.reason == "replayed"


async def test_one_directory_of_private_keys_serves_both(tmp_path: Path) -> None:
    folder = tmp_path / "issuer"
    folder.mkdir()
    (folder / "0.pem").write_text(export_private_pem(key_for("RS512")))
    (folder / "RS256.pem").write_text(export_private_pem(key_for("RS256")))
    ours = asap.signer("issuer", asap.private_key_directory(tmp_path, "issuer"))("service")
    signer = JWTAuthSigner("issuer", FilePrivateKeyRetriever(str(tmp_path)))
    theirs = signer.generate_jwt("service").decode()
    assert peek(ours).header == peek(theirs).header
    assert JWTAuthVerifier(Keys()).verify_jwt(ours, "service")
    assert await asap.verifier(published("RS256"), "service", issuers="issuer")(theirs)


@each_algorithm
async def test_one_data_uri_serves_both(algorithm: str) -> None:
    uri = export_data_uri(key_for(algorithm))
    key = import_data_uri(uri)
    signer = JWTAuthSigner("issuer", DataUriPrivateKeyRetriever(uri), algorithm=algorithm)
    theirs = signer.generate_jwt("service").decode()
    assert peek(theirs).header["kid"] == key.kid
    assert await asap.verifier(published(algorithm), "service", issuers="issuer")(theirs)
    assert export_public_pem(key) == export_public_pem(key_for(algorithm))


@pytest.fixture
def certificates(tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def retriever() -> Iterator[type[HTTPSPublicKeyRetriever]]:
    """The peer's own; its session, which all of its instances share, is closed afterwards."""
    yield HTTPSPublicKeyRetriever
    session = HTTPSPublicKeyRetriever._class_session
    HTTPSPublicKeyRetriever._class_session = None
    if session is not None:
        session.close()


def test_atlassian_jwt_auth_fetches_our_published_keys(
    retriever: type[HTTPSPublicKeyRetriever], certificates: str
) -> None:
    with asgi_server(key_repository([key_for(algorithm) for algorithm in ALGORITHMS])) as origin:
        verifier = JWTAuthVerifier(retriever(origin))
        for algorithm in ALGORITHMS:
            token = asap.signer("issuer", key_for(algorithm))("service")
            claims = verifier.verify_jwt(token, "service", verify=certificates)
            assert claims == peek(token).claims


# PyJWT


@each_algorithm
def test_pyjwt_takes_our_tokens(algorithm: str) -> None:
    key = key_for(algorithm)
    token = asap.signer("issuer", key, lifetime=30)("service")
    claims = jwt.decode(
        token,
        export_public_pem(key),
        algorithms=[algorithm],
        audience="service",
        issuer="issuer",
        options={"require": ["exp", "iat", "aud", "iss", "jti"]},
    )
    assert claims == peek(token).claims
    assert jwt.get_unverified_header(token) == peek(token).header


@each_algorithm
async def test_we_take_pyjwts_tokens(algorithm: str) -> None:
    key: Key = key_for(algorithm)
    now = datetime.datetime.now(datetime.UTC)
    claims = {
        "iss": "issuer",
        "aud": ["service"],
        "iat": now,
        "nbf": now,
        "exp": now + datetime.timedelta(minutes=1),
        "jti": "one",
        "name": "\u00e9\U0001f511",
    }
    token = jwt.encode(
        claims, export_private_pem(key), algorithm=algorithm, headers={"kid": str(key.kid)}
    )
    verified = await asap.verifier(published(algorithm), "service", issuers="issuer")(token)
    assert verified.claims["name"] == "\u00e9\U0001f511"
    assert verified.claims["exp"] - verified.claims["iat"] == 60
