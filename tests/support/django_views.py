"""The URLs and the middleware of the tests of Django, by names for its settings."""

from typing import Any

from anyio.lowlevel import checkpoint
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path
from django.views import View
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response

from asapfn import Request, Token, TokenRejected, Unavailable, asap, bearer, checks, connect
from asapfn.adapters.django import Caller, authentication, middleware, requires, token
from asapfn.replay import in_memory
from asapfn.resolvers import keys_by_id, shared_secrets
from asapfn.types import Verdict
from tests.support.keyring import key_for

SECRET = "a secret of at least thirty-two bytes"
KEYS = [key_for("ES256"), key_for("ES256", "other")]
AUTHENTICATE = bearer(asap.verifier(keys_by_id(KEYS), "service", issuers=["issuer", "other"]))
ONCE = bearer(asap.verifier(keys_by_id(KEYS), "service", issuers=None, replay=in_memory()))
VERDICTS: list[Verdict] = []
# What the authentication of the tests raises or returns, by a header that they set.
ANSWERS: dict[str, Any] = {}


async def scripted(request: Request) -> Any:
    answer = ANSWERS["answer"]
    if isinstance(answer, (TokenRejected, Unavailable)):
        raise answer
    return answer


def good(issuer: str = "issuer") -> dict[str, str]:
    key = next(key for key in KEYS if str(key.kid).startswith(issuer))
    return {"Authorization": f"Bearer {asap.signer(issuer, key)('service')}"}


authenticated = middleware(
    AUTHENTICATE, unless=lambda method, path: path == "/health", observe=VERDICTS.append
)
optional = middleware(AUTHENTICATE, optional=True)


async def secret_of(issuer: str) -> str | None:
    return SECRET if issuer == "product" else None


by_connect = middleware(
    connect.authenticator(shared_secrets(secret_of), base_url="https://service.example"),
    scheme="JWT",
)
strict_once = middleware(ONCE)
by_script = middleware(scripted, scheme="JWT")


def after_each(get_response: Any) -> Any:
    """A plain middleware of the application's, which sees every answer."""

    def handle(request: HttpRequest) -> HttpResponse:
        answer: HttpResponse = get_response(request)
        answer["X-After"] = "yes"
        return answer

    return handle


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.asapfn_token))


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(token(request).claims["iss"])


async def who_async(request: HttpRequest) -> HttpResponse:
    await checkpoint()
    return HttpResponse(token(request).claims["iss"])


async def waits(verified: Token) -> None:
    await checkpoint()


class Asynchronous(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await who_async(request)


class Synchronous(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return who(request)


only_other = requires(checks.claim_equals("iss", "other"), observe=VERDICTS.append)


def rest(*authentications: Any, permission: Any = IsAuthenticated) -> Any:
    @api_view(["GET"])
    @authentication_classes(list(authentications))
    @permission_classes([permission])
    def view(request: Any) -> Response:
        held = request.auth
        return Response({"user": str(request.user), "iss": held.claims["iss"] if held else None})

    return view


by_token = authentication(AUTHENTICATE, observe=VERDICTS.append)
narrow = authentication(AUTHENTICATE, checks.claim_equals("iss", "other"))
named = authentication(ONCE, user=lambda verified: Caller(f"user {verified.claims['iss']}"))

urlpatterns = [
    path("health", health),
    path("who", who),
    path("who/async", who_async),
    path("need", requires()(who)),
    path("need/async", requires()(who_async)),
    path("other", only_other(who)),
    path("other/async", only_other(who_async)),
    path("other/class", only_other(Synchronous.as_view())),
    path("other/class/async", only_other(Asynchronous.as_view())),
    path("waits", requires(waits)(who)),
    path("waits/async", requires(waits)(who_async)),
    path("café/<name>", lambda request, name: who(request)),
    path("bare", requires(who)),  # type: ignore[arg-type]
    path("rest", rest(by_token)),
    path("rest/open", rest(by_token, permission=AllowAny)),
    path("rest/other", rest(narrow)),
    path("rest/named", rest(named)),
    path("rest/script", rest(authentication(scripted, scheme="JWT"))),
    re_path("^seen/(?P<rest>.*)$", lambda request, rest: JsonResponse([rest], safe=False)),
]
