"""What a Forge invocation token says is checked where it is there, and read with names."""

import time
from typing import Any

import pytest

from asapfn import forge
from asapfn._core.signing import sign
from asapfn.errors import TokenRejected
from asapfn.resolvers import keys_by_id
from asapfn.types import Token
from tests.support.invocations import (
    ACCOUNT,
    API,
    APP,
    CLOUD,
    ENVIRONMENT,
    INSTALLATION,
    OTHER_CLOUD,
    invocation_claims,
)
from tests.support.keyring import key_for

pytestmark = pytest.mark.no_event_loop

KEY = key_for("RS256", "forge")
# As the documentation has it, and as apps in more than one product see it.
JIRA = f"https://api.atlassian.com/ex/jira/{CLOUD}"
CONTEXTS = [
    {"name": "jira", "apiBaseUrl": JIRA, "cloudId": CLOUD},
    {"name": "confluence", "apiBaseUrl": API, "cloudId": CLOUD},
]


async def verified(options: dict[str, Any] | None = None, **changes: Any) -> Token:
    verify = forge.verifier(keys_by_id([KEY]), APP, **options or {})
    return await verify(sign(invocation_claims(time.time(), **changes), KEY))


async def refused(options: dict[str, Any] | None = None, **changes: Any) -> TokenRejected:
    with pytest.raises(TokenRejected) as caught:
        await verified(options, **changes)
    assert caught.value.detail
    return caught.value


async def test_the_invocation_of_the_documentation_is_read_whole() -> None:
    invocation = forge.invocation(await verified())
    assert invocation[:9] == (
        APP,
        INSTALLATION,
        "PRODUCTION",
        ENVIRONMENT,
        "xen:macro",
        "forge-remote-app-boot",
        API,
        (CLOUD,),
        ACCOUNT,
    )
    assert invocation.license is not None
    assert invocation.license["isActive"] is True
    assert invocation.context is not None
    assert invocation.context["extension"]["type"] == "macro"


@pytest.mark.parametrize("absent", [..., None])
async def test_what_only_calls_from_the_user_interface_have_may_be_absent(absent: Any) -> None:
    token = await verified(
        principal=absent,
        context=absent,
        app__license=absent,
        app__module=absent,
        app__installation=absent,
    )
    invocation = forge.invocation(token)
    assert invocation.account is None
    assert invocation.context is None
    assert invocation.license is None
    assert invocation.module_type is invocation.module_key is None
    assert invocation.cloud_ids == (CLOUD,)


REQUIRED = ["id", "installationId", "apiBaseUrl", "environment__type", "environment__id"]


@pytest.mark.parametrize("absent", [..., None])
@pytest.mark.parametrize("name", REQUIRED)
async def test_an_invocation_names_app_installation_environment_and_api(
    name: str, absent: Any
) -> None:
    token = await verified(**{f"app__{name}": absent})
    with pytest.raises(TokenRejected) as caught:
        forge.invocation(token)
    path = f"app__{name}".replace("__", ".")
    assert (caught.value.reason, caught.value.claim) == ("missing_claim", path)
    assert caught.value.detail == f"the token has no {path}"


async def test_a_token_without_app_verifies_and_is_no_invocation() -> None:
    token = await verified(app=...)
    with pytest.raises(TokenRejected, match=r"missing_claim: the token has no app\.apiBaseUrl"):
        forge.invocation(token)


TEXTS = [
    *("app__id", "app__installationId", "app__apiBaseUrl", "app__environment__type", "principal"),
    *("app__environment__id", "app__module__type", "app__module__key", "app__installation__id"),
    "context__cloudId",
]
OBJECTS = ["app", "app__environment", "app__module", "app__license", "app__installation", "context"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[(path, value) for path in TEXTS for value in (7, [APP], "")],
        *[(path, value) for path in OBJECTS for value in (7, "", [{}])],
        *[("app__license__isActive", value) for value in (1, "true")],
        *[("app__installation__contexts", value) for value in ({}, "x", 7)],
    ],
)
async def test_a_member_of_another_type_is_refused(path: str, value: Any) -> None:
    error = await refused(**{path: value})
    where = path.replace("__", ".")
    assert (error.reason, error.claim) == ("invalid_claim", where)
    assert error.detail.startswith(f"{where}: expected ")


