"""What /openapi.json of the FastAPI example says is valid, and is all that a client ever sees."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from asapfn import asap, sign
from asapfn.adapters.asgi import key_repository
from asapfn.types import Key
from tests.support.keyring import key_for
from tests.support.processes import running
from tests.support.servers import asgi_server, trusting

EXAMPLES = Path(__file__).parent / "examples"
ORDERS, SHIPPING, LATER = (key_for("ES256", name) for name in ("orders", "shipping", "later"))
COMMAND = [
    *("-m", "uvicorn", "fastapi_server:app", "--fd={fd}", "--no-access-log"),
    "--timeout-keep-alive=600",  # so that no connection is closed as a request is sent on it
    *("--ssl-keyfile={certificate}", "--ssl-certfile={certificate}"),
]


class Documented(NamedTuple):
    """A service, and what its document says."""

    client: httpx.Client
    document: dict[str, Any]

    def __repr__(self) -> str:
        return "Documented"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    folder = tmp_path_factory.mktemp("fastapi")
    with asgi_server(key_repository([ORDERS, SHIPPING])) as keys:
        environment = {"ASAP_PUBLIC_KEY_REPOSITORY_URL": keys, "ASAP_SERVER_AUDIENCE": "billing"}
        with (
            running(COMMAND, within=EXAMPLES, folder=folder, environment=environment) as origin,
            httpx.Client(base_url=origin, verify=trusting(), timeout=60) as client,
        ):
            yield Documented(client, client.get("/openapi.json").json())


def header(key: Key, **changes: Any) -> str:
    now = int(time.time())
    issuer = str(key.kid).split("/")[0]
    claims = {**asap.claims(issuer, "billing"), "exp": now + 600, **changes}
    return f"Bearer {sign(claims, key)}"


def authorizations() -> st.SearchStrategy[list[str]]:
    """None, good ones, bad ones, and what was never one."""
    known = {"orders": ORDERS, "shipping": SHIPPING, "unknown": LATER}
    now = int(time.time())
    changes: list[dict[str, Any]] = [
        {},
        {"aud": "another"},
        {"sub": "another"},
        {"iat": now - 900, "exp": now - 600},
        {"iat": now + 900, "exp": now + 960},
        {"exp": now + 9000},
        {"iss": "nobody"},
        {"jti": 1},
    ]
    made = st.builds(
        lambda name, change: header(known[name], **change),
        st.sampled_from(sorted(known)),
        st.sampled_from(changes),
    )
    text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)
    damaged = st.builds("{}{}".format, made, text)
    values = st.one_of(made, text, damaged, st.builds("Bearer a{}".format, text))
    return st.lists(values, max_size=2)


def check(service: Documented, method: str, path: str, authorization: list[str]) -> int:
    """Ask, and compare the answer with the document; its status."""
    fields = [("Authorization", value) for value in authorization]
    answer = service.client.request(method, path, headers=fields)
    documented = service.document["paths"][path][method]["responses"]
    assert str(answer.status_code) in documented
    response = documented[str(answer.status_code)]
    media_type = answer.headers["Content-Type"]
    assert media_type in response["content"]
    schema = response["content"][media_type]["schema"]
    for name in response.get("headers", {}):
        assert name in answer.headers
    if answer.status_code != 200:
        body, properties = answer.json(), schema["properties"]
        assert sorted(body) == sorted(schema["required"])
        assert body["reason"] in properties["reason"]["enum"]
        assert [body["status"]] == properties["status"]["enum"] == [answer.status_code]
    return answer.status_code


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method, path) for path, item in document["paths"].items() for method in item]


def test_the_document_is_valid_and_says_which_endpoints_need_a_token(service: Documented) -> None:
    OpenAPIV31SpecValidator(service.document).validate()
    assert operations(service.document) == [
        ("get", "/health"),
        ("get", "/invoices"),
        ("post", "/refunds"),
    ]
    schemes = service.document["components"]["securitySchemes"]
    assert schemes["Bearer"] | {"description": ""} == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "",
    }
    for path, item in service.document["paths"].items():
        for operation in item.values():
            if path == "/health":
                assert "security" not in operation
                continue
            assert operation["security"] == [{"Bearer": []}]
            assert {"200", "401", "403", "503"} <= set(operation["responses"])


@settings(max_examples=60)
@given(data=st.data(), authorization=authorizations())
def test_no_request_has_an_answer_that_is_not_documented(
    service: Documented, data: Any, authorization: list[str]
) -> None:
    method, path = data.draw(st.sampled_from(operations(service.document)))
    check(service, method, path, authorization)


def test_each_documented_status_is_one_that_is_answered(
    service: Documented, tmp_path: Path
) -> None:
    assert check(service, "get", "/health", []) == 200
    assert check(service, "get", "/invoices", [header(SHIPPING)]) == 200
    assert check(service, "get", "/invoices", []) == 401
    assert check(service, "post", "/refunds", [header(SHIPPING)]) == 403
    with asgi_server(key_repository([])) as gone:
        environment = {"ASAP_PUBLIC_KEY_REPOSITORY_URL": gone, "ASAP_SERVER_AUDIENCE": "billing"}
    with (
        running(COMMAND, within=EXAMPLES, folder=tmp_path, environment=environment) as origin,
        httpx.Client(base_url=origin, verify=trusting(), timeout=60) as client,
    ):
        down = Documented(client, service.document)
        assert check(down, "get", "/invoices", [header(ORDERS)]) == 503
