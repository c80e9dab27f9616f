"""Keys over real https: a repository in a process of its own, and who verifies by it."""

import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, NamedTuple

import httpx
from atlassian_jwt_auth import JWTAuthVerifier
from atlassian_jwt_auth.contrib.aiohttp import HTTPSPublicKeyRetriever as AiohttpRetriever
from atlassian_jwt_auth.contrib.aiohttp import JWTAuthVerifier as AiohttpVerifier
from atlassian_jwt_auth.key import HTTPSPublicKeyRetriever
from atlassian_jwt_auth.verifier import _load_public_key
from contenders import AUDIENCE, ISSUER, Verify, public_key, public_pem
from elsewhere import served

from asapfn import asap
from asapfn.adapters.asgi import ASGIApp, key_repository
from asapfn.adapters.httpx import fetcher
from asapfn.keys import import_pem

SEEN: Final = "asapfn (seen before)"
REQUESTS: Final = "atlassian-jwt-auth (requests)"
AIOHTTP: Final = "atlassian-jwt-auth (aiohttp)"


class Published(NamedTuple):
    """Where the keys are, and the authority that vouches for the server, a PEM file."""

    origin: str
    authority: pathlib.Path


class Ways(NamedTuple):
    """Who verifies by a repository's keys.

    Attributes:
        known: Verifies tokens of a key that each has seen before, and remembers if it can.
        first: Verifies the first token of a key, over a connection that is open.
    """

    known: dict[str, Verify]
    first: dict[str, Verify]


@contextlib.contextmanager
def published(folder: pathlib.Path, *algorithms: str) -> Iterator[Published]:
    """Serve public keys from another process.

    Args:
        folder: Where the authority's certificate is put.
        *algorithms: The algorithms whose keys are served.

    Yields:
        Where they are.
    """
    keys = [(str(public_key(name).kid), public_pem(name)) for name in algorithms]
    certificate = folder / "authority.pem"
    with served(_repository, keys, certificate=certificate) as port:
        yield Published(f"https://127.0.0.1:{port}", certificate)


def _repository(keys: list[tuple[str, str]]) -> ASGIApp:
    return key_repository((import_pem(pem, kid=kid) for kid, pem in keys), max_age=86_400)


@contextlib.asynccontextmanager
async def ways(keys: Published) -> AsyncIterator[Ways]:
    """Set up who verifies by the keys of a repository, each with its own client.

    Args:
        keys: The repository.

    Yields:
        The verifiers, for as long as their clients are open.
    """
    context = ssl.create_default_context(cafile=keys.authority)
    async with httpx.AsyncClient(verify=context) as client:
        fetch = fetcher(client)

        def ours(remember: int) -> Callable[[str], Any]:
            repository = asap.repository(keys.origin, fetch)
            return asap.verifier(repository, AUDIENCE, issuers=ISSUER, remember=remember)

        # Both retrievers keep one session for all their instances, in their class.
        theirs = JWTAuthVerifier(HTTPSPublicKeyRetriever(keys.origin))
        session: Any = theirs.public_key_retriever._session  # type: ignore[attr-defined]
        session.verify = str(keys.authority)
        theirs_async = AiohttpVerifier(AiohttpRetriever(keys.origin))
        try:
            yield Ways(
                {
                    "asapfn": ours(0),
                    SEEN: ours(1024),
                    REQUESTS: lambda text: theirs.verify_jwt(text, AUDIENCE),
                    # It remembers nothing: every token is a request.
                    AIOHTTP: lambda text: theirs_async.verify_jwt(text, AUDIENCE, ssl=context),
                },
                {
                    "asapfn": lambda text: ours(1024)(text),
                    REQUESTS: lambda text: _forgetting(session, theirs, text),
                    AIOHTTP: lambda text: _parsing_anew(theirs_async, text, context),
                },
            )
        finally:
            HTTPSPublicKeyRetriever._class_session = None
            AiohttpRetriever._class_session = None
            session.close()
            await theirs_async.public_key_retriever._session.close()  # type: ignore[attr-defined]


def _forgetting(session: Any, verifier: JWTAuthVerifier, text: str) -> Any:
    session.get_adapter("https://").cache.data.clear()
    _load_public_key.cache_clear()
    return verifier.verify_jwt(text, AUDIENCE)


def _parsing_anew(verifier: AiohttpVerifier, text: str, context: ssl.SSLContext) -> Any:
    _load_public_key.cache_clear()
    return verifier.verify_jwt(text, AUDIENCE, ssl=context)
