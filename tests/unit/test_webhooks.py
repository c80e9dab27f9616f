"""A webhook's body is signed with its secret, in one header, by SHA-256."""

import hashlib
import hmac
from collections import ChainMap
from types import MappingProxyType
from typing import Any

import pytest

from asapfn import webhooks
from asapfn.errors import TokenRejected
from asapfn.types import Request

SECRET = "It's a Secret to Everybody"
# The examples of Atlassian's "Secure admin webhooks", and of GitHub's "Validating webhook
# deliveries", which differ in a comma.
BODY = b"Hello World!"
SIGNATURE = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
GITHUB_BODY = b"Hello, World!"
GITHUB = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def request(*values: str, name: str = "X-Hub-Signature") -> Request:
    return Request("POST", "/hook", (("Host", "x"), *((name, value) for value in values)))


def refusal(given: Request, body: bytes = BODY, secrets: Any = SECRET, **more: Any) -> Any:
    with pytest.raises(TokenRejected) as caught:
        webhooks.hub_signature(body, given, secrets, **more)
    assert caught.value.status == 401
    assert caught.value.detail
    assert SECRET not in str(caught.value)
    assert SIGNATURE[7:] not in str(caught.value)
    return caught.value


def test_the_signature_of_the_documentation_is_accepted() -> None:
    webhooks.hub_signature(BODY, request(SIGNATURE), SECRET)
    webhooks.hub_signature(BODY, request(SIGNATURE), SECRET.encode())
    webhooks.hub_signature(BODY, request(f" {SIGNATURE.upper().replace('SHA', 'sha')}"), SECRET)
    webhooks.hub_signature(BODY, request(SIGNATURE, name="x-hub-signature"), SECRET)


def test_the_signature_of_github_is_in_another_header() -> None:
    given = Request(
        "POST",
        "/",
        (("X-Hub-Signature", "sha1=" + "0" * 40), ("X-Hub-Signature-256", GITHUB)),
    )
    webhooks.hub_signature(GITHUB_BODY, given, SECRET, header="X-Hub-Signature-256")
    assert refusal(given).reason == "unsupported_algorithm"


@pytest.mark.parametrize("body", [b"", GITHUB_BODY, b"Hello World", BODY + b"\n", b"\xff"])
def test_another_body_is_refused(body: bytes) -> None:
    error = refusal(request(SIGNATURE), body)
    assert error.reason == "bad_signature"
    assert error.detail == (
        f"X-Hub-Signature: not made with the secret over this body of {len(body)} bytes"
    )


def test_an_empty_body_may_be_signed() -> None:
    signature = hmac.new(b"k", b"", hashlib.sha256).hexdigest()
    webhooks.hub_signature(b"", request(f"sha256={signature}"), "k")


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_while_a_secret_is_replaced_either_is_accepted(kind: Any) -> None:
    webhooks.hub_signature(BODY, request(SIGNATURE), kind(["the new one", SECRET]))
    webhooks.hub_signature(BODY, request(SIGNATURE), kind([SECRET, b"the old one"]))
    error = refusal(request(SIGNATURE), secrets=kind(["the new one", "the old one"]))
    assert error.reason == "bad_signature"
    assert "any of 2 secrets" in error.detail


def test_a_str_is_one_secret_and_not_its_letters() -> None:
    signature = hmac.new(b"k", BODY, hashlib.sha256).hexdigest()
    assert refusal(request(f"sha256={signature}"), secrets="key").reason == "bad_signature"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "missing_token"),
        ([SIGNATURE, SIGNATURE], "ambiguous_token"),
        ([SIGNATURE, ""], "ambiguous_token"),
        ([f"{SIGNATURE}, {SIGNATURE}"], "ambiguous_token"),
        ([f"{SIGNATURE},sha1=00"], "ambiguous_token"),
        (["sha1=" + "0" * 40], "unsupported_algorithm"),
        (["sha512=" + "0" * 128], "unsupported_algorithm"),
        (["md5=" + "0" * 32], "unsupported_algorithm"),
        (["none="], "unsupported_algorithm"),
        (["SHA256" + SIGNATURE[6:]], "unsupported_algorithm"),
        (["sha256"], "malformed"),
        (["sha256="], "malformed"),
        (["sha256=0"], "malformed"),
        ([SIGNATURE[:-1]], "malformed"),
        ([f"{SIGNATURE}0"], "malformed"),
        ([f"{SIGNATURE}\n"], "malformed"),
        ([f"sha256= {SIGNATURE[7:]}"], "malformed"),
        ([SIGNATURE[7:]], "malformed"),
        (["sha256:" + SIGNATURE[7:]], "malformed"),
        (["sha256=" + "\u0660" * 64], "malformed"),
        (["sha256=" + "g" * 64], "malformed"),
        ([""], "malformed"),
        (["x" * 100_000], "malformed"),
    ],
)
def test_a_header_that_is_no_signature_is_refused(values: list[str], reason: str) -> None:
    assert refusal(request(*values)).reason == reason
    other = "X-Hub-Signature-256"
    assert refusal(request(*values, name=other), header=other).reason == reason


@pytest.mark.parametrize("secrets", ["", b"", [], (), ["good", ""], [b""]], ids=repr)
def test_an_empty_secret_is_an_error(secrets: Any) -> None:
    signature = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    with pytest.raises(ValueError, match="empty"):
        webhooks.hub_signature(BODY, request(f"sha256={signature}"), secrets)


def test_the_names_of_secrets_are_no_secrets() -> None:
    """A mapping's elements are its names, and whoever knows these could sign."""
    forged = hmac.new(b"jira", BODY, hashlib.sha256).hexdigest()
    for secrets in ({"jira": SECRET}, MappingProxyType({"jira": SECRET}), ChainMap({"jira": "x"})):
        for signature in (f"sha256={forged}", SIGNATURE):
            with pytest.raises(TypeError, match="not of names to secrets") as caught:
                webhooks.hub_signature(BODY, request(signature), secrets)  # type: ignore[arg-type]
            assert SECRET not in str(caught.value)
    webhooks.hub_signature(BODY, request(SIGNATURE), {"jira": SECRET}.values())


def test_a_secret_with_a_lone_surrogate_is_an_error_that_does_not_hold_it() -> None:
    for secrets in (f"{SECRET}\udcff", ["the new one", f"{SECRET}\ud800"]):
        with pytest.raises(ValueError, match="lone surrogate") as caught:
            webhooks.hub_signature(BODY, request(SIGNATURE), secrets)
        error = caught.value
        assert type(error) is ValueError
        assert error.__context__ is error.__cause__ is None
        assert SECRET not in repr(error)


def test_wrong_use_gets_a_sentence() -> None:
    for secrets in (None, 7, [None], [7], {"x": 1}.values()):
        with pytest.raises(TypeError):
            webhooks.hub_signature(BODY, request(SIGNATURE), secrets)  # type: ignore[arg-type]
    for body in ("Hello, World!", {"parsed": True}, None, bytearray(BODY)):
        with pytest.raises(TypeError, match="bytes, as received"):
            webhooks.hub_signature(body, request(SIGNATURE), SECRET)  # type: ignore[arg-type]
    for header in ("", "X-Hub-Signature: ", "a b"):
        with pytest.raises(ValueError, match="header"):
            webhooks.hub_signature(BODY, request(SIGNATURE), SECRET, header=header)
