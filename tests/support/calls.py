"""An `Authorize` that keeps what it was asked for."""

import anyio

TOKEN = "Bearer aaaa.bbbb.cccc"


class Calls:
    """An `Authorize`, and with `later` an async one, that keeps what it was asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def __call__(self, method: str, url: str) -> str:
        self.made.append((method, url))
        return TOKEN

    async def later(self, method: str, url: str) -> str:
        await anyio.sleep(0)
        return self(method, url)
