"""`asapfn token`: a token, for other tools to send."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Final

from asapfn._core.verification import peek
from asapfn.cli.inputs import read_bytes
from asapfn.cli.parsing import Commands, add_command, add_group, option, switch
from asapfn.cli.signers import (
    add_asap_arguments,
    add_connect_arguments,
    add_forge_arguments,
    add_jitsi_arguments,
    asap_authorizer,
    connect_authorizer,
    forge_authorizer,
    jitsi_authorizer,
)
from asapfn.cli.text import as_json
from asapfn.types import Authorize

_EXAMPLES: Final = {
    "asap": "asapfn token asap --issuer orders --audience billing --key-directory keys/private",
    "connect": "asapfn token connect GET 'https://x.atlassian.net/rest/api/2/issue?id=7'"
    " --issuer my-app --secret-from secret.txt",
    "forge": "asapfn token forge --app-id ari:cloud:ecosystem::app/8db33309 --kid test"
    " --key-from key.pem",
    "jitsi": "asapfn token jitsi --issuer meet --audience jitsi --room standup --kid test"
    " --key-from key.pem",
}
_AUTHORIZERS: Final[Mapping[str, Callable[[argparse.Namespace], Authorize]]] = {
    "asap": asap_authorizer,
    "forge": forge_authorizer,
    "jitsi": jitsi_authorizer,
}


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = "Sign a token and print it."
    profiles = add_group(
        commands, "token", "sign a token and print it", what, list(_EXAMPLES.values())
    )
    parser = _add(
        profiles,
        "asap",
        "an ASAP token, from service to service",
        "Sign an ASAP token and print it. The key is read from a directory as keygen writes it,"
        " from a file, the environment or standard input.",
        f'curl -H "$({_EXAMPLES["asap"]} --header)" https://billing.example/',
    )
    add_asap_arguments(parser)
    parser = _add(
        profiles,
        "connect",
        "a Connect token, for one request of an app",
        "Sign a Connect token for one request and print it.",
    )
    parser.add_argument("method", metavar="METHOD")
    option(parser, "url", "URL", "as it is sent")
    add_connect_arguments(parser)
    option(parser, "--form-from", "WHERE", "the form body of a POST or PUT without a query")
    test = "To test an app: Forge itself signs with keys that only Forge has."
    add_forge_arguments(_add(profiles, "forge", "a token that looks like Forge's, for tests", test))
    test = "Sign a token of Jitsi's dialect of ASAP and print it."
    add_jitsi_arguments(_add(profiles, "jitsi", "a token of Jitsi's dialect of ASAP", test))


def _add(
    profiles: Commands, name: str, summary: str, description: str, *more: str
) -> argparse.ArgumentParser:
    parser = add_command(profiles, name, summary, description, (_EXAMPLES[name], *more), run)
    switch(parser, "--header", "print the whole Authorization header")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; ValueError if something is missing or cannot be used."""
    if options.profile == "connect":
        form = options.form_from and read_bytes(options.form_from, "form")
        value = connect_authorizer(options, form)(options.method, options.url)
    else:
        value = _AUTHORIZERS[options.profile](options)("GET", "/")
    token = value.partition(" ")[2]
    if options.json:
        unverified = peek(token)
        answer = {"token": token, "authorization": value, "header": dict(unverified.header)}
        sys.stdout.write(as_json(answer | {"claims": unverified.claims}))
    else:
        sys.stdout.write(f"Authorization: {value}\n" if options.header else f"{token}\n")
    return 0
