"""`clear`: a key that was revoked at its source is out of service at once."""

import json
import threading
from functools import partial

import anyio
import pytest

from asapfn import policy, sign, verifier
from asapfn.errors import TokenRejected, Unavailable
from asapfn.keys import export_jwks
from asapfn.resolvers import activity, cached, clear, first_of, jwks, keys_by_id, pem_repository
from asapfn.resolvers.cache import _caches
from asapfn.types import Document
from tests.support.keyring import key_for
from tests.support.keysources import (
    KID,
    Clock,
    Repository,
    asking,
    cache_of,
    down,
    good,
    missing,
    published,
    settle,
)

URL = "https://keys.example/"
OTHER = "issuer/ES256.pem"


def by_name(url):
    return published(key_for(url.removeprefix(f"{URL}issuer/").removesuffix(".pem")), 86_400.0)


async def test_a_revoked_key_is_unknown_at_once_and_the_others_stay_cached():
    repository = Repository(by_name)
    resolve = pem_repository(URL, repository, clock=Clock())
    assert await resolve(asking())
    assert await resolve(asking(OTHER, algorithm="ES256"))
    repository.answer = missing
    assert await resolve(asking())
    clear(resolve, KID)
    assert await resolve(asking()) is None
    assert await resolve(asking(OTHER, algorithm="ES256"))
    assert len(repository.asked) == 3


async def test_a_cleared_key_is_not_served_while_its_repository_is_down():
    repository = Repository()
    resolve = pem_repository(URL, repository, clock=Clock())
    await resolve(asking())
    repository.answer = down
    clear(resolve, KID)
    with pytest.raises(Unavailable):
        await resolve(asking())


