"""What an invocation token says: which app was called, where it is installed, and by which user."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from asapfn.errors import TokenRejected, one_of, shown
from asapfn.types import Names, Token, as_names

# The documented members and their types. Each may be absent, and null counts as absent.
_CLAIMS: Final[Mapping[str, Any]] = {
    "app": {
        "id": str,
        "installationId": str,
        "apiBaseUrl": str,
        "environment": {"type": str, "id": str},
        "module": {"type": str, "key": str},
        "license": {"isActive": bool},
        "installation": {
            "id": str,
            "contexts": [{"name": str, "apiBaseUrl": str, "cloudId": str}],
        },
    },
    "context": {"cloudId": str},
    "principal": str,
}
# A member of the token that says where the app is installed: its path, API base URL and cloud id.
_Place = tuple[str, str | None, str | None]
_WORDS: Final = {dict: "an object", str: "a text", bool: "true or false", list: "a list"}
# https, a host in lower case and no port, a path of plain segments; braces as Bitbucket has them.
_URL: Final = re.compile(
    r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)"
    r"((?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~{}-]|%7[BDbd])+)*)/?",
    re.ASCII,
)
# Of other products it is not documented that their URLs name the site.
_CLOUD: Final = re.compile(r"/ex/(?:jira|confluence)/([^/]+)(?:/.*)?", re.ASCII)
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
    if split_base_url(base_url) is None:
        raise _invalid("app.apiBaseUrl", "an https URL of a host and a path, no more", base_url)
    return Invocation(
        app=_required(claims, "app.id"),
        installation=_required(claims, "app.installationId"),
        environment_type=_required(claims, "app.environment.type"),
        environment_id=_required(claims, "app.environment.id"),
        module_type=_member(claims, "app.module.type"),
        module_key=_member(claims, "app.module.key"),
        api_base_url=base_url.removesuffix("/"),
        cloud_ids=_clouds(_places(claims)),
        account=_member(claims, "principal"),
        license=_member(claims, "app.license"),
        context=_member(claims, "context"),
    )


def members_have_types(token: Token, /) -> None:
    """The members of app and context, and principal, have their types where they are there."""
    _require_shape(token.claims, _CLAIMS, "")


def _require_shape(value: Any, shape: Any, path: str) -> None:
    """Refuse a value that has not the type of a shape, or not its members or elements."""
    kind: Any = type(shape)
    if kind is type:
        kind = shape
    if type(value) is not kind:
        raise _invalid(path, _WORDS[kind], value)
    if value == "":
        raise _invalid(path, "a text that is not empty", value)
    if kind is dict:
        for name, inner in shape.items():
            if value.get(name) is not None:
                _require_shape(value[name], inner, f"{path}.{name}" if path else name)
    elif kind is list:
        for number, each in enumerate(value):
            _require_shape(each, shape[0], f"{path}[{number}]")


def app_is_audience(app_ids: Names) -> Callable[[Token], None]:
    """Require that the id of app is the aud, or one of several, and one of these apps."""
    served = as_names(app_ids, "app_ids")

    def check(token: Token) -> None:
        """The id of app is the aud."""
        app, audience = _member(token.claims, "app.id"), token.claims["aud"]
        if app is None:
            return
        if app != audience and (type(audience) is str or app not in audience):
            raise _invalid("app.id", f"the aud, {shown(audience)}", app)
        # An aud of several names apps that are not served, too.
        if app not in served:
            raise _invalid("app.id", f"{one_of(served)} (by app_ids)", app)

    return check


def api_host_is_one_of(hosts: Names) -> Callable[[Token], None]:
    """Require that each API base URL is an https URL of one of these hosts, where it is there."""
    allowed = as_names(hosts, "api_hosts")
    for host in allowed:
        match = _URL.fullmatch(f"https://{host}")
        if match is None or match[1] != host:
            raise ValueError("each of api_hosts is a host in lower case, such as api.atlassian.com")
    expected = f"an https URL of {one_of(allowed)} (by api_hosts) and a path, no more"

    def check(token: Token) -> None:
        for path, url, _ in _places(token.claims):
            parts = None if url is None else split_base_url(url)
            if url is not None and (parts is None or parts[0] not in allowed):
                raise _invalid(f"{path}.apiBaseUrl", expected, url)

    check.__doc__ = f"apiBaseUrl of app is an https URL of {one_of(allowed)}"
    return check


def ids_agree(token: Token, /) -> None:
    """The installation and the cloud ids in app and context are the same wherever named."""
    app = token.claims.get("app") or {}
    installation = (app.get("installation") or {}).get("id")
    named = [app.get("installationId")]
    _require_among("app.installation.id", installation, named, "the installationId")
    places = _places(token.claims)
    (_, own, _), *contexts = places
    for path, url, cloud in contexts:
        _require_among(f"{path}.cloudId", cloud, [_cloud_of(url)], "that of its apiBaseUrl")
    base, bases = _without_slash(own), [_without_slash(url) for _, url, _ in contexts]
    _require_among("app.apiBaseUrl", base, bases, "one of those of the installation")
    cloud, clouds = _cloud_of(own), _clouds(contexts)
    _require_among("app.apiBaseUrl", cloud, clouds, "the cloud of the installation")
    cloud = (token.claims.get("context") or {}).get("cloudId")
    _require_among("context.cloudId", cloud, _clouds(places), "that of the installation")


def _require_among(
    path: str, given: str | None, values: Collection[str | None], expected: str
) -> None:
    """Require that a value is one of those that the token has elsewhere, where both are there."""
    if given is None or given in values:
        return
    if others := [value for value in values if value is not None]:
        raise _invalid(path, f"{expected}, {one_of(others)}", given)


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


# Remembered within bounds, since these are asked for every token.
@lru_cache(maxsize=256)
def split_base_url(url: str) -> tuple[str, str] | None:
    """The host and the path, without a slash at its end, of an API base URL; None if it is none."""
    match = _URL.fullmatch(url)
    return None if match is None else (match[1], match[2])


def _places(claims: Mapping[str, Any]) -> list[_Place]:
    """The app, then each context of its installation: its path, API base URL and cloud id."""
    app = claims.get("app") or {}
    contexts = (app.get("installation") or {}).get("contexts") or ()
    places: list[_Place] = [("app", app.get("apiBaseUrl"), None)]
    for number, context in enumerate(contexts):
        path = f"app.installation.contexts[{number}]"
        places.append((path, context.get("apiBaseUrl"), context.get("cloudId")))
    return places


def _without_slash(url: str | None) -> str | None:
    return None if url is None else url.removesuffix("/")


def _clouds(places: Iterable[_Place]) -> tuple[str, ...]:
    """The sites of places, each once, in the order in which they are named."""
    named = [_cloud_of(url) or cloud for _, url, cloud in places]
    return tuple(dict.fromkeys(cloud for cloud in named if cloud is not None))


@lru_cache(maxsize=256)
def _cloud_of(url: str | None) -> str | None:
    """The site that an API base URL names, if it does."""
    parts = None if url is None else split_base_url(url)
    match = None if parts is None else _CLOUD.fullmatch(parts[1])
    return None if match is None else match[1]


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


def _invalid(path: str, expected: str, given: Any) -> TokenRejected:
    detail = f"{path}: expected {expected}, got {shown(given)}"
    return TokenRejected("invalid_claim", detail, claim=path)
