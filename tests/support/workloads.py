"""Platforms that sign tokens for workloads, each with claims as its documentation shows them."""

import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asapfn.keys import export_public_jwk, generate
from tests.support.forging import forge

KEY = generate("RS256", kid="4f7a")
# The token of the pod that asks the API server.
POD = "pod-token"
CLUSTER = "https://kubernetes.default.svc.cluster.local"


async def _metadata(request: Request) -> JSONResponse:
    issuer = str(request.url).removesuffix("/.well-known/openid-configuration")
    return JSONResponse({"issuer": issuer, "jwks_uri": f"{issuer}/keys.json"})


async def _keys(request: Request) -> JSONResponse:
    return JSONResponse({"keys": [export_public_jwk(KEY) | {"use": "sig"}]})


async def _bundle(request: Request) -> JSONResponse:
    """A SPIFFE bundle, which holds keys for both kinds of SVID."""
    member = export_public_jwk(KEY)
    keys = [member | {"use": "jwt-svid"}, member | {"use": "x509-svid", "kid": "x509"}]
    return JSONResponse({"keys": keys, "spiffe_sequence": 12, "spiffe_refresh_hint": 600})


async def _cluster(request: Request) -> JSONResponse:
    """What an API server has, for service accounts alone."""
    if request.headers.get("authorization") != f"Bearer {POD}":
        return JSONResponse({"kind": "Status", "code": 401}, 401)
    if request.url.path == "/openid/v1/jwks":
        return await _keys(request)
    jwks_uri = str(request.url.replace(path="/openid/v1/jwks"))
    return JSONResponse({"issuer": CLUSTER, "jwks_uri": jwks_uri})


PLATFORMS = Starlette(
    routes=[
        Route("/.well-known/openid-configuration", _cluster),
        Route("/openid/v1/jwks", _cluster),
        Route("/spire/bundle", _bundle),
        Route("/{name}/.well-known/openid-configuration", _metadata),
        Route("/{name}/keys.json", _keys),
    ]
)


def workload_tokens(origin: str) -> dict[str, str]:
    """A token of each platform, by its name, whose issuer is below an origin."""
    now = int(time.time())
    deploy = "https://deploy.example"
    each: dict[str, dict[str, Any]] = {
        "bitbucket": {
            "iss": f"{origin}/my-workspace",
            "sub": "{3c2c5b0a-6f0e-4b5c-9a52-27f4d3a3a0e1}:{0b1d7f5e-93a4-4f6e-8a57-d4c1c44b9f3a}",
            "aud": "ari:cloud:bitbucket::workspace/6ab1c1a4-5d5c-4a3e-8f0f-0d8a3c9a7f10",
            "workspaceUuid": "{6ab1c1a4-5d5c-4a3e-8f0f-0d8a3c9a7f10}",
            "repositoryUuid": "{3c2c5b0a-6f0e-4b5c-9a52-27f4d3a3a0e1}",
            "pipelineUuid": "{9f0f7c8e-2d1b-4d0a-b1cf-8c6b8a5d7e21}",
            "stepUuid": "{0b1d7f5e-93a4-4f6e-8a57-d4c1c44b9f3a}",
            "branchName": "main",
        },
        "github": {
            "iss": f"{origin}/github",
            "sub": "repo:octo-org/octo-repo:environment:production",
            "aud": deploy,
            "nbf": now - 60,
            "jti": "example-id",
            "repository": "octo-org/octo-repo",
            "repository_id": "74",
            "repository_owner_id": "65",
            "environment": "production",
            "ref": "refs/heads/main",
            "runner_environment": "github-hosted",
        },
        "gitlab": {
            "iss": f"{origin}/gitlab",
            "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
            "aud": deploy,
            "nbf": now - 5,
            "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
            "project_id": "22",
            "ref": "main",
            "ref_protected": "true",
        },
        "kubernetes": {
            "iss": CLUSTER,
            "sub": "system:serviceaccount:shop:orders",
            "aud": ["billing"],
            "nbf": now,
            "kubernetes.io": {
                "namespace": "shop",
                "pod": {"name": "orders-0", "uid": "a7b4"},
                "serviceaccount": {"name": "orders", "uid": "c3d9"},
            },
        },
        "svid": {
            "sub": "spiffe://example.org/shop/orders",
            "aud": ["spiffe://example.org/shop/billing"],
        },
    }
    return {
        name: forge({"iat": now, "exp": now + 600, **claims}, KEY) for name, claims in each.items()
    }