@pytest.mark.parametrize(
    ("context", "where"),
    [
        ("jira", "[0]"),
        ({"name": 7}, "[0].name"),
        ({"apiBaseUrl": ["x"]}, "[0].apiBaseUrl"),
        ({"cloudId": 7}, "[0].cloudId"),
        ({"cloudId": ""}, "[0].cloudId"),
    ],
)
async def test_a_context_of_the_installation_has_types_too(context: Any, where: str) -> None:
    error = await refused(app__installation__contexts=[context])
    assert (error.reason, error.claim) == ("invalid_claim", f"app.installation.contexts{where}")


async def test_app_id_is_the_audience() -> None:
    other = f"{APP}0"
    error = await refused({}, app__id=other)
    assert (error.reason, error.claim) == ("invalid_claim", "app.id")
    assert error.detail == f'app.id: expected the aud, "{APP}", got "{other}"'
    assert forge.invocation(await verified(aud=[APP, other])).app == APP


async def test_an_invocation_is_of_an_app_that_this_remote_serves() -> None:
    """A token for two apps, of which the remote serves one, is not the other's invocation."""
    other = f"{APP}0"
    error = await refused(aud=[APP, other], app__id=other)
    assert (error.reason, error.claim) == ("invalid_claim", "app.id")
    assert error.detail == f'app.id: expected "{APP}" (by app_ids), got "{other}"'
    verify = forge.verifier(keys_by_id([KEY]), [APP, other])
    claims = invocation_claims(time.time(), aud=[APP, other], app__id=other)
    assert forge.invocation(await verify(sign(claims, KEY))).app == other


@pytest.mark.parametrize(
    "url",
    [
        "http://api.atlassian.com/ex/confluence/x",
        "https://api.atlassian.com:443/ex/confluence/x",
        "https://api.atlassian.com:8443/ex/confluence/x",
        "https://user@api.atlassian.com/ex/confluence/x",
        "https://api.atlassian.com@evil.example/ex/confluence/x",
        "https://evil.example/ex/confluence/x",
        "https://api.atlassian.com.evil.example/ex/confluence/x",
        "https://evil-api.atlassian.com/ex/confluence/x",
        "https://atlassian.com/ex/confluence/x",
        "https://API.atlassian.com/ex/confluence/x",
        "https://api.atlassian.com./ex/confluence/x",
        "https://api.atlassian.com\\@evil.example/",
        "https://api.atlassian.com/ex/../x",
        "https://api.atlassian.com/ex/confluence/..",
        "https://api.atlassian.com/ex/./x",
        "https://api.atlassian.com/ex/%2e%2e/x",
        "https://api.atlassian.com/ex//x",
        "https://api.atlassian.com/ex/x//",
        "https://api.atlassian.com//",
        "https://api.atlassian.com/ex/x;y",
        "https://api.atlassian.com/ex/x?y",
        "https://api.atlassian.com/ex/x#y",
        "https://api.atlassian.com/ex/x y",
        "https://api.atlassian.com/ex/x\n",
        "https://api.atlassian.com/ex/\u00e9",
        "//api.atlassian.com/ex/x",
        "api.atlassian.com/ex/x",
        "javascript:alert(1)",
        "https://",
        "https://localhost/ex/x",
    ],
)
async def test_an_api_base_url_is_of_atlassians_api_over_https(url: str) -> None:
    error = await refused(app__apiBaseUrl=url, app__installation=...)
    assert (error.reason, error.claim) == ("invalid_claim", "app.apiBaseUrl")
    contexts = [{"name": "x", "apiBaseUrl": url}]
    error = await refused(app__apiBaseUrl=..., app__installation__contexts=contexts)
    assert error.claim == "app.installation.contexts[0].apiBaseUrl"


