"""Who signs, and with what, as flags say it, for `token` and `request`."""

import argparse
import json
import os
import secrets
import time
from typing import Any, Final

from asapfn import asap, connect, forge, jitsi
from asapfn._core import compact
from asapfn._core.signing import sign
from asapfn.cli.inputs import WHERE, read_key, read_secret
from asapfn.cli.layout import signing_key
from asapfn.cli.parsing import option, seconds
from asapfn.forge.invocation import split_base_url
from asapfn.resolvers import keys_by_id
from asapfn.types import Authorize, Key, Names

_NONE: Final = "00000000-0000-0000-0000-000000000000"
_API: Final = f"https://api.atlassian.com/ex/jira/{_NONE}"


def add_asap_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what an ASAP token is made of."""
    group = parser.add_argument_group("the token; what is left out comes from the environment")
    option(group, "--issuer", "NAME", "the service that signs (ASAP_ISSUER)")
    audience = "the service it is for; again for another (ASAP_AUDIENCE)"
    option(group, "--audience", "NAME", audience, action="append")
    option(group, "--key-directory", "DIR", "sign with the last of DIR/ISSUER/*.pem by name")
    _add_common_arguments(group, 60.0, "ASAP_PRIVATE_KEY", "ASAP_KEY_ID")
    option(group, "--subject", "NAME", "the sub claim; the issuer, if left out (ASAP_SUBJECT)")


def add_connect_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a Connect token is made of."""
    group = parser.add_argument_group("the token")
    option(group, "--issuer", "NAME", "the app's key", required=True)
    option(group, "--secret-from", "WHERE", f"the shared secret: {WHERE} (ASAPFN_SECRET)")
    _add_common_arguments(group, 180.0)
    option(group, "--base-url", "URL", "of the product: its path is not hashed", default="")
    option(group, "--audience", "NAME", "the client key, for Jira, Confluence", action="append")
    option(group, "--subject", "NAME", "the client key, for Bitbucket")


def add_forge_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a token that looks like Forge's is made of."""
    group = parser.add_argument_group("the token")
    option(group, "--app-id", "ARI", "ari:cloud:ecosystem::app/<uuid>", required=True)
    option(group, "--environment-type", "NAME", "default PRODUCTION", default="PRODUCTION")
    option(group, "--api-base-url", "URL", f"default {_API}", default=_API)
    option(group, "--account", "ID", "the user's account id, the principal claim")
    _add_common_arguments(group, 25.0)


def add_jitsi_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a token of Jitsi's dialect is made of."""
    group = parser.add_argument_group("the token")
    option(group, "--issuer", "NAME", "the app's id", required=True)
    option(group, "--audience", "NAME", "the service it is for", required=True)
    option(group, "--room", "NAME", "the room; * for any", required=True)
    option(group, "--subject", "NAME", "the domain, or * for any")
    _add_common_arguments(group, 60.0)


def _add_common_arguments(
    group: argparse._ArgumentGroup, lifetime: float, key: str = "", kid: str = ""
) -> None:
    variables = (f" ({key})" if key else "", f" ({kid})" if kid else "")
    where = f"the private key, PEM, data URI or JWK: {WHERE}{variables[0]}"
    option(group, "--key-from", "WHERE", where)
    group.add_argument("--kid", help=f"the key id of a PEM{variables[1]}")
    option(group, "--password-from", "WHERE", "the password of a PEM that is encrypted")
    default = f"{lifetime:g}"
    option(group, "--lifetime", "SECONDS", f"default {default}", type=seconds, default=default)
    more = "one more claim, its value JSON or else text; again for another"
    option(group, "--claim", "NAME=VALUE", more, action="append", default=[])


def asap_authorizer(options: argparse.Namespace) -> Authorize:
    """Make what signs ASAP tokens; ValueError if something is missing or cannot be used."""
    issuer = options.issuer or os.environ.get("ASAP_ISSUER")
    if not issuer:
        raise ValueError("give the issuer: --issuer, or ASAP_ISSUER")
    audience = options.audience or _list(os.environ.get("ASAP_AUDIENCE", ""))
    if not audience:
        raise ValueError("give the receiver: --audience, or ASAP_AUDIENCE")
    if options.key_directory is not None and options.key_from is not None:
        raise ValueError("give --key-directory or --key-from, not both")
    if options.key_directory is not None:
        key: Key = signing_key(options.key_directory, issuer)
    elif options.key_from is not None or os.environ.get("ASAP_PRIVATE_KEY"):
        kid = options.kid or os.environ.get("ASAP_KEY_ID") or None
        key = _private_key(options, options.key_from or "env:ASAP_PRIVATE_KEY", kid)
    else:
        raise ValueError("give the key: --key-from, --key-directory, or ASAP_PRIVATE_KEY")
    sign = asap.signer(
        issuer,
        key,
        subject=options.subject or os.environ.get("ASAP_SUBJECT") or None,
        lifetime=options.lifetime,
        additional=_claims(options.claim),
    )
    return asap.authorizer(sign, audience[0] if len(audience) == 1 else audience)


