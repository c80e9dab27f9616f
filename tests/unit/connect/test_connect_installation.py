import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapfn.connect import Installation, read_unsigned_install
from asapfn.connect.installation import read_installation
from asapfn.errors import TokenRejected
from asapfn.keys import export_public_pem
from tests.support.keyring import key_for

SECRET = "s3cret" * 8
BODY = {
    "key": "app",
    "clientKey": "client",
    "sharedSecret": SECRET,
    "oauthClientId": "oauth",
    "baseUrl": "https://acme.atlassian.net",
    "productType": "jira",
    "eventType": "installed",
    "serverVersion": "1001.0.0",
    "cloudId": None,
}


def read(**changes: Any) -> Installation:
    changed = {name: value for name, value in (BODY | changes).items() if value != "absent"}
    return read_installation(json.dumps(changed).encode())


def test_an_install_is_read() -> None:
    assert read() == Installation(
        client_key="client",
        base_url="https://acme.atlassian.net",
        shared_secret=SECRET,
        oauth_client_id="oauth",
        key="app",
        product_type="jira",
        event_type="installed",
        more={"serverVersion": "1001.0.0", "cloudId": None},
    )


def test_it_prints_without_its_secret() -> None:
    installation = read(other={"secret": "hidden"})
    for text in (repr(installation), str(installation), f"{installation}", f"{[installation]}"):
        assert SECRET not in text
        assert "hidden" not in text
        assert "client_key='client', base_url='https://acme.atlassian.net'" in text


@pytest.mark.parametrize("nothing", ["absent", None, ""])
def test_what_need_not_be_there_is_empty(nothing: str | None) -> None:
    installation = read(key=nothing, oauthClientId=nothing, productType=nothing, eventType=nothing)
    assert installation == Installation(
        "client",
        "https://acme.atlassian.net",
        SECRET,
        more={"serverVersion": "1001.0.0", "cloudId": None},
    )


@pytest.mark.parametrize("nothing", ["absent", None, ""])
def test_an_uninstall_needs_no_secret(nothing: str | None) -> None:
    assert read(sharedSecret=nothing, eventType="uninstalled").shared_secret == ""


def refused(body: bytes) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        read_installation(body)
    return caught.value


@pytest.mark.parametrize("name", ["clientKey", "baseUrl", "sharedSecret"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_what_must_be_there_is(name: str, nothing: str | None) -> None:
    error = refused(json.dumps(BODY | {name: nothing}).encode())
    assert str(error) == f"malformed: body: {name} is missing"


@pytest.mark.parametrize("event", [None, "", "enabled", "Uninstalled"])
def test_only_an_uninstall_needs_no_secret(event: str | None) -> None:
    error = refused(json.dumps(BODY | {"sharedSecret": None, "eventType": event}).encode())
    assert str(error) == "malformed: body: sharedSecret is missing"


@pytest.mark.parametrize("wrong", [0, 1, False, True, 1.5, [], ["x"], {}, {"a": "b"}])
@pytest.mark.parametrize(
    "name",
    ["clientKey", "baseUrl", "sharedSecret", "oauthClientId", "key", "productType", "eventType"],
)
def test_what_is_read_is_text(name: str, wrong: object) -> None:
    error = refused(json.dumps(BODY | {name: wrong}).encode())
    assert str(error) == f"malformed: body: {name} is not a string"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b'{"a": \xff}',
        b'{"clientKey": "a", "clientKey": "b"}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b"clientKey=client&baseUrl=https%3A%2F%2Facme.atlassian.net",
    ],
)
def test_a_body_that_is_no_strict_object_is_malformed(body: bytes) -> None:
    assert refused(body).reason == "malformed"


def test_a_secret_has_at_most_128_characters() -> None:
    assert read(sharedSecret="é" * 128).shared_secret == "é" * 128
    long = "s" * 129
    error = refused(json.dumps(BODY | {"sharedSecret": long}).encode())
    assert error.reason == "malformed"
    assert long not in str(error)


@pytest.mark.parametrize(
    "secret", ["s" * 31, "ssh-ed25519 AAAA" + "A" * 40, '{"kty":"oct","k":"' + "A" * 50 + '"}']
)
def test_a_secret_that_is_too_short_or_a_key_is_unsuitable(secret: str) -> None:
    for event in ("installed", "uninstalled"):
        body = json.dumps(BODY | {"sharedSecret": secret, "eventType": event}).encode()
        error = refused(body)
        assert error.reason == "unsuitable_key"
        assert secret not in str(error)


def test_a_public_key_is_too_long_for_a_secret() -> None:
    pem = export_public_pem(key_for("RS256"))
    assert refused(json.dumps(BODY | {"sharedSecret": pem}).encode()).reason == "malformed"


def test_the_body_is_bytes() -> None:
    body: Any = json.dumps(BODY)
    with pytest.raises(TypeError, match="bytes that were sent"):
        read_installation(body)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(sorted(BODY)), anything))
def test_any_object_is_read_or_rejected(changes: dict[str, Any]) -> None:
    sent = json.dumps(BODY | changes).encode()
    refusal = ""
    try:
        assert read_installation(sent).client_key
    except TokenRejected as error:
        refusal = error.reason
    assert refusal in ("", "malformed", "unsuitable_key")


@given(st.binary(max_size=30))
def test_any_bytes_are_rejected(body: bytes) -> None:
    assert refused(body).reason == "malformed"


BITBUCKET = BODY | {"baseUrl": "https://bitbucket.org", "productType": "bitbucket"}


def unsigned(*, max_bytes: int = 65_536, **changes: Any) -> Installation:
    body = json.dumps(BITBUCKET | changes).encode()
    return read_unsigned_install(body, max_bytes=max_bytes)


def test_an_install_that_nobody_signed_is_read_as_strictly_as_one_that_is_signed() -> None:
    assert unsigned() == read(**BITBUCKET)
    for changes, reason in (
        ({"sharedSecret": "short"}, "unsuitable_key"),
        ({"sharedSecret": None}, "malformed"),
        ({"sharedSecret": export_public_pem(key_for("ES256"))}, "malformed"),
        ({"clientKey": None}, "malformed"),
        ({"max_bytes": 100}, "malformed"),
    ):
        with pytest.raises(TokenRejected) as caught:
            unsigned(**changes)
        assert caught.value.reason == reason
    with pytest.raises(TypeError, match="not str"):
        read_unsigned_install("{}")  # type: ignore[arg-type]


@pytest.mark.parametrize("event", ["uninstalled", "enabled", "disabled", "", "Installed", None])
def test_no_other_event_is_read_of_an_unsigned_body(event: str | None) -> None:
    for secret in (SECRET, None):
        with pytest.raises(TokenRejected) as caught:
            unsigned(eventType=event, sharedSecret=secret)
        assert caught.value.reason == "malformed"
        assert SECRET not in caught.value.detail
    with pytest.raises(TokenRejected, match="expected the eventType installed, got "):
        unsigned(eventType=event)
