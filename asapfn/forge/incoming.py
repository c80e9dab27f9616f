"""Forge, the receiving side: the tokens by which Atlassian calls an app's remote.

Which app a token is for, and by which of Atlassian's key sets it is verified, is for the caller to
say. The token says it too; but a verifier that believed it would accept any app's token.
"""

import re
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from asapfn._core import verification
from asapfn.checks import claim_equals
from asapfn.errors import TokenRejected, shown
from asapfn.forge.invocation import (
    api_host_is_one_of,
    app_is_audience,
    environment_is_one_of,
    ids_agree,
    members_have_types,
)
from asapfn.guards import has_key_id
from asapfn.resolvers import jwks
from asapfn.resolvers.jwks import key_sets, read_jwks, without_query
from asapfn.resolvers.sources import require_https
from asapfn.types import (
    Caching,
    Clock,
    Fetch,
    Key,
    Names,
    Observe,
    Policy,
    Resolver,
    Unverified,
    Verify,
    as_names,
    require_bool,
)

__all__ = ["API_HOSTS", "keys", "policy", "verifier"]

# Of production, and of staging.
_KEY_SETS: Final[Mapping[bool, str]] = {
    False: "https://forge.cdn.prod.atlassian-dev.net/.well-known/jwks.json",
    True: "https://forge.cdn.stg.atlassian-dev.net/.well-known/jwks.json",
}
# As the examples of "Forge Remote essentials" have them; of staging, the second.
API_HOSTS: Final = ("api.atlassian.com", "api.stg.atlassian.com")
_ARI: Final = re.compile(r"ari:cloud:ecosystem::app/[\w-]+", re.ASCII)
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,50}", re.ASCII)
_PLACE: Final = re.compile(r"\{(?:icLabel|IC_LABEL)\}")
# White space; and a shell's ${icLabel}, whose dollar sign would stay in the URL.
_NO_URL: Final = re.compile(r"\s|\$\{")
_PLACE_IN_HOST: Final = re.compile(r"[^:]*://[^/?#{]*\{")


def keys(
    fetch: Fetch,
    *,
    staging: bool = False,
    isolated_cloud: str | None = None,
    caching: Caching = Caching(),
    observe: Observe | None = None,
) -> Resolver:
    """Find the keys that Forge signs its tokens with.

    Args:
        fetch: The way to the network, such as `adapters.httpx.fetcher()`.
        staging: Whether the keys are those of Atlassian's own staging. It has nothing to do with
            where the app is deployed to: its DEVELOPMENT and STAGING are called with tokens of
            production's keys. For those there is `policy(environment_types=...)`.
        isolated_cloud: The URL template of the key sets of Isolated Cloud, as the app's owner got
            it at onboarding: https, with one `{icLabel}` or `{IC_LABEL}` in its path or query,
            where the token's label is put. None refuses tokens with a label.
        caching: How long to remember a set, and how often to ask for it.
        observe: Receives every event but a plain hit.

    Returns:
        A resolver, as `resolvers.jwks` makes it. Make one for the process and share it. A token
        with a label verifies by the key set of its label alone, one without by Forge's own. It
        raises TokenRejected `unknown_key` for a label whose set lacks the key, or that has no set.
        Put no `cached` around it: that does not know of labels.

    Raises:
        TypeError: If `staging` is no bool.
        ValueError: If `isolated_cloud` is not such a template, or a bound in `caching` is negative,
            infinite or not a number.
    """
    require_bool(staging, "staging")
    unlabelled = jwks(_KEY_SETS[staging], fetch, caching=caching, observe=observe)
    if isolated_cloud is None:
        return partial(_by_label, unlabelled, None)
    _require_template(isolated_cloud)
    labelled = key_sets(
        partial(_labelled_url, isolated_cloud),
        without_query(isolated_cloud),
        fetch,
        read=read_jwks("sig"),
        absent=(403, 404),
        caching=caching,
        observe=observe,
    )
    return partial(_by_label, unlabelled, labelled)


