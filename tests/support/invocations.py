"""What Forge sends: the claims of the example in "Forge Remote essentials", from a time on.

The example is of Atlassian's staging; here its API is production's, and its app is in production.
"""

import copy
from typing import Any

APP = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107"
INSTALLATION = "ari:cloud:ecosystem::installation/0a3a7799-53ae-4a5b-9e7e-03338980abb5"
ENVIRONMENT = (
    "ari:cloud:ecosystem::environment/8db33809-1f32-48bb-8c52-5877dab48107/"
    "aa911f10-c54b-4b93-9e27-dd2947840b9e"
)
CLOUD = "d0d52620-3203-4cfa-8db5-f2587155f0dd"
OTHER_CLOUD = "4c822e2f-510f-48b9-b8d2-8419d0932949"
API = f"https://api.atlassian.com/ex/confluence/{CLOUD}"
ACCOUNT = "655362:312d3308-8954-42b0-aa38-771a10c88656"

_EXAMPLE: dict[str, Any] = {
    "app": {
        "id": APP,
        "version": "16",
        "appVersion": "16.0.1",
        "installationId": INSTALLATION,
        "apiBaseUrl": API,
        "environment": {"type": "PRODUCTION", "id": ENVIRONMENT},
        "module": {"type": "xen:macro", "key": "forge-remote-app-boot"},
        "license": {
            "isActive": True,
            "billingPeriod": "MONTHLY",
            "capabilitySet": "capabilityAdvanced",
            "isEvaluation": False,
            "supportEntitlementNumber": None,
            "type": "commercial",
            "modes": ["USER_ACCESS"],
        },
        "installation": {
            "id": INSTALLATION,
            "contexts": [{"name": "confluence", "apiBaseUrl": API, "cloudId": CLOUD}],
        },
    },
    "context": {
        "localId": "4654fa12-4c7c-4792-95a9-6019edb27953",
        "cloudId": CLOUD,
        "moduleKey": "forge-remote-app-boot",
        "siteUrl": "https://pbray2.jira-dev.com",
        "extension": {"type": "macro", "content": {"id": "5341185"}},
    },
    "principal": ACCOUNT,
    "aud": APP,
    "iss": "forge/invocation-token",
    "jti": "d8a496253ec8c18a54631e4c82cbedd5d0ae8570",
}


def invocation_claims(now: float, **changes: Any) -> dict[str, Any]:
    """The example's claims from a time on.

    Args:
        now: Seconds since the epoch.
        **changes: Members by their path, with __ for the dots: `app__environment__type="STAGING"`.
            `...` leaves one out.
    """
    claims = copy.deepcopy(_EXAMPLE) | {"iat": int(now), "nbf": int(now), "exp": int(now) + 25}
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = claims
        for name in parents:
            inner = inner[name]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return claims
