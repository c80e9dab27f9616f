"""What the body of an install or uninstall says, read strictly."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from asapfn._core import compact
from asapfn.errors import Reason, TokenRejected
from asapfn.keys import import_secret

S = TypeVar("S")
T = TypeVar("T")

_MAX_SECRET: Final = 128


class Installation(NamedTuple):
    """An app in a product, as the product describes it. It prints without its secret.

    Attributes:
        client_key: The tenant's client key: the `iss` of its tokens.
        base_url: The product's base URL.
        shared_secret: The secret to sign and verify with from now on; empty in a callback that
            brings none, such as an uninstall, and then of no use to `import_secret`.
        oauth_client_id: The app's OAuth client, for user impersonation; else empty.
        key: The app's key; else empty.
        product_type: Such as `jira` or `confluence`; else empty.
        event_type: Such as `installed` or `uninstalled`; else empty.
        more: All other members of the body.
    """

    client_key: str
    base_url: str
    shared_secret: str = ""
    oauth_client_id: str = ""
    key: str = ""
    product_type: str = ""
    event_type: str = ""
    more: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return (
            f"Installation(client_key={self.client_key!r}, base_url={self.base_url!r},"
            f" key={self.key!r}, product_type={self.product_type!r},"
            f" event_type={self.event_type!r})"
        )


_MEMBERS: Final = {
    "client_key": "clientKey",
    "base_url": "baseUrl",
    "shared_secret": "sharedSecret",
    "oauth_client_id": "oauthClientId",
    "key": "key",
    "product_type": "productType",
    "event_type": "eventType",
}


def read_installation(
    body: bytes, max_bytes: int = 65_536, without_secret: Collection[str] = ("uninstalled",)
) -> Installation:
    """Read the body of a lifecycle callback.

    Args:
        body: The body, JSON.
        max_bytes: The most bytes that it may have.
        without_secret: The events that need bring no secret.

    Returns:
        What it says. Members that are null count as absent.

    Raises:
        TokenRejected: `malformed`: it is too long, it is not a strict JSON object, lacks
            `clientKey` or `baseUrl`, one of the members that are read is not a string, or
            `sharedSecret` is over 128 characters, or missing where the event needs one.
            `unsuitable_key`: the secret is too short for HS256, or is really a key.
        TypeError: If the body is not bytes.
    """
    if not isinstance(body, bytes):
        raise TypeError(f"the body is the bytes that were sent, not {type(body).__name__}")
    if len(body) > max_bytes:
        raise TokenRejected("malformed", f"body: longer than {max_bytes} bytes")
    members = _strictly(compact.decode_object, body, "malformed")
    texts = {}
    for field, name in _MEMBERS.items():
        text = members.pop(name, None)
        if text is not None and type(text) is not str:
            raise TokenRejected("malformed", f"body: {name} is not a string")
        texts[field] = text or ""
    installation = Installation(**texts, more=members)
    required = ["client_key", "base_url"]
    if installation.event_type not in without_secret:
        required.append("shared_secret")
    for field in required:
        if not texts[field]:
            raise TokenRejected("malformed", f"body: {_MEMBERS[field]} is missing")
    if len(installation.shared_secret) > _MAX_SECRET:
        raise TokenRejected("malformed", f"body: sharedSecret is over {_MAX_SECRET} characters")
    if installation.shared_secret:
        _strictly(import_secret, installation.shared_secret, "unsuitable_key")
    return installation


def _strictly(read: Callable[[S], T], given: S, reason: Reason) -> T:
    """What a function makes of a part of the body; its ValueError as a rejection."""
    try:
        return read(given)
    except ValueError as error:
        why = str(error)
    # Raised here and not above: the context of an exception would hold on to the body.
    raise TokenRejected(reason, f"body: {why}")
