"""Connect: hashes of requests, and requests that are authenticated by them."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import atlassian_jwt
import pytest
from atlassian_jwt.url_utils import hash_url
from contest import Lap, calls

from asapfn import Request, connect, qsh
from asapfn.resolvers import shared_secrets
from tests.support.npm_peers import Ask, qsh_peer

TENANT: Final = "a-tenant"
SECRET: Final = "a shared secret of more than thirty-two bytes"
TARGET: Final = "/page?xdm_e=https%3A%2F%2Fexample.atlassian.net&lic=active&tz=Australia%2FSydney"
PYPI: Final = "atlassian-jwt (PyPI)"
NPM: Final = "atlassian-jwt (npm)"

_PAGE: Final = (
    "xdm_e=https%3A%2F%2Fexample.atlassian.net",
    "lic=active",
    "tz=Australia%2FSydney",
    "loc=en-US",
    "user_key=",
)


def url(count: int) -> str:
    """What a product sends to a page of an app: a URL of so many parameters."""
    pairs = (f"{n // 5 or ''}{_PAGE[n % 5]}" for n in range(count))
    return f"https://app.example/page?{'&'.join(pairs)}"


@contextlib.contextmanager
def hashers(folder: pathlib.Path) -> Iterator[Callable[[str], dict[str, Lap]]]:
    """Who hashes requests.

    Args:
        folder: Where npm's packages are put, unless ASAPFN_NPM names a folder that keeps them.

    Yields:
        From a URL to the contenders. npm's is timed within node, which has had the time to compile;
        it does not take part where there is no node.
    """
    with contextlib.ExitStack() as stack:
        npm = None
        with contextlib.suppress(pytest.skip.Exception):
            npm = stack.enter_context(qsh_peer(pathlib.Path(os.environ.get("ASAPFN_NPM", folder))))
            # By the end of this node has compiled it.
            npm(method="GET", url=url(5), base_url="", repeat=20_000)

        def contenders(address: str) -> dict[str, Lap]:
            if not qsh("GET", address) == hash_url("GET", address):
                raise AssertionError(f"they do not agree about {address}")
            laps = {
                "asapfn": calls(lambda: qsh("GET", address)),
                PYPI: calls(lambda: hash_url("GET", address)),
            }
            return laps if npm is None else laps | {NPM: _in_node(npm, address)}

        yield contenders


def _in_node(npm: Ask, address: str) -> Lap:
    question = {"method": "GET", "url": address, "base_url": ""}

    async def lap(times: int) -> float:
        microseconds: float = npm(**question, repeat=times)["microseconds"]
        return microseconds / 1e6

    return lap


def authenticators() -> dict[str, Callable[[], Any]]:
    """Who authenticates a request of Connect: the token of a tenant's secret, and its hash."""
    token = atlassian_jwt.encode_token("GET", TARGET, TENANT, SECRET)
    header = f"JWT {token}"
    request = Request("GET", TARGET, (("authorization", header),))
    headers = {"authorization": header}

    async def secret_of(issuer: str) -> str | None:
        return SECRET if issuer == TENANT else None

    class Addon(atlassian_jwt.Authenticator):  # type: ignore[misc]
        def get_shared_secret(self, client_key: str) -> str | None:
            return SECRET if client_key == TENANT else None

    ours, again = [
        connect.authenticator(
            shared_secrets(secret_of),
            base_url="https://app.example",
            audience=TENANT,
            remember=remember,
        )
        for remember in (0, 1024)
    ]
    theirs = Addon(leeway=30)
    return {
        "asapfn": lambda: ours(request),
        "asapfn (seen before)": lambda: again(request),
        PYPI: lambda: theirs.authenticate("GET", TARGET, headers),
    }
