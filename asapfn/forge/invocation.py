"""What an invocation token says: which app was called, where it is installed, and by which user."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from asapfn.errors import TokenRejected, listed, one_of, shown
from asapfn.types import Names, Token, as_names

# A parent comes before its members. A member that is null counts as absent.
_TYPES: Final[Mapping[str, type]] = {
    "app": dict,
    "app.id": str,
    "app.installationId": str,
    "app.apiBaseUrl": str,
    "app.environment": dict,
    "app.environment.type": str,
    "app.environment.id": str,
    "app.module": dict,
    "app.module.type": str,
    "app.module.key": str,
    "app.license": dict,
    "app.license.isActive": bool,
    "app.installation": dict,
    "app.installation.id": str,
    "app.installation.contexts": list,
    "context": dict,
    "context.cloudId": str,
    "principal": str,
}
_AGAIN: Final = "app.installation.id"
_CONTEXTS: Final = "app.installation.contexts"
_OF_A_CONTEXT: Final = ("name", "apiBaseUrl", "cloudId")
_WORDS: Final = {dict: "an object", str: "a text", bool: "true or false", list: "a list"}
# https, a host in lower case and no port, a path of plain segments; braces as Bitbucket has them.
_URL: Final = re.compile(
    r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)"
    r"((?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~{}-]|%7[BDbd])+)*)/?",
    re.ASCII,
)
_CLOUD: Final = re.compile(r"/ex/[a-z-]+/(?:\{|%7[Bb])?([A-Za-z0-9._~-]+)(?:\}|%7[Dd])?", re.ASCII)
_TYPE_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


class Invocation(NamedTuple):
    """Who called which app's remote, and from where. None stands for what the token does not say.

    Attributes:
        app: The app's id, `ari:cloud:ecosystem::app/<uuid>`; one of the verifier's `app_ids`.
        installation: The id of the app's installation in a site or workspace: what the remote
            stores belongs to it. It is another after the app is installed again.
        environment_type: Where the app is deployed to: `PRODUCTION`, `STAGING` or `DEVELOPMENT`.
        environment_id: The id of that environment.
        module_type: The kind of module that called, such as `xen:macro` or `core:endpoint`.
        module_key: That module's key in the manifest.
        api_base_url: Below which the remote may call back: see `authorizer`.
        cloud_ids: The sites that the installation is in, that of `api_base_url` first; empty where
            its URLs name none.
        account: The user's account id, for calls from the user interface; else None.
        license: The app's licence, for paid apps in production; else None. Its `isActive` is a
            bool where it is there.
        context: What the module gave as its context; None for calls from the backend. Parts of it,
            such as `extension`, come from the browser.
    """

    app: str
    installation: str
    environment_type: str
    environment_id: str
    module_type: str | None
    module_key: str | None
    api_base_url: str
    cloud_ids: tuple[str, ...]
    account: str | None
    license: Mapping[str, Any] | None
    context: Mapping[str, Any] | None


def invocation(token: Token) -> Invocation:
    """Give what a verified invocation token says.

    Args:
        token: The token, as `verifier` gives it.

    Returns:
        The invocation.

    Raises:
        TokenRejected: `missing_claim` if the token does not name app, installation, environment
            and API base URL; `invalid_claim` if a member is of the wrong type, or installation
            or cloud ids disagree. The verifier has refused all but the first already.

    Source: Atlassian Forge, "Forge Remote essentials", "The Forge Invocation Token (FIT)".
    """
    members_have_types(token)
    ids_agree(token)
    claims = token.claims
    base_url = _required(claims, "app.apiBaseUrl")
    _parts(base_url, "app.apiBaseUrl")
    return Invocation(
        app=_required(claims, "app.id"),
        installation=_required(claims, "app.installationId"),
        environment_type=_required(claims, "app.environment.type"),
        environment_id=_required(claims, "app.environment.id"),
        module_type=_member(claims, "app.module.type"),
        module_key=_member(claims, "app.module.key"),
        api_base_url=base_url.removesuffix("/"),
        cloud_ids=_cloud_ids(claims),
        account=_member(claims, "principal"),
        license=_member(claims, "app.license"),
        context=_member(claims, "context"),
    )


def members_have_types(token: Token, /) -> None:
    """The members of app and context, and principal, have their types where they are there."""
    for path, kind in _TYPES.items():
        value = _member(token.claims, path)
        if value is not None:
            _require_type(value, kind, path)
    for number, context in enumerate(_contexts(token.claims)):
        path = f"{_CONTEXTS}[{number}]"
        _require_type(context, dict, path)
        for name in _OF_A_CONTEXT:
            if context.get(name) is not None:
                _require_type(context[name], str, f"{path}.{name}")


def app_is_audience(token: Token, /) -> None:
    """The id of app is the aud."""
    app, audience = _member(token.claims, "app.id"), token.claims["aud"]
    if app is not None and app not in ([audience] if isinstance(audience, str) else audience):
        raise _invalid("app.id", f"the aud, {shown(audience)}", app)


def api_host_is_one_of(hosts: Names) -> Callable[[Token], None]:
    """Require that each API base URL is an https URL of one of these hosts, where it is there."""
    allowed = as_names(hosts, "api_hosts")
    for host in allowed:
        match = _URL.fullmatch(f"https://{host}")
        if match is None or match[2]:
            raise ValueError("each of api_hosts is a host in lower case, such as api.atlassian.com")
    expected = f"{one_of(allowed)} (by api_hosts)"

    def check(token: Token) -> None:
        for path, url in _base_urls(token.claims):
            host, _ = _parts(url, path)
            if host not in allowed:
                raise _invalid(path, f"a URL of {expected}", url)

    check.__doc__ = f"apiBaseUrl of app is an https URL of {one_of(allowed)}"
    return check


def ids_agree(token: Token, /) -> None:
    """The installation and the cloud ids in app and context are the same wherever named."""
    claims = token.claims
    installation, again = _member(claims, "app.installationId"), _member(claims, _AGAIN)
    if None not in (installation, again) and again != installation:
        raise _invalid(_AGAIN, f"the installationId, {shown(installation)}", again)
    for number, context in enumerate(_contexts(claims)):
        cloud, named = _cloud_of(context.get("apiBaseUrl") or ""), context.get("cloudId")
        if None not in (cloud, named) and named != cloud:
            path = f"{_CONTEXTS}[{number}].cloudId"
            raise _invalid(path, f"that of its apiBaseUrl, {shown(cloud)}", named)
    own = _member(claims, "app.apiBaseUrl")
    others = [url.removesuffix("/") for path, url in _base_urls(claims) if path != "app.apiBaseUrl"]
    if own is not None and others and own.removesuffix("/") not in others:
        expected = f"one of those of the installation, {listed(others, 'or')}"
        raise _invalid("app.apiBaseUrl", expected, own)
    cloud, clouds = _member(claims, "context.cloudId"), _cloud_ids(claims)
    if cloud is not None and clouds and cloud not in clouds:
        raise _invalid("context.cloudId", f"that of the installation, {one_of(clouds)}", cloud)


def environment_is_one_of(types: Names) -> Callable[[Token], None]:
    """Require the type of the environment that the app is deployed to."""
    allowed = as_names(types, "environment_types")
    if not all(map(_TYPE_NAME.fullmatch, allowed)):
        raise ValueError("environment_types are in upper case: PRODUCTION, STAGING, DEVELOPMENT")
    path = "app.environment.type"

    def check(token: Token) -> None:
        given = _required(token.claims, path)
        if given not in allowed:
            raise _invalid(path, one_of(allowed), given)

    check.__doc__ = f"the environment of app is of type {one_of(allowed)}"
    return check


def split_base_url(url: str) -> tuple[str, str] | None:
    """The host and the path, without a slash at its end, of an API base URL; None if it is none."""
    match = _URL.fullmatch(url)
    return None if match is None else (match[1], match[2])


def _parts(url: str, path: str) -> tuple[str, str]:
    parts = split_base_url(url)
    if parts is None:
        raise _invalid(path, "an https URL of a host and a path, no more", url)
    return parts


def _cloud_ids(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The sites of an installation, each once, in the order in which they are named."""
    named = [_cloud_of(url) for _, url in _base_urls(claims)]
    named += [context.get("cloudId") for context in _contexts(claims)]
    return tuple(dict.fromkeys(cloud for cloud in named if cloud is not None))


