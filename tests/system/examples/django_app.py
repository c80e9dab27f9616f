"""A Django site behind ASAP tokens, in one file: plain views, async ones, and REST framework.

export ASAP_PUBLIC_KEY_REPOSITORY_URL=https://keys.example/ ASAP_SERVER_AUDIENCE=billing
gunicorn django_app:application --workers 2 --threads 8
uvicorn django_app:asgi_application --workers 2
"""

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="yours, from where your secrets are",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
    MIDDLEWARE=[f"{__name__}.authenticated"],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from asapfn import asap, bearer  # noqa: E402
from asapfn.adapters.django import authentication, middleware, requires, token  # noqa: E402
from asapfn.adapters.httpx import fetcher  # noqa: E402
from asapfn.guards import issuer_is_one_of  # noqa: E402

authenticate = bearer(asap.verifier_from_env(fetcher()))


def open_to_all(method: str, path: str) -> bool:
    """Name what the middleware leaves alone: REST framework authenticates for itself."""
    return path == "/health" or path.startswith("/api/")


authenticated = middleware(authenticate, unless=open_to_all)


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("well")


def invoices(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"Hello, {token(request).claims['iss']}.")


@requires(issuer_is_one_of("orders"))
async def refunds(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"Refunded, {token(request).claims['iss']}.")


class Invoices(APIView):
    authentication_classes = (authentication(authenticate),)
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        return Response(f"Hello, {request.user}.")


urlpatterns = [
    path("health", health),
    path("invoices", invoices),
    path("refunds", refunds),
    path("api/invoices", Invoices.as_view()),
]
application = get_wsgi_application()
asgi_application = get_asgi_application()
