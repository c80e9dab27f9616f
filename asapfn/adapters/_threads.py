"""Decisions about requests in the threads that serve them, which have no event loop.

With the key in the cache none is needed: the decision is made in that thread. What must wait, for a
key or for a replay store, runs in an event loop: that of a portal the caller gives, or else one in
a thread of its own, which is started in the process that first needs it and so survives no fork.
"""

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from asapfn._core.one_step import in_event_loop, run_one_step
from asapfn.errors import Unavailable

_T = TypeVar("_T")


@dataclass(slots=True)
class Loop:
    """The event loop for decisions that must wait.

    Attributes:
        given: The caller's portal, of the process in which this was made.
        process: That process.
        own: Our own portal, once it was needed, and the thread it is in. It ends where `SystemExit`
            is raised in it, and a fork takes none along.
        lock: Held while it is started.
    """

    given: BlockingPortal | None
    process: int = field(default_factory=os.getpid)
    own: tuple[BlockingPortal, threading.Thread] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def run_in_thread(loop: Loop, decide: Callable[[], Awaitable[_T]]) -> _T:
    """Run a decision in this thread; if it must wait, run it again from its beginning in the loop.

    It is also run again if it is `Unavailable` here, as the lack of an event loop may be the cause.

    A RuntimeError if the caller's portal was started before this process was forked, or is needed
    and not running.
    """
    if loop.given is not None and os.getpid() != loop.process:
        # Its event loop stands still here: a call would wait for ever.
        raise RuntimeError(
            "the portal is of the process that this one was forked from: start it, and give it to"
            " the adapter, in each worker, or give none"
        )
    if not in_event_loop():
        try:
            outcome = run_one_step(decide)
            if not isinstance(outcome, Unavailable):
                return outcome
        except RuntimeError:
            pass  # it waits
    return (loop.given or _own_portal(loop)).call(decide)


def _own_portal(loop: Loop) -> BlockingPortal:
    """The portal of this process, started by the first thread that needs it."""
    with loop.lock:
        if loop.own is None or not loop.own[1].is_alive():
            loop.own = _started()
        return loop.own[0]


def _started() -> tuple[BlockingPortal, threading.Thread]:
    """A portal, and its thread, which ends with the process."""
    started: Future[BlockingPortal] = Future()

    async def serve() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    def run() -> None:
        try:
            anyio.run(serve)
        except BaseException as error:
            if not started.done():  # what ends it later was raised to its caller
                started.set_exception(error)

    thread = threading.Thread(target=run, name="asapfn", daemon=True)
    thread.start()
    return started.result(), thread
