"""A token, whose rules it must keep, and where its key is: what `verify` and `explain` are asked.

Whether a token is accepted is said by the profile's own verifier, for both commands. The rules
beside it are what `explain` goes through one by one.
"""

import re
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from asapfn.authentication import credentials
from asapfn.cli.inputs import authorization
from asapfn.cli.rules import Rule
from asapfn.cli.sources import Source
from asapfn.errors import TokenRejected, Unavailable
from asapfn.profiles.connect.incoming import query_tokens
from asapfn.types import Authenticate, Request, Token

Clock = Callable[[], float]

_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#\\]*")


class Case(NamedTuple):
    """A token and how it is judged.

    Attributes:
        profile: Whose rules: `ASAP`, `Connect`, `Forge` or `Jitsi`.
        scheme: The scheme of the `Authorization` header.
        request: The request that the token came with.
        authenticate: The profile's own verdict.
        algorithms: The algorithms that are taken.
        source: Where keys are.
        before: The rules up to the key, in order.
        after: The rules behind the signature, in order.
        now: The clock, seconds since the epoch.
        wanted: The names of audiences and issuers that are accepted.
        base_url: Where a token is for one request, the app's base URL; else None.
    """

    profile: str
    scheme: str
    request: Request
    authenticate: Authenticate
    algorithms: Collection[str]
    source: Source
    before: list[Rule]
    after: list[Rule]
    now: Clock
    wanted: tuple[str, ...]
    base_url: str | None = None


async def judge(case: Case) -> Token | TokenRejected | Unavailable:
    """The verdict: the verified token, or why there is none.

    Args:
        case: The token and how it is judged.
    """
    try:
        return await case.authenticate(case.request)
    except (TokenRejected, Unavailable) as error:
        return error


def token_of(case: Case) -> str:
    """The token of a request that was found to have one, and only one.

    Args:
        case: The token and how it is judged.
    """
    if case.profile == "Connect" and (
        tokens := query_tokens(target_of(case.request.target or "/"))
    ):
        return tokens[0]
    return credentials(case.request, case.scheme)


def target_of(url: str) -> str:
    """The target of the request that a client sends for a URL; what is none stays as it is.

    Args:
        url: The URL, or the target.
    """
    origin = _ORIGIN.match(url)
    if origin is None:
        return url
    target = url[origin.end() :].partition("#")[0]
    return target if target.startswith("/") else f"/{target}"


def request_of(
    text: str | None, scheme: str, method: str = "GET", target: str | None = None
) -> Request:
    """The request that a command line describes.

    Args:
        text: What holds the token, as for `inputs.authorization`; None if nothing does.
        scheme: The scheme of a token that is given alone.
        method: The HTTP method.
        target: The request's target, or its URL.

    Raises:
        ValueError: If there is nothing that could have a token.
    """
    if text is None and target is None:
        raise ValueError("give the token: itself, - for standard input, or @FILE")
    return Request(method, target, authorization(text or "", scheme))
