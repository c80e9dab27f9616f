"""Events of AWS Lambda for HTTP requests, with the members that AWS documents for each kind.

What AWS makes of a path and of parameters is given by the caller, as it was seen on AWS: REST APIs,
function URLs and load balancers leave a path as it was sent, HTTP APIs decode it; REST APIs decode
parameters, load balancers do not.
"""

from typing import Any

Pairs = list[tuple[str, str]]
HOST = "abcdef1234.execute-api.us-west-2.amazonaws.com"
CUSTOM = "app.example"
URL_HOST = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-west-2.on.aws"


def _many(pairs: Pairs) -> dict[str, list[str]]:
    many: dict[str, list[str]] = {}
    for name, value in pairs:
        many.setdefault(name, []).append(value)
    return many


def _joined(pairs: Pairs) -> dict[str, str]:
    return {name: ",".join(values) for name, values in _many(pairs).items()}


def rest(
    method: str, path: str, parameters: Pairs, headers: Pairs, *, prefix: str = "/live"
) -> dict[str, Any]:
    """Of a REST API: at its own domain below the stage, `prefix`, or below a base path mapping.

    At its own domain the event's `path` is without the stage; below a mapping it has that.
    """
    custom = prefix != "/live"
    return {
        "resource": "/{proxy+}",
        "path": prefix + path if custom else path,
        "httpMethod": method,
        "headers": dict(headers) or None,
        "multiValueHeaders": _many(headers) or None,
        "queryStringParameters": dict(parameters) or None,
        "multiValueQueryStringParameters": _many(parameters) or None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdef1234",
            "domainName": CUSTOM if custom else HOST,
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "agent"},
            "path": prefix + path,
            "protocol": "HTTP/1.1",
            "requestId": "id",
            "resourcePath": "/{proxy+}",
            "stage": "live",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def _format_2(
    method: str, raw: str, decoded: str, query: str, headers: Pairs, domain: str, stage: str
) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw,
        "rawQueryString": query,
        "headers": _joined(headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": method,
                "path": decoded,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": stage,
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238390,
        },
        "isBase64Encoded": False,
    }


def http_api(
    method: str, decoded: str, query: str, headers: Pairs, *, stage: str = "$default"
) -> dict[str, Any]:
    """Of an HTTP API, in the payload format 2.0; the path has a stage that is not the default."""
    path = decoded if stage == "$default" else f"/{stage}{decoded}"
    return _format_2(method, path, path, query, headers, HOST, stage)


def function_url(method: str, raw: str, decoded: str, query: str, headers: Pairs) -> dict[str, Any]:
    """Of a function URL: the format is that of HTTP APIs, but its rawPath is not decoded."""
    return _format_2(method, raw, decoded, query, headers, URL_HOST, "$default")


def http_api_1(method: str, decoded: str, parameters: Pairs, headers: Pairs) -> dict[str, Any]:
    """Of an HTTP API, in the payload format 1.0."""
    event = rest(method, decoded, parameters, headers, prefix="")
    event["requestContext"]["stage"] = "$default"
    return {"version": "1.0"} | event


def load_balancer(
    method: str, path: str, parameters: Pairs, headers: Pairs, *, many: bool = True
) -> dict[str, Any]:
    """Of an Application Load Balancer, with or without multi-value headers: else the last wins."""
    arn = "arn:aws:elasticloadbalancing:us-west-2:123456789012:targetgroup/lambda/73e2d6bc24d8a067"
    event: dict[str, Any] = {
        "requestContext": {"elb": {"targetGroupArn": arn}},
        "httpMethod": method,
        "path": path,
        "body": "",
        "isBase64Encoded": False,
    }
    if many:
        return event | {
            "multiValueQueryStringParameters": _many(parameters),
            "multiValueHeaders": _many(headers),
        }
    return event | {"queryStringParameters": dict(parameters), "headers": dict(headers)}


def edge(method: str, path: str, query: str, headers: Pairs) -> dict[str, Any]:
    """Of Lambda@Edge."""
    fields = {name.lower(): [{"key": name, "value": value}] for name, value in headers}
    request = {
        "clientIp": "192.0.2.1",
        "headers": {"host": [{"key": "Host", "value": "d123.cf.net"}]} | fields,
        "method": method,
        "querystring": query,
        "uri": path,
    }
    return {"Records": [{"cf": {"config": {"distributionId": "EXAMPLE"}, "request": request}}]}
