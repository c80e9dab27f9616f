"""What a server may send to a fetcher: encodings nobody asked for, bombs, cookies, odd fields."""

import gc
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from asapfn.adapters.httpx import fetcher
from asapfn.errors import Unavailable
from asapfn.resolvers import jwks
from tests.support.hanging import HangingServer, hanging_server, keeping, pool_of
from tests.support.keysources import asking
from tests.support.servers import answers, raw_server, response, trusting

JSON = "application/json"
TEXT = b'{"keys": []}' * 100


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


GZIPPED = gzip.compress(TEXT)


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    package: Any = request.param
    async with package.AsyncClient(verify=trusting()) as client:
        yield client


async def fetched(client: Any, body: bytes, *headers: str, max_bytes: int = 65_536) -> bytes:
    with raw_server(answers(response("200 OK", body, *headers))) as origin:
        return (await fetcher(client, max_bytes=max_bytes)(f"{origin}/keys", JSON)).body


ENCODED = {
    "gzip": ("gzip", GZIPPED),
    "gzip in another case": ("GZip", GZIPPED),
    "gzip by its old name": ("x-gzip", GZIPPED),
    "gzip in two members": ("gzip", gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:])),
    "gzip, and identity": ("identity, gzip", GZIPPED),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate without its header": ("deflate", raw_deflate(TEXT)),
    "identity": ("identity", TEXT),
    "an empty name": ("", TEXT),
}


@pytest.mark.parametrize(("encoding", "body"), ENCODED.values(), ids=ENCODED)
async def test_an_encoding_that_nobody_asked_for_is_decoded(
    client: Any, encoding: str, body: bytes
) -> None:
    assert await fetched(client, body, f"Content-Encoding: {encoding}") == TEXT


async def test_an_encoded_answer_without_a_body_is_empty(client: Any) -> None:
    assert await fetched(client, b"", "Content-Encoding: gzip") == b""


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "gzip, gzip", "deflate, br", "\xff"]
)
async def test_another_encoding_is_refused_by_its_name(client: Any, encoding: str) -> None:
    with pytest.raises(Unavailable) as raised:
        await fetched(client, b"key", f"Content-Encoding: {encoding}")
    named = encoding.replace("\xff", "\\xff")
    expected = f"the answer has the Content-Encoding {named}; gzip or deflate, once, or none"
    assert expected in raised.value.args[1]


DAMAGED = {
    "gzip, cut off": ("gzip", GZIPPED[:-9]),
    "gzip, its checksum wrong": ("gzip", GZIPPED[:-8] + b"\0" * 8),
    "gzip, and more after it": ("gzip", GZIPPED + b"more"),
    "not gzip": ("gzip", TEXT),
    "not deflate": ("deflate", TEXT),
    "gzip of many empty members": ("gzip", gzip.compress(b"") * 3_000 + GZIPPED),
    "deflate, and more after it": ("deflate", zlib.compress(TEXT) * 2),
    "deflate, cut off": ("deflate", zlib.compress(TEXT)[:-4]),
}


@pytest.mark.parametrize(("encoding", "body"), DAMAGED.values(), ids=DAMAGED)
async def test_an_answer_that_is_not_encoded_as_it_says_is_refused(
    client: Any, encoding: str, body: bytes
) -> None:
    with pytest.raises(Unavailable, match=f"the answer is not {encoding} of at"):
        await fetched(client, body, f"Content-Encoding: {encoding}")


BOMBS = {
    "gzip": ("gzip", gzip.compress(bytes(50_000_000))),
    "gzip in many members": ("gzip", gzip.compress(bytes(1_000_000)) * 50),
    "deflate": ("deflate", zlib.compress(bytes(50_000_000), 9)),
}


@pytest.mark.parametrize(("encoding", "body"), BOMBS.values(), ids=BOMBS)
async def test_a_bomb_is_refused_at_once_and_without_the_memory(
    client: Any, encoding: str, body: bytes
) -> None:
    with raw_server(answers(response("200 OK", body, f"Content-Encoding: {encoding}"))) as origin:
        tracemalloc.start()
        worked = time.thread_time()
        with pytest.raises(Unavailable, match="larger than 65536 bytes"):
            await fetcher(client)(f"{origin}/keys", JSON)
        worked = time.thread_time() - worked
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert worked < 1
    assert peak < 2_000_000


async def test_the_size_is_that_of_the_decoded_body(client: Any) -> None:
    for size in (1000, 1001):
        # It cannot be compressed, so its encoded form is larger than what is allowed.
        body = bytes(number * 7919 % 251 for number in range(size))
        encoded = gzip.compress(body, 0)
        assert len(encoded) > 1001
        if size == 1000:
            got = await fetched(client, encoded, "Content-Encoding: gzip", max_bytes=1000)
            assert got == body
        else:
            with pytest.raises(Unavailable, match="larger than 1000 bytes"):
                await fetched(client, encoded, "Content-Encoding: gzip", max_bytes=1000)


@pytest.mark.parametrize(
    ("media_type", "dropped"),
    [
        ("application/json", True),
        ("application/jwk-set+json; charset=utf-8", True),
        ("application/x-pem-file", False),
        ("text/plain", False),
    ],
)
async def test_a_byte_order_mark_is_dropped_before_json(
    client: Any, media_type: str, dropped: bool
) -> None:
    body = await fetched(client, b"\xef\xbb\xbf{}", f"Content-Type: {media_type}")
    assert body == (b"{}" if dropped else b"\xef\xbb\xbf{}")


async def test_a_key_set_that_is_gzipped_and_begins_with_a_byte_order_mark_is_read(
    client: Any,
) -> None:
    body = gzip.compress(b'\xef\xbb\xbf{"keys": []}')
    data = response("200 OK", body, "Content-Encoding: gzip", f"Content-Type: {JSON}")
    with raw_server(answers(data)) as origin:
        assert await jwks(f"{origin}/keys", fetcher(client))(asking("kid")) is None


@pytest.fixture(scope="module")
def cookies() -> Iterator[tuple[HangingServer, str]]:
    with hanging_server() as running:
        yield running


async def test_nothing_of_an_answer_outlives_it(
    client: Any, cookies: tuple[HangingServer, str]
) -> None:
    server, origin = cookies
    client.cookies.set("mine", "stays")
    fetch = fetcher(client)
    sizes: list[int] = []
    tracemalloc.start()
    for number in range(100):
        fields = [f"Set-Cookie: c{number}-{index}=v; Path=/" for index in range(100)]
        server.by_default = keeping("200 OK", b"key", *fields, "sET-cOOKIE: last=1")
        assert (await fetch(f"{origin}/{number}", JSON)).body == b"key"
        if number in (49, 99):
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert [(cookie.name, cookie.value) for cookie in client.cookies.jar] == [("mine", "stays")]
    assert sizes[1] - sizes[0] < 500_000  # 5,000 cookies are more
    assert len(pool_of(client).connections) == 1
