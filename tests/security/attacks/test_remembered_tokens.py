"""Attacks on the memory of verified tokens: to pass by what was true of a token before."""

import gc
import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from asapfn import asap, policy, verifier
from asapfn._core.compact import decode_base64url, encode_base64url
from asapfn.errors import Unavailable
from asapfn.keys import generate, import_secret
from asapfn.replay import in_memory
from asapfn.types import Key, Token, Unverified, Verify
from tests.support.forging import forge
from tests.support.keyring import key_for
from tests.support.verifying import CLAIMS, KEY, NOW
from tests.support.victim import GOOD, MALLORY, told


class Service:
    """A service whose clock, issuers and keys change while it remembers tokens."""

    def __init__(self, **options: Any) -> None:
        self.now = float(NOW)
        self.keys: dict[str, Key] = {str(KEY.kid): KEY}
        self.down = False
        self.verify: Verify = asap.verifier(
            self.resolve, "service", issuers=None, now=lambda: self.now, **options
        )

    async def resolve(self, unverified: Unverified) -> Key | None:
        if self.down:
            raise Unavailable("repository", "down")
        return self.keys.get(unverified.header["kid"])

    async def says(self, token: str | bytes) -> str | None:
        return await told(self.verify(token))


@pytest.fixture
async def service() -> Service:
    """A service that has seen the good token more than once."""
    made = Service()
    for _ in range(3):
        assert await made.says(GOOD) is None
    return made


def parts() -> list[str]:
    return GOOD.split(".")


async def test_a_token_remembered_under_a_revoked_key(service: Service) -> None:
    service.keys.clear()
    assert await service.says(GOOD) == "unknown_key"
    assert await service.says(GOOD.encode()) == "unknown_key"


async def test_a_token_remembered_under_a_key_that_was_replaced_under_its_id(
    service: Service,
) -> None:
    service.keys[str(KEY.kid)] = generate("ES256", kid=KEY.kid)
    for _ in range(3):
        assert await service.says(GOOD) == "bad_signature"
    service.keys[str(KEY.kid)] = key_for("RS256")
    assert await service.says(GOOD) == "unsuitable_key"


async def test_a_token_remembered_while_its_repository_is_down_now(service: Service) -> None:
    service.down = True
    with pytest.raises(Unavailable):
        await service.verify(GOOD)


async def test_a_remembered_token_that_has_expired_also_after_a_clock_that_went_back(
    service: Service,
) -> None:
    for now, said in ((70.0, "expired"), (69.9, None), (1e9, "expired"), (0.0, None)):
        service.now = NOW + now
        assert await service.says(GOOD) == said
    service.now = NOW - 11.0
    assert await service.says(GOOD) == "not_yet_valid"


async def test_the_same_header_and_claims_with_another_signature(service: Service) -> None:
    head, body, tail = parts()
    signature = decode_base64url(tail.encode())
    others = [
        signature[:-1] + bytes([signature[-1] ^ 1]),
        bytes([signature[0] ^ 0x80]) + signature[1:],
        bytes(64),
        signature[32:] + signature[:32],
        decode_base64url(forge(CLAIMS, MALLORY, kid=KEY.kid).split(".")[2].encode()),
    ]
    for other in others:
        forged = f"{head}.{body}.{encode_base64url(other).decode()}"
        for _ in range(2):
            assert await service.says(forged) == "bad_signature"
    # The mirrored signature holds, and is verified as every signature is.
    mirrored = ec.SECP256R1().group_order - int.from_bytes(signature[32:])
    twin = encode_base64url(signature[:32] + mirrored.to_bytes(32)).decode()
    assert await service.says(f"{head}.{body}.{twin}") is None


async def test_the_same_signature_with_other_claims_or_another_header(service: Service) -> None:
    head, body, tail = parts()
    other_head, other_body, _ = forge(
        CLAIMS | {"sub": "issuer"}, MALLORY, kid=KEY.kid, typ="jwt"
    ).split(".")
    for forged in (f"{head}.{other_body}.{tail}", f"{other_head}.{body}.{tail}"):
        assert await service.says(forged) == "bad_signature"


