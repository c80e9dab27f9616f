"""A client of websockets with a time limit.

The synchronous client of websockets waits for ever for its thread if a server sends a record of TLS
that is no data, such as a session ticket, just before the connection ends.
"""

import asyncio
from collections.abc import Mapping

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from tests.support.servers import trusting


def first_message(url: str, headers: Mapping[str, str] | None = None) -> str:
    """Open a websocket, and return the first message; InvalidStatus if it is refused."""

    async def ask() -> str:
        async with (
            asyncio.timeout(30),
            connect(url, ssl=trusting(), additional_headers=headers, proxy=None) as websocket,
        ):
            return str(await websocket.recv())

    return asyncio.run(ask())


def refusal(url: str) -> Response:
    """The answer to a websocket that a server refuses to open without a token."""
    with pytest.raises(InvalidStatus) as refused:
        first_message(url)
    return refused.value.response