@pytest.mark.parametrize(
    ("url", "clouds"),
    [
        (f"https://api.atlassian.com/ex/jira/{CLOUD}", (CLOUD,)),
        (f"https://api.atlassian.com/ex/jira/{CLOUD}/", (CLOUD,)),
        (f"https://api.stg.atlassian.com/ex/confluence/{CLOUD}", (CLOUD,)),
        ("https://api.atlassian.com/ex/bitbucket/{b7ea02c9}", ()),
        ("https://api.atlassian.com/ex/bitbucket/%7Bb7ea02c9%7d", ()),
        ("https://api.atlassian.com", ()),
        ("https://api.atlassian.com/", ()),
        ("https://api.atlassian.com/2.0", ()),
    ],
)
async def test_a_cloud_id_is_read_of_the_api_base_url(url: str, clouds: tuple[str, ...]) -> None:
    changes = {"app__apiBaseUrl": url, "app__installation": ..., "context__cloudId": ...}
    invocation = forge.invocation(await verified(**changes))
    assert invocation.cloud_ids == clouds
    assert invocation.api_base_url == url.removesuffix("/")


async def test_other_hosts_are_the_callers_to_name() -> None:
    url = f"https://api.orange.example/ex/jira/{CLOUD}"
    changes = {"app__apiBaseUrl": url, "app__installation": ...}
    error = await refused(**changes)
    assert error.detail == (
        'app.apiBaseUrl: expected an https URL of "api.atlassian.com" or "api.stg.atlassian.com"'
        f' (by api_hosts) and a path, no more, got "{url}"'
    )
    assert await verified({"api_hosts": "api.orange.example"}, **changes)
    assert (await refused({"api_hosts": "api.orange.example"})).claim == "app.apiBaseUrl"


@pytest.mark.parametrize(
    "host", ["", "https://x.example", "x.example/ex", "x.example/", "X.example", "x", "a b"]
)
def test_a_host_of_the_api_is_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="api_hosts"):
        forge.policy(keys_by_id([]), APP, api_hosts=host)


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"app__installation__id": f"{INSTALLATION}0"}, "app.installation.id"),
        ({"app__installationId": f"{INSTALLATION}0"}, "app.installation.id"),
        ({"context__cloudId": OTHER_CLOUD}, "context.cloudId"),
        ({"app__apiBaseUrl": JIRA.replace(CLOUD, OTHER_CLOUD)}, "app.apiBaseUrl"),
        ({"app__apiBaseUrl": JIRA}, "app.apiBaseUrl"),
        (
            {"app__installation__contexts": [{"name": "x"}, {"apiBaseUrl": JIRA}]},
            "app.apiBaseUrl",
        ),
        (
            {"app__installation__contexts": [{"apiBaseUrl": API, "cloudId": OTHER_CLOUD}]},
            "app.installation.contexts[0].cloudId",
        ),
        (
            {"app__installation__contexts": [*CONTEXTS, {"apiBaseUrl": API, "cloudId": "x"}]},
            "app.installation.contexts[2].cloudId",
        ),
        (
            {
                "app__apiBaseUrl": ...,
                "app__installation__contexts": [{"cloudId": OTHER_CLOUD}],
            },
            "context.cloudId",
        ),
        # Contexts that name clouds without a URL, or by a URL with a path behind the cloud.
        ({"app__installation__contexts": [{"cloudId": OTHER_CLOUD}]}, "app.apiBaseUrl"),
        (
            {"app__installation__contexts": [{"cloudId": OTHER_CLOUD}], "context": ...},
            "app.apiBaseUrl",
        ),
        (
            {
                "app__installation__contexts": [{"cloudId": OTHER_CLOUD}],
                "context__cloudId": OTHER_CLOUD,
            },
            "app.apiBaseUrl",
        ),
        (
            {
                "app__installation__contexts": [
                    {"apiBaseUrl": f"{API}/x"},
                    {"apiBaseUrl": f"{API}/rest", "cloudId": OTHER_CLOUD},
                ],
            },
            "app.installation.contexts[1].cloudId",
        ),
        *[
            (
                {
                    "app__apiBaseUrl": f"{API}{rest}",
                    "app__installation": ...,
                    "context__cloudId": OTHER_CLOUD,
                },
                "context.cloudId",
            )
            for rest in ("/rest", "/rest/api/3", "/{x}", "/%7Bx%7D", "/rest/")
        ],
        (
            {"app__apiBaseUrl": API.replace(CLOUD, "%7Bx%7D"), "app__installation": ...},
            "context.cloudId",
        ),
    ],
)
async def test_installation_and_cloud_ids_agree(changes: dict[str, Any], claim: str) -> None:
    error = await refused(**changes)
    assert (error.reason, error.claim) == ("invalid_claim", claim)
    # Also where the token was verified by a policy without that check.
    token = Token({}, invocation_claims(time.time(), **changes), 0.0, 0.0)
    with pytest.raises(TokenRejected) as caught:
        forge.invocation(token)
    assert caught.value.claim == claim


