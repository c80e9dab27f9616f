"""A client of the servers that fail."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.servers import trusting


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=trusting()) as client:
        yield client
