from typing import Any

import pytest

from asapfn.connect import FEDRAMP_HOSTS, FEDRAMP_STAGING_HOSTS, PRODUCTION_HOSTS, STAGING_HOSTS
from asapfn.connect.hosts import find, require_patterns

TABLES: dict[str, Any] = {
    "production": PRODUCTION_HOSTS,
    "fedramp": FEDRAMP_HOSTS,
    "staging": STAGING_HOSTS,
    "fedramp staging": FEDRAMP_STAGING_HOSTS,
}


@pytest.mark.parametrize(
    ("host", "environment", "first", "second"),
    [
        (
            "acme.atlassian.net",
            "production",
            "https://asap-distribution.us-west-2.prod.atl-asap.net/",
            "https://connect-install-keys.atlassian.com/",
        ),
        (
            "acme.jira.com",
            "production",
            "https://asap-distribution.us-west-2.prod.atl-asap.net/",
            "https://connect-install-keys.atlassian.com/",
        ),
        (
            "acme.atlassian-us-gov-mod.net",
            "fedramp",
            "https://asap-distribution.us-west-2.prod.atl-auth-us-gov-mod.net/",
            "https://cs-migrations--fedrampcdn.us-east-1.prod.cdn.atlassian-us-gov-mod.com/",
        ),
        (
            "acme.jira-dev.com",
            "staging",
            "https://asap-distribution.us-west-2.staging.atl-asap.net/",
            "https://cs-migrations--cdn.us-east-1.staging.public.atl-paas.net/",
        ),
        (
            "acme.atlassian-stg-fedm.net",
            "fedramp staging",
            "https://asap-distribution.us-west-2.staging.atl-auth-us-gov-mod.net/",
            "https://cs-migrations--fedrampcdn.us-east-1.staging.cdn.atlassian-us-gov-mod.com/",
        ),
    ],
)
def test_each_host_is_in_the_table_of_its_environment_alone(
    host: str, environment: str, first: str, second: str
) -> None:
    found = {name: find(table, f"https://{host}/wiki") for name, table in TABLES.items()}
    assert found.pop(environment) == (first, second)
    assert set(found.values()) == {None}


def test_a_table_of_ours_cannot_be_changed() -> None:
    for table in TABLES.values():
        with pytest.raises(TypeError):
            table["*.evil.example"] = "https://evil.example"


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.atlassian.net",
        "https://acme.atlassian.net/",
        "https://ACME.Atlassian.NET/wiki",
        "HTTPS://acme-2_b.atlassian.net:443/wiki/",
    ],
)
def test_a_star_is_one_label(url: str) -> None:
    assert find(PRODUCTION_HOSTS, url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme.atlassian.net",
        "//acme.atlassian.net",
        "http://acme.atlassian.net",
        "ftp://acme.atlassian.net",
        "https://atlassian.net",
        "https://.atlassian.net",
        "https://a.b.atlassian.net",
        "https://acme.atlassian.net.",
        "https://acme.atlassian.net:8443",
        "https://acme.atlassian.net:",
        "https://acme.atlassian.net:443:443",
        "https://acmeatlassian.net",
        "https://acme.atlassian.network",
        "https://acme.atlassian.net.evil.example",
        "https://evil.example/acme.atlassian.net",
        "https://evil.example#.atlassian.net",
        "https://evil.example?.atlassian.net",
        "https://evil.example\\.atlassian.net",
        "https://evil.example/.atlassian.net",
        "https://user@acme.atlassian.net",
        "https://user:x@acme.atlassian.net",
        "https://acme.atlassian.net@evil.example",
        "https://acme.atlassian.net/?a",
        "https://acme.atlassian.net/#a",
        "https://acme.atlassian.net/a b",
        "https://acme.atlassian.net\n",
        " https://acme.atlassian.net",
        "https://acme\n.atlassian.net",
        "https://[::1].atlassian.net",
        "https://%61cme.atlassian.net",
        "https://é.atlassian.net",
        # Without regard to case, these two letters are ASCII's s and k.
        "https://acme.atla\u017fsian.net",
        "https://\u212a.atlassian.net",
        "https://acme\u3002atlassian.net",
    ],
)
def test_what_is_not_plainly_such_a_host_is_not_found(url: str) -> None:
    assert find(PRODUCTION_HOSTS, url) is None


def test_a_pattern_may_name_a_port_and_stars_anywhere() -> None:
    table = {"localhost:2990": 1, "a.*.example": 2, "*": 3, "exact.example": 4, "*.example": 5}
    require_patterns(table)
    assert find(table, "https://localhost:2990/jira") == 1
    assert find(table, "https://localhost") == 3
    assert find(table, "https://a.b.example") == 2
    assert find(table, "https://exact.example") == 4
    assert find(table, "https://other.example") == 5
    assert find(table, "https://b.a.example") is None


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "https://a.example",
        "a.example/",
        "A.example",
        "*a.example",
        "**.example",
        "a..example",
        ".example",
        "example.",
        "a.example:",
        "a.example:443",
        "a.example:x",
        "a@b.example",
        "a.example\n",
    ],
)
def test_a_pattern_that_could_not_match_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="lower case"):
        require_patterns({"*.example": 1, pattern: 2})


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        require_patterns({})
