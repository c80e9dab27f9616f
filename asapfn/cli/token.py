"""`asapfn token`: a token, for other tools to send."""

import argparse
import sys

from asapfn._core.verification import peek
from asapfn.cli.inputs import read_bytes
from asapfn.cli.parsing import Commands, add_command, add_group
from asapfn.cli.signers import (
    add_asap_arguments,
    add_connect_arguments,
    asap_authorizer,
    connect_authorizer,
)
from asapfn.cli.text import as_json


def add_to(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: What it is added to.
    """
    asap = "asapfn token asap --issuer orders --audience billing --key-directory keys/private"
    connect = (
        "asapfn token connect GET 'https://x.atlassian.net/rest/api/2/issue?id=7'"
        " --issuer my-app --secret-from secret.txt"
    )
    profiles = add_group(
        commands,
        "token",
        "sign a token and print it",
        "Sign a token and print it.",
        (asap, connect),
    )
    parser = add_command(
        profiles,
        "asap",
        "an ASAP token, from service to service",
        "Sign an ASAP token and print it. The key is read from a directory as keygen writes it,"
        " from a file, the environment or standard input.",
        (asap, f'curl -H "$({asap} --header)" https://billing.example/'),
        run,
    )
    add_asap_arguments(parser)
    _add_output(parser)
    parser = add_command(
        profiles,
        "connect",
        "a Connect token, for one request of an app",
        "Sign a Connect token for one request and print it.",
        (connect,),
        run,
    )
    parser.add_argument("method", metavar="METHOD")
    parser.add_argument("url", metavar="URL", help="as it is sent")
    add_connect_arguments(parser)
    parser.add_argument(
        "--form-from", metavar="WHERE", help="the form body of a POST or PUT without a query"
    )
    _add_output(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: The command line.

    Returns:
        0.

    Raises:
        ValueError: If something is missing or cannot be used.
    """
    if options.profile == "asap":
        value = asap_authorizer(options)("GET", "/")
    else:
        form = options.form_from and read_bytes(options.form_from, "form")
        value = connect_authorizer(options, form)(options.method, options.url)
    token = value.partition(" ")[2]
    if options.json:
        unverified = peek(token)
        answer = {"token": token, "authorization": value, "header": dict(unverified.header)}
        sys.stdout.write(as_json(answer | {"claims": unverified.claims}))
    else:
        sys.stdout.write(f"Authorization: {value}\n" if options.header else f"{token}\n")
    return 0


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--header", action="store_true", help="print the whole Authorization header"
    )