@pytest.mark.parametrize("url", ["http://api.atlassian.com/ex/jira/x", "x", "https://x/../y"])
def test_a_base_url_that_is_none_is_no_invocations_whoever_verified_it(url: str) -> None:
    changes = {"app__apiBaseUrl": url, "app__installation": ...}
    with pytest.raises(TokenRejected) as caught:
        forge.invocation(Token({}, invocation_claims(time.time(), **changes), 0.0, 0.0))
    assert (caught.value.reason, caught.value.claim) == ("invalid_claim", "app.apiBaseUrl")


async def test_an_app_in_two_products_of_a_site_is_in_one_cloud() -> None:
    invocation = forge.invocation(await verified(app__installation__contexts=CONTEXTS))
    assert invocation.cloud_ids == (CLOUD,)
    far = {"name": "jira", "apiBaseUrl": JIRA.replace(CLOUD, OTHER_CLOUD)}
    token = await verified(app__installation__contexts=[far, CONTEXTS[1]])
    assert forge.invocation(token).cloud_ids == (CLOUD, OTHER_CLOUD)


async def test_a_cloud_that_a_context_names_by_its_id_alone_is_the_apps() -> None:
    contexts = [{"name": "jira"}, {"cloudId": OTHER_CLOUD}, {"name": "x", "cloudId": CLOUD}]
    token = await verified(app__installation__contexts=contexts)
    assert forge.invocation(token).cloud_ids == (CLOUD, OTHER_CLOUD)
    # Of other products it is not documented that the URL names a cloud.
    workspace = "https://api.atlassian.com/ex/bitbucket/%7Bb7ea02c9%7D"
    token = await verified(app__apiBaseUrl=workspace, app__installation__contexts=contexts)
    assert forge.invocation(token).cloud_ids == (OTHER_CLOUD, CLOUD)


async def test_the_cloud_of_an_api_base_url_has_a_path_behind_it_or_none() -> None:
    for rest in ("", "/", "/rest", "/rest/api/3"):
        token = await verified(app__apiBaseUrl=f"{API}{rest}", app__installation=...)
        assert forge.invocation(token).cloud_ids == (CLOUD,)


@pytest.mark.parametrize("kind", ["PRODUCTION", "STAGING", "DEVELOPMENT", "CUSTOM"])
async def test_any_environment_is_accepted_unless_one_is_demanded(kind: str) -> None:
    invocation = forge.invocation(await verified(app__environment__type=kind))
    assert invocation.environment_type == kind


@pytest.mark.parametrize("kind", ["STAGING", "DEVELOPMENT", "production", "PRODUCTION ", "CUSTOM"])
async def test_another_environment_than_the_demanded_is_refused(kind: str) -> None:
    error = await refused({"environment_types": "PRODUCTION"}, app__environment__type=kind)
    assert (error.reason, error.claim) == ("invalid_claim", "app.environment.type")
    assert error.detail == f'app.environment.type: expected "PRODUCTION", got "{kind}"'


@pytest.mark.parametrize("path", ["app", "app__environment", "app__environment__type"])
@pytest.mark.parametrize("absent", [..., None])
async def test_an_environment_that_is_demanded_must_be_there(path: str, absent: Any) -> None:
    error = await refused({"environment_types": ["PRODUCTION"]}, **{path: absent})
    assert (error.reason, error.claim) == ("missing_claim", "app.environment.type")


async def test_several_environments_may_be_demanded() -> None:
    both = {"environment_types": ["STAGING", "DEVELOPMENT"]}
    assert await verified(both, app__environment__type="STAGING")
    assert (await refused(both)).claim == "app.environment.type"


@pytest.mark.parametrize(
    ("types", "error"),
    [("production", ValueError), ("", ValueError), ([], ValueError), ([1], TypeError)],
)
def test_environment_types_are_written_as_forge_writes_them(types: Any, error: Any) -> None:
    with pytest.raises(error, match="environment_types"):
        forge.policy(keys_by_id([]), APP, environment_types=types)
