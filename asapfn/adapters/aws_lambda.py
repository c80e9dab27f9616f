"""AWS Lambda: the request that an event describes, as authentication sees it.

Under Mangum, serverless-wsgi and apig-wsgi nothing of this is needed: `asgi.request` and
`wsgi.request` read their event by themselves. It is for handlers that are called with the event.

What AWS passes on differs. REST APIs, function URLs and load balancers give the path as it was
sent. HTTP APIs decode it, some escapes twice, so that only a path without any is known as it was
sent; one that holds more is a mismatch. Of the query the decoded parameters are enough for a `qsh`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from asapfn.adapters._environ import split_credentials
from asapfn.types import Request

__all__ = ["request"]

# What a path holds that is sent without escapes (RFC 3986, section 3.3).
_WITHOUT_ESCAPES: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*")
_FUNCTION_URL: Final = ".lambda-url."


class _Sent(NamedTuple):
    """What an event says of a request: its method, path and query, and whether AWS decoded it."""

    method: str
    path: str
    query: str
    decoded: bool = False


def request(event: Mapping[str, Any]) -> Request:
    """The request that an event of AWS Lambda describes, as an `Authenticate` needs it.

        token = await authenticate(request(event))

    Args:
        event: The event as the handler gets it: of a REST API, of an HTTP API in the payload format
            2.0 or 1.0, of a function URL, or of an Application Load Balancer.

    Returns:
        The request. The path of its target is the one that was sent, a stage's or a base path
        mapping's part included, as AWS gives it: give `authenticator` a `base_url` with that part.
        In an HTTP API's format 2.0 the mapping of a custom domain is not in it: give
        `proxy_strips_prefix=True`. Its query has every parameter that AWS passes on, in another
        order perhaps. Its mismatch says where an HTTP API has decoded what cannot be known any
        more, if that can be seen: `/a%2Fb` looks like `/a/b` then. A load balancer passes on one
        value of a parameter or a header that is sent twice, unless its target group has multi-value
        headers.

    Raises:
        ValueError: If it is none of these events, such as one of Lambda@Edge or VPC Lattice.

    Source: API Gateway, "Lambda proxy integrations in API Gateway" and "Create AWS Lambda proxy
    integrations for HTTP APIs"; Lambda, "Invoking Lambda function URLs"; Elastic Load Balancing,
    "Use Lambda functions as targets".
    """
    method, path, query, decoded = _sent(event)
    mismatch = ""
    if decoded and not _WITHOUT_ESCAPES.fullmatch(path):
        mismatch = (
            "API Gateway's HTTP APIs decode the path, so that what was sent is not known of one"
            " with escapes: use a REST API or a function URL"
        )
        # Refused by the mismatch, whatever stands here.
        path = _encoded(path, "/")
    headers: list[tuple[str, str]] = []
    for name, values in _values(event, "multiValueHeaders", "headers").items():
        if name.lower() == "authorization":
            # The formats without multi-value headers join a header that is sent twice by commas.
            values = [each for value in values for each in split_credentials(value)]
        headers += [(name, value) for value in values]
    return Request(method, path + "?" * bool(query) + query, tuple(headers), mismatch)


def read_event(
    adapter: str, event: Mapping[str, Any], routed: str, query: str
) -> tuple[str | None, str, str]:
    """A request's target, mismatch and server, if an adapter made a scope or environ from an event.

    Args:
        adapter: The adapter's name.
        event: The event.
        routed: The decoded path that the application routes by.
        query: The query that it reads, which of some events is encoded again.
    """
    try:
        asked = request(event)
    except ValueError as error:
        return None, "", f"{adapter}: {error}"
    path = str(asked.target).partition("?")[0]
    # An adapter may be set to remove a part of the path, and AWS removes the stage of a REST API.
    end, sent = routed.rstrip("/"), unquote(path).rstrip("/")
    same = end[:1] in ("", "/") and sent.endswith(end)
    mismatch = "" if same else f"{adapter}'s path is not the end of the event's, decoded once"
    return path + "?" * bool(query) + query, asked.mismatch or mismatch, ""


def _sent(event: Mapping[str, Any]) -> _Sent:
    """Method, path and query of an event, by the kind that it is of."""
    context = event.get("requestContext")
    version = event.get("version")
    if isinstance(context, Mapping):
        if "elb" in context:
            return _Sent(event["httpMethod"], event["path"], _query(event, encode=str))
        if version == "2.0" and "http" in context and "rawPath" in event:
            decoded = _FUNCTION_URL not in (context.get("domainName") or "")
            method = context["http"]["method"]
            return _Sent(method, event["rawPath"], event.get("rawQueryString", ""), decoded)
        if version == "1.0" and "httpMethod" in event:
            return _Sent(event["httpMethod"], event["path"], _query(event), decoded=True)
        if version is None and "resource" in event and "path" in context:
            return _Sent(event["httpMethod"], context["path"], _query(event))
    raise ValueError(
        "expected an event of API Gateway (REST or HTTP API), a function URL or an Application"
        f" Load Balancer; got one with the members {', '.join(sorted(map(str, event)))[:200]}"
    )


def _values(event: Mapping[str, Any], many: str, one: str) -> Mapping[str, list[str]]:
    """The values of each header or parameter, of which an event has many, or else one."""
    return event.get(many) or {name: [value] for name, value in (event.get(one) or {}).items()}


def _encoded(text: str, safe: str = "") -> str:
    return quote(text, safe=safe, errors="surrogatepass")


def _query(event: Mapping[str, Any], encode: Any = _encoded) -> str:
    """The query of the parameters that an event has, encoded where AWS has decoded them."""
    many = _values(event, "multiValueQueryStringParameters", "queryStringParameters")
    pairs = [(name, value) for name, values in many.items() for value in values]
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)