async def test_a_fetch_that_began_before_does_not_bring_the_key_back():
    repository = Repository()
    resolve = pem_repository(URL, repository, clock=Clock())
    open_gate = repository.close_gate()
    before = []

    async def ask():
        before.append(await resolve(asking()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await settle()
            clear(resolve, KID)
            repository.closed, repository.answer = None, missing
            assert await resolve(asking()) is None
            repository.answer = good
            open_gate()
        assert await resolve(asking()) is None
    assert len(repository.asked) == 2


async def test_a_key_set_that_has_the_key_is_dropped_whole():
    keys = [key_for("RS256"), key_for("ES256")]

    async def fetch(url, accept):
        return Document(200, "application/json", json.dumps(export_jwks(keys)).encode(), 86_400.0)

    resolve = jwks(f"{URL}set", fetch, clock=Clock())
    assert await resolve(asking())
    del keys[0]
    clear(resolve, "issuer/other.pem")
    assert await resolve(asking())
    clear(resolve, KID)
    assert await resolve(asking()) is None
    assert await resolve(asking(OTHER, algorithm="ES256"))


async def test_a_key_set_where_the_key_cannot_be_used_is_dropped_too():
    keys = export_jwks([key_for("RS256")])
    keys["keys"][0]["use"] = "enc"

    async def fetch(url, accept):
        return Document(200, "application/json", json.dumps(keys).encode(), 86_400.0)

    resolve = jwks(f"{URL}set", fetch, clock=Clock())
    with pytest.raises(TokenRejected, match="the key set has this kid, but"):
        await resolve(asking())
    keys["keys"][0]["use"] = "sig"
    clear(resolve, KID)
    assert await resolve(asking()) is not None


async def test_what_a_resolver_of_ones_own_gave_is_dropped_too():
    table = {KID: key_for("RS256")}

    async def from_table(unverified):
        return table.get(unverified.header["kid"])

    resolve = first_of(keys_by_id([]), cached(from_table, clock=Clock()))
    assert await resolve(asking())
    del table[KID]
    clear(resolve, KID)
    assert await resolve(asking()) is None


@pytest.mark.parametrize("kid", [KID, None])
async def test_a_revoked_key_that_has_verified_tokens_is_unknown_at_once(kid):
    repository = Repository()
    resolve = pem_repository(URL, repository, clock=Clock())
    token = sign({"iss": "issuer"}, key_for("RS256"), kid=KID)
    await verifier(policy(resolve, required=()))(token)
    assert await resolve(asking())
    assert KID in cache_of(resolve).proven
    clear(resolve, "issuer/another")
    assert await resolve(asking())
    assert len(repository.asked) == 1
    repository.answer = missing
    clear(resolve, kid)
    assert await resolve(asking()) is None


@pytest.mark.parametrize("key", ["one for all", ("a", "b"), 7])
async def test_a_key_that_is_cached_by_something_else_is_dropped_by_its_own_id(key):
    table = {KID: key_for("RS256")}

    async def from_table(unverified):
        return table.get(KID)

    resolve = cached(from_table, key=lambda unverified: key, clock=Clock())
    assert await resolve(asking())
    del table[KID]
    clear(resolve, "issuer/another")
    assert await resolve(asking())
    clear(resolve, KID)
    assert await resolve(asking()) is None


async def test_the_keys_of_all_caches_within_are_counted_and_dropped():
    resolvers = [pem_repository(URL, Repository(good), clock=Clock()) for _ in range(3)]
    for resolver in resolvers:
        assert await resolver(asking())
    together = first_of(*resolvers)
    assert activity(together).cached == 3
    clear(together)
    assert activity(together).cached == 0


async def test_without_a_key_id_all_is_dropped():
    resolve = pem_repository(URL, Repository(by_name), clock=Clock())
    await resolve(asking())
    await resolve(asking(OTHER, algorithm="ES256"))
    assert activity(resolve).cached == 2
    clear(resolve)
    assert activity(resolve).cached == 0


async def test_no_such_key_is_forgotten_too_so_that_a_new_one_is_found():
    repository = Repository(missing)
    resolve = pem_repository(URL, repository, clock=Clock())
    assert await resolve(asking()) is None
    repository.answer = good
    assert await resolve(asking()) is None
    clear(resolve, KID)
    assert await resolve(asking())


async def test_nothing_is_kept_of_an_event_loop_whose_calls_were_cleared():
    repository = Repository()
    resolve = pem_repository(URL, repository, clock=Clock())
    open_gate = repository.close_gate()
    async with anyio.create_task_group() as group:
        group.start_soon(resolve, asking())
        await settle()
        clear(resolve)
        open_gate()
    assert cache_of(resolve).flights == {}


def around(inner):
    return cached(first_of(inner))


def beside(inner):
    return first_of(inner, cached(inner))


@pytest.mark.parametrize("compose", [around, beside])
async def test_a_cache_around_another_is_not_filled_from_it_while_both_are_cleared(compose):
    key = [key_for("RS256")]

    async def source(unverified):
        return key[0]

    resolve = compose(cached(source))
    await resolve(asking())
    key[0] = key_for("RS256", "other")
    caches = {id(cache): cache for cache in _caches(resolve)}.values()
    for cache in caches:
        cache.lock = OfTwoThreads(cache.lock, partial(anyio.run, resolve, asking()))
    clear(resolve)
    assert await resolve(asking()) is key[0]


class OfTwoThreads:
    """A lock; when it is released the first time, another thread does something."""

    def __init__(self, lock, action):
        self.lock, self.actions = lock, [action]

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *error):
        self.lock.release()
        if self.actions:
            thread = threading.Thread(target=self.actions.pop())
            thread.start()
            thread.join(10)


def half_written(url):
    return Document(200, "application/x-pem-file", b"-----BEGIN PUB")


def slow_down(url):
    return Document(400, "", b"", retry_after=60.0)


@pytest.mark.parametrize("kid", [KID, None])
@pytest.mark.parametrize("failure", [half_written, slow_down])
async def test_what_failed_is_asked_again_at_once(failure, kid):
    repository = Repository(failure)
    resolve = pem_repository(URL, repository, clock=Clock())
    for _ in range(2):
        with pytest.raises(Unavailable):
            await resolve(asking())
    assert len(repository.asked) == 1
    repository.answer = good
    clear(resolve, "issuer/other.pem")
    with pytest.raises(Unavailable):
        await resolve(asking())
    clear(resolve, kid)
    assert await resolve(asking())
    assert activity(resolve).failing == 0


async def test_a_set_that_is_dropped_is_asked_for_at_once_though_it_failed():
    keys, answers = [key_for("RS256")], [200]

    async def fetch(url, accept):
        body = json.dumps(export_jwks(keys)).encode()
        return Document(answers[0], "application/json", body, 10.0)

    clock = Clock()
    resolve = jwks(f"{URL}set", fetch, clock=clock)
    assert await resolve(asking())
    clock.turn(11)
    answers[0] = 503
    assert await resolve(asking())
    answers[0] = 200
    clear(resolve, KID)
    assert await resolve(asking())


async def test_fetches_that_are_not_kept_are_still_seen_until_they_end():
    repository = Repository()
    resolve = pem_repository(URL, repository, clock=Clock())
    open_gate = repository.close_gate()
    async with anyio.create_task_group() as group:
        for n in range(1, 3):
            group.start_soon(resolve, asking())
            await settle()
            assert activity(resolve)[:2] == (n, n)
            clear(resolve)
            assert activity(resolve)[:2] == (n, n)
        open_gate()
    assert activity(resolve)[:2] == (0, 0)