def policy(
    resolver: Resolver,
    app_ids: Names,
    *,
    environment_types: Names | None = None,
    api_hosts: Names = API_HOSTS,
    leeway: float = 10.0,
    now: Clock = time.time,
) -> Policy:
    """What is demanded of Forge's invocation tokens.

    Args:
        resolver: Finds keys: `keys(...)`.
        app_ids: The app's ARI as its manifest has it, `ari:cloud:ecosystem::app/<uuid>`; or those
            of several apps that this remote serves. Which of them a token is for is its `aud`.
        environment_types: Where the app must be deployed to, as `forge deploy -e` has it:
            `PRODUCTION`, `STAGING` or `DEVELOPMENT`, or several. None accepts any: a remote that
            serves production should name it, since an app in development calls with tokens of the
            same app, signed with the same keys.
        api_hosts: The hosts that the remote may be sent back to, by `app.apiBaseUrl`. Isolated
            Cloud and government clouds may have hosts of their own.
        leeway: Seconds by which clocks may differ.
        now: The clock, seconds since the epoch.

    Returns:
        The policy. Of `app`, `context` and `principal` the documented members are checked where
        they are there: their types; that `app.id` is the `aud`, and one of `app_ids` where that
        names several; that the API base URL is an https URL of one of `api_hosts`; and that the
        installation and the cloud ids are the same wherever they are named. That they are there is
        for `invocation` to demand. A token of Isolated Cloud has an `icLabel`, by which the
        resolver finds its keys (see `keys`): of 1 to 50 of `a-z 0-9 _ -`, and one alone.

    Raises:
        TypeError: If an app's id, an environment type or a host is not a str.
        ValueError: If there is no app, one of `app_ids` is not an app's ARI, an environment type
            is not in upper case, a host is none, or the leeway is negative or not finite.

    Source: Atlassian Forge, "Forge Remote essentials".
    """
    apps = as_names(app_ids, "app_ids")
    if not all(map(_ARI.fullmatch, apps)):
        what = "an app's ARI, ari:cloud:ecosystem::app/<uuid>, as the manifest has it"
        raise ValueError(f"each of app_ids is {what}")
    checks = [
        claim_equals("iss", "forge/invocation-token"),
        members_have_types,
        app_is_audience(apps),
        api_host_is_one_of(api_hosts),
        ids_agree,
    ]
    if environment_types is not None:
        checks.append(environment_is_one_of(environment_types))
    return verification.policy(
        resolver,
        *checks,
        audience=apps,
        algorithms=["RS256"],
        required=("iss", "iat", "nbf", "exp", "jti"),
        leeway=leeway,
        guards=[has_key_id, label_is_well_formed],
        now=now,
    )


def verifier(
    resolver: Resolver,
    app_ids: Names,
    *,
    environment_types: Names | None = None,
    api_hosts: Names = API_HOSTS,
    leeway: float = 10.0,
    now: Clock = time.time,
    remember: int = 1024,
) -> Verify:
    """Make a function that verifies Forge's invocation tokens, for `bearer`.

    Its arguments are those of `policy`, and `remember`: the most tokens that are remembered, as for
    `asapfn.verifier`.

    Returns:
        An async function from a token to a verified `Token`; `invocation(token)` gives what it
        says. It raises TokenRejected and Unavailable.

    Raises:
        TypeError: As for `policy`.
        ValueError: As for `policy`, or if `remember` is negative or no int.
    """
    asked = policy(
        resolver,
        app_ids,
        environment_types=environment_types,
        api_hosts=api_hosts,
        leeway=leeway,
        now=now,
    )
    return verification.verifier(asked, remember=remember)


def label_is_well_formed(unverified: Unverified, /) -> None:
    """An icLabel is 1 to 50 of a-z 0-9 _ -."""
    _label(unverified)


def _label(unverified: Unverified) -> str | None:
    """The label of Isolated Cloud, wherever the token has it; None where it is null or absent."""
    parts = (unverified.claims, *unverified.claims.values())
    given = [part["icLabel"] for part in parts if isinstance(part, dict) and "icLabel" in part]
    labels = [label for label in given if label is not None]
    for label in labels:
        if not isinstance(label, str) or not _LABEL.fullmatch(label) or label != labels[0]:
            detail = f"expected one label of 1 to 50 of a-z 0-9 _ -, got {shown(labels)}"
            raise TokenRejected("invalid_claim", detail, claim="icLabel")
    return labels[0] if labels else None


async def _by_label(
    unlabelled: Resolver, labelled: Resolver | None, unverified: Unverified
) -> Key | None:
    label = _label(unverified)
    if label is None:
        return await unlabelled(unverified)
    if labelled is None:
        detail = (
            f"the token is of Isolated Cloud, icLabel {shown(label)}: give forge.keys("
            "isolated_cloud=...) the URL template of its key sets, which the app's owner got"
        )
        raise TokenRejected("invalid_claim", detail, claim="icLabel")
    key = await labelled(unverified)
    if key is None:
        kid = shown(unverified.header.get("kid"))
        detail = f"no key for kid {kid} in the key set of icLabel {shown(label)}"
        raise TokenRejected("unknown_key", detail, claim="icLabel")
    return key


def _labelled_url(template: str, unverified: Unverified) -> str:
    return _PLACE.sub(f"{_label(unverified)}", template)


def _require_template(template: str) -> None:
    """Raise ValueError for what is no https URL with one place for a label behind its host."""
    rest, places = _PLACE.subn("", template)
    if places != 1 or not {"{", "}"}.isdisjoint(rest) or _NO_URL.search(template):
        raise ValueError("isolated_cloud is a URL with one {icLabel} in it, and no other braces")
    # The label is read of a token that is not verified: it must not choose who is asked for keys.
    if _PLACE_IN_HOST.match(template):
        raise ValueError("isolated_cloud has {icLabel} in its path or query, not before these")
    try:
        require_https(_PLACE.sub("label", template))
    except ValueError as error:
        raise ValueError(f"isolated_cloud: {error}") from None