@pytest.mark.parametrize(
    "spelling",
    ["{}\n", " {}", "{}=", "{}.", "{}é", "{}\0", "{}\udc80"],
    ids=["line feed", "space", "padding", "period", "not ASCII", "null", "surrogate"],
)
async def test_another_spelling_of_a_remembered_token(service: Service, spelling: str) -> None:
    text = spelling.format(GOOD)
    assert await service.says(text) == "malformed"
    assert await service.says(text.encode("utf-8", "surrogateescape")) == "malformed"
    assert await service.says(text.encode("utf-16", "surrogatepass")) == "malformed"


async def test_what_was_changed_in_a_verified_token_is_not_there_the_next_time() -> None:
    service = Service()
    nested = forge(CLAIMS | {"roles": ["reader"], "may": {"write": False}}, KEY)
    for _ in range(4):
        token: Any = await service.verify(nested)
        assert (token.claims["roles"], token.claims["may"]) == (["reader"], {"write": False})
        token.claims["roles"].append("admin")
        token.claims["may"]["write"] = True
        token.claims["iss"] = "another"
        token.claims["exp"] = NOW + 1e9
        token.header["kid"] = str(MALLORY.kid)
    service.now = NOW + 70.0
    assert await service.says(nested) == "expired"


async def test_a_remembered_token_that_was_used_before() -> None:
    service = Service(replay=in_memory())
    assert await service.says(GOOD) is None
    for form in (GOOD, GOOD.encode(), GOOD):
        assert await service.says(form) == "replayed"


async def test_a_token_remembered_by_another_verifier_in_the_same_process() -> None:
    """Another audience, another issuer, other algorithms: what one accepts says nothing to them."""
    service = Service()
    for _ in range(3):
        assert await service.says(GOOD) is None
    others = {
        "wrong_audience": asap.verifier(
            service.resolve, "another", issuers=None, now=lambda: float(NOW)
        ),
        "issuer_not_allowed": asap.verifier(
            service.resolve, "service", issuers="x", now=lambda: float(NOW)
        ),
        "unsupported_algorithm": verifier(policy(service.resolve, algorithms=["RS256"])),
    }
    for reason, verify in others.items():
        for _ in range(2):
            assert await told(verify(GOOD)) == reason


async def test_a_check_that_refuses_a_remembered_token(service: Service) -> None:
    def refuse(token: Token) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await service.verify(GOOD, refuse)
    assert await service.says(GOOD) is None


async def test_a_key_object_in_the_place_of_one_that_is_gone() -> None:
    """A key's identity is used again as soon as it is collected: the memory holds the key."""
    current: list[Any] = [None]

    async def resolve(unverified: Unverified) -> Key:
        return current[0]  # type: ignore[no-any-return]

    asked = policy(resolve, audience="service", algorithms=["HS256"], now=lambda: float(NOW))
    verify = verifier(asked, remember=2000)
    places: set[int] = set()
    for number in range(1000):
        current[0] = import_secret(f"{number:064}")
        places.add(id(current[0]))
        token = forge(CLAIMS, current[0], alg="HS256", signed_as="HS256")
        assert await told(verify(token)) is None
        assert await told(verify(token)) is None
        current[0] = import_secret(f"{number:063}x")
        assert await told(verify(token)) == "bad_signature"
        gc.collect(0)
    assert len(places) == 1000


async def test_a_guard_that_changes_the_algorithm_it_is_shown() -> None:
    """The algorithm is the one that was parsed, the first time and each time after."""

    def guard(unverified: Any) -> None:
        unverified.header["alg"] = "HS256"

    async def resolve(unverified: Unverified) -> Key:
        return KEY

    asked = policy(resolve, audience="service", guards=[guard], now=lambda: float(NOW))
    verify = verifier(asked)
    assert [await told(verify(GOOD)) for _ in range(3)] == [None, None, None]


async def test_a_flood_of_tokens_by_one_issuer_takes_no_more_than_its_place(
    service: Service,
) -> None:
    secret = import_secret("s" * 32)

    async def resolve(unverified: Unverified) -> Key:
        return secret

    asked = policy(resolve, audience="service", algorithms=["HS256"], now=lambda: float(NOW))
    verify: Any = verifier(asked, remember=100)
    for number in itertools.islice(itertools.count(), 1000):
        claims = CLAIMS | {"jti": str(number)}
        assert await told(verify(forge(claims, secret, alg="HS256", signed_as="HS256"))) is None
    gc.collect()
    held = [each for each in gc.get_referrers(secret) if type(each) is tuple and len(each) == 3]
    assert len(held) == 100