def _cloud_of(url: str) -> str | None:
    parts = split_base_url(url)
    match = None if parts is None else _CLOUD.fullmatch(parts[1])
    return None if match is None else match[1]


def _base_urls(claims: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The API base URL of the app, and those of the installation's contexts, with their paths."""
    own = _member(claims, "app.apiBaseUrl")
    if own is not None:
        yield "app.apiBaseUrl", own
    for number, context in enumerate(_contexts(claims)):
        if context.get("apiBaseUrl") is not None:
            yield f"{_CONTEXTS}[{number}].apiBaseUrl", context["apiBaseUrl"]


def _contexts(claims: Mapping[str, Any]) -> list[Any]:
    return _member(claims, _CONTEXTS) or []


def _member(claims: Mapping[str, Any], path: str) -> Any:
    """A member of a member, by names with dots between; None if it is absent or null."""
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


def _required(claims: Mapping[str, Any], path: str) -> str:
    value: str | None = _member(claims, path)
    if value is None:
        raise TokenRejected("missing_claim", f"the token has no {path}", claim=path)
    return value


def _require_type(value: Any, kind: type, path: str) -> None:
    if type(value) is not kind:
        raise _invalid(path, _WORDS[kind], value)
    if value == "":
        raise _invalid(path, "a text that is not empty", value)


def _invalid(path: str, expected: str, given: Any) -> TokenRejected:
    detail = f"{path}: expected {expected}, got {shown(given)}"
    return TokenRejected("invalid_claim", detail, claim=path)
