"""`asapfn token`: a token, for other tools to send."""

import argparse
import sys

from asapfn._core.verification import peek
from asapfn.cli.inputs import read_bytes
from asapfn.cli.options import Commands, add_for_profiles, option, switch
from asapfn.cli.output import answer
from asapfn.cli.signers import SIGNERS


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = ("Sign a token and print it.", "Sign and print")
    summary = "sign a token and print it"
    header = f"asapfn token asap {SIGNERS['asap'].example} --header"
    curl = f'curl -H "$({header})" https://billing.example/'
    parsers = add_for_profiles(commands, "token", summary, what, run, SIGNERS, asap=curl)
    for parser in parsers.values():
        switch(parser, "--header", "print the whole Authorization header")
    option(parsers["connect"], "method", "METHOD")
    option(parsers["connect"], "url", "URL", "as it is sent")
    form = "the form body of a POST or PUT without a query"
    option(parsers["connect"], "--form-from", "WHERE", form)


def run(options: argparse.Namespace) -> int:
    """Run the command; ValueError if something is missing or cannot be used."""
    make, request, form = SIGNERS[options.profile].make, ("GET", "/"), None
    if options.profile == "connect":
        request = options.method, options.url
        form = options.form_from and read_bytes(options.form_from, "form")
    value = make(options, form)(*request)
    token = value.partition(" ")[2]
    header, claims, _, _ = peek(token)
    members = {"token": token, "authorization": value, "header": dict(header), "claims": claims}
    answer(options, members)
    if not options.json:
        # As it is: on a narrow terminal it must not be broken.
        sys.stdout.write(f"Authorization: {value}\n" if options.header else f"{token}\n")
    return 0
