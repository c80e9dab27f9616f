"""`asapfn qsh`: the canonical form of a request, and its hash."""

from asapfn._core.canonical import canonical_request, qsh
from asapfn.cli.inputs import WHERE, read_bytes
from asapfn.cli.options import Commands, Options, add_command, option
from asapfn.cli.output import answer
from asapfn.cli.parsing import call


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "qsh",
        "show a request's canonical form and hash",
        "Show the canonical form of a request, and the hash of it that the claim qsh of a Connect"
        " token holds.",
        run,
        "asapfn qsh GET 'https://app.example/jira/issue?b=2&a=1' --base-url /jira",
    )
    option(parser, "method METHOD")
    option(parser, "url URL", "whole, or from the path on, as it is sent")
    option(parser, "--base-url URL", "the receiver's; its path is not hashed", default="")
    option(parser, "--form-from WHERE", f"the form body, without a query: {WHERE}")


async def run(options: Options) -> int:
    """Run the command; ValueError if the request is malformed."""
    form = options.form_from and read_bytes(options.form_from, "form")
    canonical, hashed = (call(of, options, form=form) for of in (canonical_request, qsh))
    members = {"canonical": canonical, "qsh": hashed}
    answer(options, members, [("canonical  ", canonical, "bold"), ("qsh        ", hashed, "bold")])
    return 0
