"""What `targets_service.asgi` makes, for a server that takes no factory."""

from tests.support.targets_service import asgi

application = asgi()
