"""Django as the tests set it up, once for a process: each test overrides what it needs."""

from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path


def who(request: HttpRequest) -> HttpResponse:
    """Say who called, by what stands around Django."""
    carrier: Any = getattr(request, "scope", None) or request.environ
    return HttpResponse(carrier["asapfn.token"].claims["iss"], content_type="text/plain")


urlpatterns = [path("who", who)]


def configure() -> None:
    """Set Django up, if that is not done."""
    if settings.configured:
        return
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        SECRET_KEY="of the tests",
        LOGGING_CONFIG=None,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        STATIC_URL="/static/",
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
    )
    django.setup(set_prefix=False)