def connect_authorizer(options: argparse.Namespace, form: str | bytes | None = None) -> Authorize:
    """Make what signs Connect tokens, for requests with a form where there is one."""
    if options.secret_from is not None and options.key_from is not None:
        raise ValueError("give --secret-from or --key-from, not both")
    if options.key_from is not None:
        key = read_key(options.key_from, "private key", options.kid, options.password_from)
    elif options.secret_from is not None or os.environ.get("ASAPFN_SECRET"):
        key = read_secret(options.secret_from or "env:ASAPFN_SECRET")
    else:
        raise ValueError("give the secret: --secret-from, ASAPFN_SECRET, or a key by --key-from")
    audience: Names | None = options.audience
    # What is wrong with the key is for the profile to say.
    connect.authorizer(options.issuer, key, base_url=options.base_url, lifetime=options.lifetime)

    def authorize(method: str, url: str) -> str:
        claims = connect.claims(
            options.issuer,
            method,
            url,
            base_url=options.base_url,
            audience=audience,
            subject=options.subject,
            lifetime=options.lifetime,
            form=form,
            additional=_claims(options.claim),
        )
        return f"JWT {sign(claims, key)}"

    return authorize


def forge_authorizer(options: argparse.Namespace) -> Authorize:
    """Make what signs tokens for tests that look like Forge's invocation tokens."""
    forge.policy(keys_by_id([]), options.app_id)  # it says what is wrong with the id
    if split_base_url(options.api_base_url) is None:
        raise ValueError(f"--api-base-url is an https URL of a host and a path, such as {_API}")
    key = _private_key(options, options.key_from, options.kid)
    issued = int(time.time())
    claims = {
        "iss": "forge/invocation-token",
        "aud": options.app_id,
        "iat": issued,
        "nbf": issued,
        "exp": issued + options.lifetime,
        "jti": secrets.token_hex(16),
        "app": _forge_app(options),
        **({} if options.account is None else {"principal": options.account}),
        **_claims(options.claim),
    }
    return lambda method, url: f"Bearer {sign(claims, key, algorithm='RS256')}"


def _forge_app(options: argparse.Namespace) -> dict[str, Any]:
    """The app, as Forge describes it to an endpoint that is called from the backend."""
    installation = f"ari:cloud:ecosystem::installation/{_NONE}"
    contexts = [{"name": "test", "apiBaseUrl": options.api_base_url}]
    return {
        "id": options.app_id,
        "appVersion": "1.0.0",
        "installationId": installation,
        "apiBaseUrl": options.api_base_url,
        "environment": {
            "type": options.environment_type,
            "id": f"ari:cloud:ecosystem::environment/{_NONE}",
        },
        "module": {"type": "core:endpoint", "key": "test"},
        "installation": {"id": installation, "contexts": contexts},
    }


def jitsi_authorizer(options: argparse.Namespace) -> Authorize:
    """Make what signs tokens of Jitsi's dialect."""
    key = _private_key(options, options.key_from, options.kid)
    claims = jitsi.claims(
        options.issuer,
        options.audience,
        options.room,
        subject=options.subject or "*",
        lifetime=options.lifetime,
    ) | _claims(options.claim)
    return lambda method, url: f"Bearer {sign(claims, key)}"


def _private_key(options: argparse.Namespace, where: str | None, kid: str | None) -> Key:
    """The key to sign with, which must have a key id."""
    if where is None:
        raise ValueError("give the private key: --key-from")
    key = read_key(where, "private key", kid, options.password_from)
    if key.kid is None:
        raise ValueError("a PEM has no key id: give it by --kid, such as orders/2026-11.pem")
    return key


def _list(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _claims(given: list[str]) -> dict[str, Any]:
    claims = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise ValueError("a claim is given as NAME=VALUE")
        try:
            claims[name] = json.loads(value)
        except ValueError:
            claims[name] = value
    compact.encode_segment(claims)
    return claims
