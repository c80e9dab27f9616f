"""Redis, and what speaks its protocol: a token id is used once, across processes and machines.

A first use is one command on one key, `SET key value NX PX milliseconds`: so it is atomic, and a
cluster needs no more than any single key does. The value is random and belongs to one call. Where
Redis says that the key exists already, `GET key` shows whether that is this call's own write, of
which the answer was lost. So a client may send a command again, and what fails at once is tried
once more here, and no fresh token is called replayed for it. Only an answer of Redis, in time, that
the key holds the value of this call is an acceptance. Where no answer comes, the id may have been
kept all the same: the token is refused as `Unavailable` now and as replayed later, never accepted
twice. Clients are typed by what is used of them, so that none need be imported here.
"""

import inspect
import math
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import anyio

from asapfn.adapters._causes import described
from asapfn.errors import Unavailable
from asapfn.resolvers._single_flight import Flights, join
from asapfn.types import ReplayStore

__all__ = ["replay_store"]

_SOURCE: Final = "replay store"
# The connections that coredis's pool has by default.
_PLACES: Final = 64
# What a cluster's client of redis and valkey has for any number.
_UNLIMITED: Final = 2**31


class Client(Protocol):
    """What is used of an async client of redis, valkey or coredis, for one server or a cluster."""

    @property
    def execute_command(self) -> Callable[..., Awaitable[Any]]:
        """Send any command: only looked at, as it is async in an async client alone."""
        ...

    @property
    def set(self) -> Callable[..., Awaitable[Any]]:
        """Set a key to a value."""
        ...

    @property
    def get(self) -> Callable[..., Awaitable[Any]]:
        """Get the value of a key."""
        ...


def replay_store(client: Client, *, prefix: str = "asapfn:", timeout: float = 1.0) -> ReplayStore:
    """Make a replay store in Redis: all processes that use the same Redis share it.

    Args:
        client: An open client: `redis.asyncio` or `valkey.asyncio` on asyncio, `coredis` on either
            event loop. It stays the caller's to close.
        prefix: What the keys begin with. Services that may each accept a token once, and share a
            Redis, have a prefix each.
        timeout: Seconds for the whole of it: waiting for a connection, making one, and the
            client's own retries with their pauses. What fails within a quarter of it, such as a
            connection that the server closed while it was idle, is tried once more.

    Returns:
        An async function of an id and its life in seconds, which answers True the first time and
        False while the id lives. It raises `Unavailable` when Redis does not answer in time, does
        not accept writes, or gives an answer that is not yes or no; also for a life that Redis
        cannot keep. A Redis that evicts keys, or persists them late or not at all, can forget an
        id that still lives.

    Raises:
        RuntimeError: If the client is of redis-py before 4.5.5, which after a cancelled command
            reads the answer to one command as that to the next: a used id would pass
            (CVE-2023-28858, CVE-2023-28859). Or if it is valkey's with `single_connection_client`,
            which does the same.
        TypeError: If the client is not async.
        ValueError: If the timeout is not positive.
    """
    if not inspect.iscoroutinefunction(client.execute_command):
        raise TypeError(
            "replay_store needs an async client: this one's execute_command is not async"
        )
    if not timeout > 0:
        raise ValueError("timeout must be positive")
    _refuse_a_faulty_client(client)
    store = _store(client)

    async def use(token_id: str, ttl_seconds: float) -> bool:
        try:
            with anyio.move_on_after(timeout):
                early = anyio.current_time() + timeout / 4
                # Redis knows no life shorter than a millisecond.
                life = max(1, math.ceil(ttl_seconds * 1000))
                write = partial(_write_or_retry, store, prefix + token_id, life, early)
                return await _call(store, write)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(_SOURCE, described(error)) from error
        raise Unavailable(_SOURCE, f"no answer within {timeout} seconds")

    return use


