"""What `targets_service.asgi` makes, for a server that takes no factory."""

from targets_service import asgi

application = asgi()
