"""`asapfn token`: a token, for other tools to send. And how each profile signs, for `request` too.

A flag is named as a parameter of the function of the library to which its value is given.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from asapfn import asap, connect, jitsi
from asapfn._core.signing import sign
from asapfn._core.verification import peek
from asapfn.cli.inputs import WHERE, in_variable, read_bytes, read_key, read_secret
from asapfn.cli.layout import signing_key
from asapfn.cli.options import Arguments, Commands, Options, Profile, add_for_profiles, option
from asapfn.cli.output import answer
from asapfn.cli.parsing import audience, call, one_at_most, required
from asapfn.testing import FORGE_API, forge_claims
from asapfn.types import Authorize, Key


def add_to(commands: Commands) -> None:
    """Add the command."""
    what = ("Sign a token and print it.", "Sign and print")
    summary = "sign a token and print it"
    header = f"asapfn token asap {SIGNERS['asap'].example} --header"
    curl = f'curl -H "$({header})" https://billing.example/'
    parsers = add_for_profiles(commands, "token", summary, what, run, SIGNERS, asap=curl)
    for parser in parsers.values():
        option(parser, "--header", "print the whole Authorization header")
    for_request = parsers["connect"]
    option(for_request, "method METHOD")
    option(for_request, "url URL", "as it is sent")
    option(for_request, "--form-from WHERE", "the form body of a POST or PUT without a query")


async def run(options: Options) -> int:
    """Run the command; ValueError if something is missing or cannot be used."""
    request = ("GET", "/")
    if options.profile == "connect":
        request = options.method, options.url
        options.form = options.form_from and read_bytes(options.form_from, "form")
    value = SIGNERS[options.profile].make(options)(*request)
    token = value.partition(" ")[2]
    header, claims, _, _ = peek(token)
    members = {"token": token, "authorization": value, "header": dict(header), "claims": claims}
    answer(options, members)
    if not options.json:
        # Not wrapped: a token must stay one line on a narrow terminal too.
        sys.stdout.write(f"Authorization: {value}\n" if options.header else f"{token}\n")
    return 0


def _add_asap(parser: Arguments) -> None:
    group = parser.add_argument_group("the token; what is left out comes from the environment")
    option(group, "--issuer NAME", "the service that signs (ASAP_ISSUER)")
    option(group, "--audience NAME...", "the service it is for (ASAP_AUDIENCE)")
    _add_common_arguments(group, 60, " (ASAP_PRIVATE_KEY)", " (ASAP_KEY_ID)")
    option(group, "--key-directory DIR", "sign with the last of DIR/ISSUER/*.pem by name")
    option(group, "--subject NAME", "the sub claim; the issuer, if left out (ASAP_SUBJECT)")


def _sign_asap(options: Options) -> Authorize:
    issuer = options.issuer or os.environ.get("ASAP_ISSUER")
    options.issuer = required(issuer, "the issuer: --issuer, or ASAP_ISSUER")
    names = audience(options, "the receiver", "ASAP_AUDIENCE")
    options.subject = options.subject or os.environ.get("ASAP_SUBJECT") or None
    options.kid = options.kid or os.environ.get("ASAP_KEY_ID") or None
    one_at_most(options, "key_directory", "key_from")
    if options.key_directory is not None:
        key = signing_key(options.key_directory, options.issuer)
    else:
        flags = "--key-from, --key-directory, or ASAP_PRIVATE_KEY"
        key = _private_key(options, flags, "ASAP_PRIVATE_KEY")
    sign = call(asap.signer, options, key=key, additional=_claims(options))
    return asap.authorizer(sign, names[0] if len(names) == 1 else names)


def _add_connect(parser: Arguments) -> None:
    group = parser.add_argument_group("the token")
    option(group, "--issuer NAME", "the app's key", required=True)
    _add_common_arguments(group, 180)
    option(group, "--secret-from WHERE", f"the shared secret: {WHERE} (ASAPFN_SECRET)")
    option(group, "--base-url URL", "the product's base URL; its path is not hashed", default="")
    option(group, "--audience NAME...", "the client key, for Jira, Confluence")
    option(group, "--subject NAME", "the client key, for Bitbucket")


def _sign_connect(options: Options) -> Authorize:
    """Sign requests, with `options.form` where there is one."""
    one_at_most(options, "secret_from", "key_from")
    if options.key_from is not None:
        key = read_key(options.key_from, "private key", options.kid, options.password_from)
    else:
        flags = "the secret: --secret-from, ASAPFN_SECRET, or a key by --key-from"
        key = required(read_secret(options), flags)
    call(connect.authorizer, options, key=key)  # it says what is wrong with the key
    more = _claims(options)

    def authorize(method: str, url: str) -> str:
        claims = call(connect.claims, options, method=method, url=url, additional=more)
        return f"JWT {sign(claims, key)}"

    return authorize


def _add_forge(parser: Arguments) -> None:
    group = parser.add_argument_group("the token")
    option(group, "--app-id ARI", "ari:cloud:ecosystem::app/<uuid>", required=True)
    option(group, "--environment-type NAME", default="PRODUCTION")
    option(group, "--api-base-url URL", default=FORGE_API)
    option(group, "--account ID", "the user's account id, the principal claim")
    _add_common_arguments(group, 25)


def _add_jitsi(parser: Arguments) -> None:
    group = parser.add_argument_group("the token")
    option(group, "--issuer NAME", "the app's id", required=True)
    option(group, "--audience NAME", "the service it is for", required=True)
    option(group, "--room NAME", "the room; * for any", required=True)
    option(group, "--subject NAME", "the domain, or * for any", default="*")
    _add_common_arguments(group, 60)


def _sign_claims(make: Callable[..., Any], algorithm: str | None, options: Options) -> Authorize:
    """Sign the claims that a function of the library makes."""
    claims = call(make, options) | _claims(options)
    key = _private_key(options)
    return lambda method, url: f"Bearer {sign(claims, key, algorithm=algorithm)}"


def _add_common_arguments(group: Arguments, lifetime: int, key: str = "", kid: str = "") -> None:
    option(group, "--key-from WHERE", f"the private key, PEM, data URI or JWK: {WHERE}{key}")
    option(group, "--kid KID", f"the key id, if the key has none{kid}")
    option(group, "--password-from WHERE", "the password of a PEM that is encrypted")
    option(group, "--lifetime SECONDS", default=lifetime)
    option(group, "--claim NAME=VALUE...", "an additional claim, its value JSON or else text")


def _private_key(options: Options, flags: str = "--key-from", variable: str = "") -> Key:
    """The key to sign with, which must have a key id."""
    where = required(options.key_from or in_variable(variable), f"the key: {flags}")
    key = read_key(where, "private key", options.kid, options.password_from)
    if key.kid is None:
        raise ValueError("the key has no key id: give it by --kid, such as orders/2026-11.pem")
    return key


def _claims(options: Options) -> dict[str, Any]:
    claims = {}
    for name, value in options.claim or ():
        try:
            claims[name] = json.loads(value)
        except RecursionError:
            raise ValueError("nested too deep") from None
        except ValueError:
            claims[name] = value
    return claims


SIGNERS: Final[Mapping[str, Profile]] = {
    "asap": Profile(
        "an ASAP token, from service to service",
        "--issuer orders --audience billing --key-directory keys/private",
        _add_asap,
        _sign_asap,
    ),
    "connect": Profile(
        "a Connect token, for one request of an app",
        "GET 'https://x.atlassian.net/rest/api/2/issue?id=7' --issuer my-app"
        " --secret-from secret.txt",
        _add_connect,
        _sign_connect,
    ),
    "forge": Profile(
        "a token that looks like Forge's, for tests",
        "--app-id ari:cloud:ecosystem::app/8db33309 --kid test --key-from key.pem",
        _add_forge,
        partial(_sign_claims, forge_claims, "RS256"),
    ),
    "jitsi": Profile(
        "a token of Jitsi's dialect of ASAP",
        "--issuer meet --audience jitsi --room standup --kid test --key-from key.pem",
        _add_jitsi,
        partial(_sign_claims, jitsi.claims, None),
    ),
}
