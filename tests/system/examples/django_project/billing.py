"""Billing, with Django: orders and shipping call it, and of them shipping refunds.

gunicorn billing:application
"""

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "of the tests"),
    MIDDLEWARE=[f"{__name__}.authenticated"],
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from asapfn import Resolver, asap, bearer  # noqa: E402
from asapfn.adapters.django import middleware, requires, token  # noqa: E402
from asapfn.adapters.httpx import fetcher  # noqa: E402
from asapfn.guards import issuer_is_one_of  # noqa: E402


def authenticated_by(resolver: Resolver):
    """Make the middleware, for keys from anywhere."""
    verify = asap.verifier(resolver, "billing", issuers=["orders", "shipping"])
    return middleware(bearer(verify), unless=lambda method, path: path == "/health")


authenticated = authenticated_by(asap.repository("https://keys.example/", fetcher()))


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("well")


async def invoices(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"Hello, {token(request).claims['iss']}.")


@requires(issuer_is_one_of("shipping"))
def refunds(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Refunded.")


urlpatterns = [path("health", health), path("invoices", invoices), path("refunds", refunds)]
application = get_wsgi_application()
