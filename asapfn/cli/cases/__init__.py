"""A token and how it is judged, as the command line describes it: one module a profile."""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from asapfn.cli.cases import asap, connect, forge, jitsi
from asapfn.cli.cases.case import Case, Clock, judge, token_of
from asapfn.types import Fetch

__all__ = ["PROFILES", "Case", "Clock", "Profile", "judge", "token_of"]


class Profile(NamedTuple):
    """What the command line knows of a profile.

    Attributes:
        title: What such a token is.
        add_arguments: Adds what it is judged by to a command.
        case: Makes the case of a command line.
        example: Arguments that show how it is used.
    """

    title: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    case: Callable[[argparse.Namespace, str | None, Fetch, Clock], Awaitable[Case]]
    example: str


PROFILES: Final[Mapping[str, Profile]] = {
    "asap": Profile(
        "an ASAP token, from service to service",
        asap.add_arguments,
        asap.case,
        "--audience billing --repository https://keys.example/ @token.txt",
    ),
    "connect": Profile(
        "a Connect token, between a product and an app",
        connect.add_arguments,
        connect.case,
        "--method GET --url 'https://app.example/issue?id=7' --secret-from secret.txt @token.txt",
    ),
    "forge": Profile(
        "an invocation token, from Forge to an app's remote",
        forge.add_arguments,
        forge.case,
        "--app-id ari:cloud:ecosystem::app/8db33309 @token.txt",
    ),
    "jitsi": Profile(
        "a token of Jitsi's dialect of ASAP",
        jitsi.add_arguments,
        jitsi.case,
        "--issuer meet --audience jitsi --repository https://keys.example/ @token.txt",
    ),
}
