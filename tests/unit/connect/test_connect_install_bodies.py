"""Connect, signed installs: what anybody may send costs little, and nothing of it is held on to."""

import json
import time
from collections.abc import Iterator

import pytest

from asapfn import connect
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected
from asapfn.keys import import_secret
from tests.support.installs import BASE, FIRST, KEY, SECRET, body, claims, install, refused, request
from tests.support.keyring import key_for
from tests.support.published import Published

pytestmark = pytest.mark.no_event_loop


@pytest.fixture
def published() -> Published:
    published = Published()
    published.put(f"{FIRST}{KEY.kid}", KEY)
    return published


@pytest.fixture(scope="module")
def large() -> bytes:
    """29 MB of JSON that takes seconds to parse."""
    return b'{"clientKey":"client","more":[' + b"{}," * 9_700_000 + b"{}]}"


# They are made when the tests are collected, and a run may take long.
LATER = 4_000_000_000
BAD = {
    "missing_token": None,
    "malformed": "x",
    "unsupported_algorithm": sign(claims(exp=LATER), import_secret(SECRET)),
    "expired": sign(claims(iat=1, exp=2), KEY),
    "wrong_audience": sign(claims(aud="https://other.example", exp=LATER), KEY),
    "missing_claim": sign(claims(qsh=None, exp=LATER), KEY),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("sent", [b"[" * 1000, b"", body(sharedSecret="short")])
async def test_the_token_is_looked_at_before_the_body(
    published: Published, reason: str, sent: bytes
) -> None:
    error = await refused(published, request=request(BAD[reason]), sent=sent)
    assert error.reason == reason
    assert "body" not in str(error)


@pytest.mark.parametrize("token", [*BAD.values(), sign(claims(exp=LATER), KEY)])
async def test_a_body_of_29_megabytes_costs_nothing(
    published: Published, large: bytes, token: str | None
) -> None:
    assert len(large) > 29_000_000
    # Whoever sends it has a token that is well formed, for this app, and signed by nobody known.
    tokens = [token, sign(claims(), key_for("RS256", "forger"), kid=KEY.kid)]
    for each in tokens:
        incoming = request(each)
        begun = time.process_time()
        with pytest.raises(TokenRejected):
            await install(published, request=incoming, sent=large)
        assert time.process_time() - begun < 0.5
    assert published.asked == []


@pytest.mark.anyio
async def test_the_size_of_a_body_is_bounded(published: Published) -> None:
    within, beyond = (body(more="x" * (size - len(body(more="")))) for size in (65_536, 65_537))
    assert (len(within), len(beyond)) == (65_536, 65_537)
    await install(published, sent=within)
    error = await refused(published, sent=beyond)
    assert (error.reason, str(error)) == ("malformed", "malformed: body: longer than 65536 bytes")
    await install(published, sent=beyond, max_bytes=65_537)
    assert (await refused(published, sent=body(), max_bytes=10)).reason == "malformed"


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, its causes and its contexts."""
    while error is not None:
        yield error
        if error.__cause__ is not None:
            yield from chained(error.__cause__)
        error = error.__context__


MARK = "the-new-secret-of-a-tenant-0123456789"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "sent",
    [
        json.dumps({"sharedSecret": MARK}).encode()[:-1],
        json.dumps({"sharedSecret": MARK}).encode() + b"\xff",
        f'{{"sharedSecret": "{MARK}\\ud800"}}'.encode(),
        f'{{"sharedSecret": "{MARK}", "sharedSecret": "{MARK}"}}'.encode(),
        f'{{"sharedSecret": "{MARK}", "x": NaN}}'.encode(),
        f'{{"sharedSecret": "{MARK}", "x": {"9" * 5000}}}'.encode(),
        body(sharedSecret=MARK[:31]),
        body(sharedSecret=MARK * 9),
        body(sharedSecret=[MARK]),
        body(sharedSecret=f"-----BEGIN PUBLIC KEY-----\n{MARK}"),
        body(sharedSecret=MARK, clientKey="another"),
        body(sharedSecret=MARK, baseUrl="https://evil.example"),
        body(sharedSecret=MARK, clientKey=None),
    ],
)
async def test_no_exception_of_a_refused_install_holds_its_body(
    published: Published, sent: bytes
) -> None:
    with pytest.raises(TokenRejected) as caught:
        await install(published, sent=sent)
    found = []
    for error in chained(caught.value):
        # Frames hold what ran, as long as a traceback is kept; the exceptions hold nothing.
        held = [error.args, vars(error), str(error), getattr(error, "doc", None)]
        held.append(getattr(error, "object", None))
        found += [each for each in held if MARK[:20] in repr(each)]
    assert found == []


@pytest.mark.anyio
async def test_an_install_is_for_one_of_several_base_urls_behind_a_proxy(
    published: Published,
) -> None:
    token = sign(claims(aud=["https://other.example", BASE]), KEY)
    installation = await install(
        published,
        request=request(token, "/installed"),
        base_urls=["https://other.example", BASE],
        proxy_strips_prefix=True,
    )
    assert isinstance(installation, connect.Installation)
