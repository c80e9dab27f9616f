"""gunicorn's settings where the application is loaded before the workers are forked."""

from typing import Any

from tests.support.protected import wsgi

preload_app = True


def post_worker_init(worker: Any) -> None:
    """Protect what was loaded, by a portal of the worker's own."""
    worker.wsgi = wsgi()