def _refuse_a_faulty_client(client: Client) -> None:
    """Raise RuntimeError for redis-py before 4.5.5, and for valkey's client of one connection."""
    if _is_of("valkey", client) and getattr(client, "single_connection_client", False):
        # One that is cancelled while it waits for the connection's lock releases it for others.
        raise RuntimeError(
            "replay_store needs a client with a pool: with single_connection_client valkey mixes up"
            " the answers to commands, which lets a used token pass"
        )
    if _is_of("redis", client) and _redis_version() < (4, 5, 5):
        version = sys.modules["redis"].__version__
        raise RuntimeError(
            f"replay_store needs redis-py 4.5.5 or later, and this is {version}, which lets a used "
            "token pass (CVE-2023-28858, CVE-2023-28859)"
        )


def _is_of(package: str, client: Client) -> bool:
    return package in {kind.__module__.partition(".")[0] for kind in type(client).__mro__}


def _redis_version() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", sys.modules["redis"].__version__)[:3]))


@dataclass(slots=True, eq=False)
class _Store:
    """A client, and in what it differs from others.

    Attributes:
        client: The client.
        only_new: How SET is asked for NX.
        used: What it answers where the key exists.
        places: None for a client that may be cancelled. coredis loses a connection of its pool when
            it is cancelled as it connects, and so do the clusters of valkey and of redis-py before
            8.1: so each call goes on when its caller has gone, for however long, and ends by the
            client's own time-outs or with its connection. There are no more at once than the pool
            has connections, so that none waits in the pool. A cluster's node has a pool of its own,
            which does not wait.
        flights: The calls under way, where there are places.
    """

    client: Client
    only_new: Mapping[str, Any]
    used: bool | None
    places: anyio.CapacityLimiter | None = None
    flights: Flights[bool] = field(default_factory=dict)


def _store(client: Client) -> _Store:
    # coredis has NX as a condition and answers True or False; the others as a flag, and answer
    # True or None.
    if "condition" not in inspect.signature(client.set).parameters:
        return _Store(client, {"nx": True}, None, _places_of_nodes(client))
    pool: Any = getattr(client, "connection_pool", None)
    places = anyio.CapacityLimiter(getattr(pool, "max_connections", _PLACES))
    return _Store(client, {"condition": b"NX"}, False, places)


def _places_of_nodes(client: Client) -> anyio.CapacityLimiter | None:
    """Places without number, where the nodes of a cluster have places to lose."""
    nodes: Any = getattr(client, "nodes_manager", None)
    if nodes is None or nodes.connection_kwargs.get("max_connections", _UNLIMITED) >= _UNLIMITED:
        return None
    if _is_of("redis", client) and _redis_version() >= (8, 1):
        return None  # it gives back what is cancelled
    return anyio.CapacityLimiter(math.inf)


async def _call(store: _Store, write: Callable[[], Awaitable[bool]]) -> bool:
    """The outcome of a call. Of a client that must not be cancelled, it outlives its caller."""
    places, place = store.places, object()
    if places is None:
        return await write()
    await places.acquire_on_behalf_of(place)

    async def run() -> bool:
        try:
            return await write()
        finally:
            places.release_on_behalf_of(place)

    return await join(store.flights, place, run, _SOURCE, math.inf)


async def _write_or_retry(store: _Store, key: str, life: int, early: float) -> bool:
    """Write, and try once more if that fails early.

    It fails early, for example, on a connection that the server closed while it was idle. After a
    late failure, as when nobody answers, there is no time left for another.
    """
    mine = secrets.token_hex(16)
    try:
        return await _write(store, key, mine, life)
    except Exception as error:
        if isinstance(error, Unavailable) or anyio.current_time() > early:
            raise
        return await _write(store, key, mine, life)


async def _write(store: _Store, key: str, mine: str, life: int) -> bool:
    """Whether the key holds this value now; life is in milliseconds."""
    answer: object = await store.client.set(key, mine, px=life, **store.only_new)
    if answer is True:
        return True
    if answer is not store.used:
        raise Unavailable(_SOURCE, "the answer is neither yes nor no")
    # The value may be this call's own: its first command was done, but the answer was lost.
    kept: object = await store.client.get(key)
    if kept is None:
        raise Unavailable(_SOURCE, "the key is there to SET and not there to GET")
    return kept in (mine, mine.encode())
