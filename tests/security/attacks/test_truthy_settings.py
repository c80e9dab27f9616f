"""Attacks by way of a setting: "false" of an environment variable is true, and None is false.

So each option that is True or False is refused as anything else, at once and by its name, whichever
of the two is the safe one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from asapfn import asap, bearer, connect, forge, jitsi, policy, testing, verifier
from asapfn.adapters import aiohttp, asgi, fastapi, flask, wsgi
from asapfn.checks import request_matches
from asapfn.resolvers import keys_by_id
from asapfn.types import Request
from tests.support.django_site import configure

configure()

from asapfn.adapters import django  # noqa: E402

ALICE = testing.issuer("alice")
RESOLVER = testing.resolver(ALICE)
NOBODY = keys_by_id([])
BASE = "https://app.example/base"
authenticate = bearer(asap.verifier(RESOLVER, "service", issuers="alice"))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Never called."""


async def fetch(url: str, accept: str) -> Any:
    """Never called."""


def replaced(*, audience_required: bool) -> object:
    return verifier(policy(RESOLVER, audience="a")._replace(audience_required=audience_required))


ADAPTERS: dict[str, Callable[..., object]] = {
    "asgi.protect": partial(asgi.protect, app, authenticate),
    "wsgi.protect": partial(wsgi.protect, app, authenticate),  # type: ignore[arg-type]
    "fastapi.requires": partial(fastapi.requires, authenticate),
    "flask.requires": partial(flask.requires, authenticate),
    "aiohttp.server_middleware": partial(aiohttp.server_middleware, authenticate),
    "django.middleware": partial(django.middleware, authenticate),
    "django.requires": django.requires,
}
JITSI = {"issuers": None, "audience": None}
OPTIONS: list[tuple[str, str, Callable[..., object]]] = [
    *[
        (name, option, made)
        for name, made in ADAPTERS.items()
        for option in ("optional", "enforce")
    ],
    *[
        (name, option, made)
        for option in ("proxy_strips_prefix", "decoded_path")
        for name, made in (
            ("connect.authenticator", partial(connect.authenticator, NOBODY, base_url=BASE)),
            ("request_matches", partial(request_matches, "GET", "/base", base_url=BASE)),
        )
    ],
    *[
        (name, option, made)
        for option in ("app_secret", "require_room", "require_exp")
        for name, made in (
            ("jitsi.policy", partial(jitsi.policy, NOBODY, **JITSI)),
            ("jitsi.verifier", partial(jitsi.verifier, NOBODY, **JITSI)),
        )
    ],
    *[
        (name, "subject_is_issuer", made)
        for name, made in (
            ("asap.policy", partial(asap.policy, NOBODY, "a", issuers=None)),
            ("asap.verifier", partial(asap.verifier, NOBODY, "a", issuers=None)),
        )
    ],
    ("forge.keys", "staging", partial(forge.keys, fetch)),
    ("policy", "audience_required", partial(policy, NOBODY, audience="a")),
    ("policy without audience", "audience_required", partial(policy, NOBODY)),
    ("verifier", "audience_required", replaced),
]
EACH = pytest.mark.parametrize(
    ("option", "make"), [pytest.param(*rest, id=f"{name} {rest[0]}") for name, *rest in OPTIONS]
)


@EACH
@pytest.mark.parametrize("given", ["false", "0", "", "True", None, 0, 1, [], {}], ids=repr)
def test_what_is_no_bool_neither_opens_nor_closes_anything(
    option: str, make: Callable[..., object], given: Any
) -> None:
    with pytest.raises(TypeError, match=f"^{option} must be True or False, not ") as caught:
        make(**{option: given})
    assert str(caught.value).endswith(f" {type(given).__name__}")


@EACH
@pytest.mark.parametrize("given", [True, False])
def test_a_bool_is_a_setting(option: str, make: Callable[..., object], given: bool) -> None:
    assert make(**{option: given}) is not None


async def test_an_install_whose_setting_is_no_bool_is_an_error_whoever_sends_it() -> None:
    nothing = Request("POST", "/base/installed", ())
    installs: dict[str, Callable[..., Any]] = {
        "verify_install": partial(
            connect.verify_install, nothing, b"", connect.install_keys(fetch), base_urls=BASE
        ),
        "verify_reinstall": partial(connect.verify_reinstall, nothing, b"", NOBODY, base_url=BASE),
    }
    for verify in installs.values():
        for given in ("false", None, 0):
            with pytest.raises(TypeError, match=r"^proxy_strips_prefix must be True or False, not"):
                await verify(proxy_strips_prefix=given)
