"""Adapters connect the functions to clients, servers and stores, one module each.

An adapter holds no rule of its own. Importing this package imports no framework.
"""

# What they share is in private files:
# _incoming decides about a request and makes the refusal, _threads runs that where there is no
# event loop, and _environ reads what a WSGI environ says of the request as it was sent;
# _fetch_places, _fetch_request and _fetch_response are the steps of httpx.fetcher;
# _causes says what went wrong.
