"""`asapfn request`: an HTTP request with a token, as curl would send it.

The token goes to the origin of the URL and nowhere else, wherever redirects lead. The status goes
to standard error, unless the headers are asked for, so that the body can be put through a pipe.
"""

import re
import sys
from contextlib import suppress
from typing import Final

import httpx

from asapfn._core.credentials import TOKEN
from asapfn.adapters._causes import described
from asapfn.adapters.httpx import request_hook
from asapfn.cli.inputs import interruptible, read_file
from asapfn.cli.options import Commands, Options, add_for_profiles, option
from asapfn.cli.output import answer, painted, safe
from asapfn.cli.sources import add_cacert, client_for
from asapfn.cli.token import SIGNERS
from asapfn.errors import Unavailable
from asapfn.types import Authorize

_FORM: Final = "application/x-www-form-urlencoded"
_HEADER: Final = re.compile(rf"({TOKEN}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = (
        "Send an HTTP request with a token. The exit code says how it was answered: 0 for a status"
        " below 400, 1 for 400 to 499, 3 for 500 and more or no answer."
    )
    described, summary = (what, "Send an HTTP request with"), "send an HTTP request with a token"
    examples = {
        "asap": f"GET https://billing.example/invoices {SIGNERS['asap'].example}",
        "connect": f"{SIGNERS['connect'].example} -i",
    }
    signers = {name: SIGNERS[name]._replace(example=each) for name, each in examples.items()}
    for parser in add_for_profiles(commands, "request", summary, described, run, signers).values():
        words = "default GET, or POST with -d"
        parser.add_argument("words", metavar="[METHOD] URL", nargs="+", help=words)
        option(parser, "-X --request METHOD", "the method, as in curl")
        option(parser, "-H --headers LINE...", "a header, 'NAME: VALUE'", default=[])
        body = "the body, with which the method is POST by default; @FILE, @- for standard input"
        option(parser, "-d --data DATA", body)
        option(parser, "-i --include", "show the headers too")
        option(parser, "-L --location", "follow redirects")
        option(parser, "--timeout SECONDS", default=30)
        add_cacert(parser)


async def run(options: Options) -> int:
    """Run the command: 0, 1 or 3, by the status of the answer; Unavailable if there is none."""
    method, given = _method_and_url(options)
    if not options.timeout > 0:  # nan neither
        raise ValueError("--timeout is a number of seconds, more than 0")
    headers = _headers(options.headers)
    body = None if options.data is None else _body(options.data)
    if body is not None:
        headers.setdefault("Content-Type", _FORM)
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    options.form = body if media_type == _FORM else None
    try:
        url = httpx.URL(given)
    except httpx.InvalidURL as error:
        raise ValueError(f"the URL is malformed: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the URL is http://host/path or https://host/path")
    authorize = SIGNERS[options.profile].make(options)
    # Given to the request itself, since httpx before 0.28 does not give it a client's.
    limits = {"timeout": httpx.Timeout(options.timeout).as_dict()}
    request = httpx.Request(method, url, headers=headers, content=body, extensions=limits)
    response = await _send(request, authorize, options)
    _show(response, options)
    return 0 if response.status_code < 400 else 1 if response.status_code < 500 else 3


def _method_and_url(options: Options) -> tuple[str, str]:
    *methods, url = options.words
    methods += filter(None, [options.request])
    if len(methods) > 1:
        raise ValueError("give one URL, and one method: before it, or by -X")
    method = methods[0] if methods else "GET" if options.data is None else "POST"
    if not re.fullmatch(TOKEN, method):
        raise ValueError("the method is one word, such as GET")
    return method, url


async def _send(request: httpx.Request, authorize: Authorize, options: Options) -> httpx.Response:
    origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
    async with client_for(
        options.cacert,
        event_hooks={"request": [request_hook(authorize, origins=origin)]},
        follow_redirects=options.location,
    ) as client:
        try:
            return await client.send(request)
        except httpx.TimeoutException as error:  # which quotes asyncio's own words
            what = f"{type(error).__name__}: no answer within {options.timeout:g} seconds"
            raise Unavailable(origin, what) from error
        except httpx.HTTPError as error:
            raise Unavailable(origin, described(error)) from error


def _headers(given: list[str]) -> httpx.Headers:
    pairs = []
    for line in given:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ValueError("a header is given as 'NAME: VALUE', in one line")
        if match[1].lower() == "authorization":
            raise ValueError("the Authorization header is what this command makes: leave it out")
        pairs.append((match[1], match[2]))
    return httpx.Headers(pairs)


def _body(data: str) -> bytes:
    if data == "@-":
        with interruptible():
            return sys.stdin.buffer.read()
    return read_file(data[1:]) if data.startswith("@") else data.encode()


def _show(response: httpx.Response, options: Options) -> None:
    code, headers = response.status_code, response.headers.multi_items()
    status = f"{response.http_version} {code} {response.reason_phrase}".rstrip()
    answer(options, {"status": code, "headers": headers, "body": response.text})
    if options.json:
        return
    stream = sys.stdout if options.include else sys.stderr
    style = "green" if code < 400 else "red"
    lines = [painted(style, safe(status), stream)]
    if options.include:
        lines += [*(f"{safe(name)}: {safe(value)}" for name, value in headers), ""]
    unsaid = () if options.include else (OSError,)  # the exit code says the status too
    with suppress(*unsaid):
        stream.write("\n".join(lines) + "\n")
    if sys.stdout.isatty():
        # A server's answer must not act on the terminal either.
        text = response.text.removesuffix("\n")
        sys.stdout.write("\n".join(map(safe, text.split("\n"))) + "\n")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(response.content)
