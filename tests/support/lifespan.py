"""The part of an ASGI application that every server talks to first."""

from typing import Any


async def lifespan(receive: Any, send: Any) -> None:
    """Start and stop, with nothing to do."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
