"""Webhooks: was this body signed with the secret that was given when the webhook was made?

`X-Hub-Signature: sha256=<hex>` is the HMAC of the raw body (W3C WebSub, section 7.1), as Jira's
webhooks of administrators and Bitbucket's have it. The header covers the body and nothing else: not
the URL, the other headers, nor when it was sent. So a delivery that somebody has seen can be sent
again, and names that identify a delivery, in other headers, can be made up; what the body says must
be looked at, such as its own time and id.
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from typing import Final

from asapfn._core.credentials import header_values
from asapfn.errors import TokenRejected, shown
from asapfn.types import Request

__all__ = ["hub_signature"]

_SIGNATURE: Final = re.compile(r"sha256=([0-9A-Fa-f]{64})", re.ASCII)
_OTHER: Final = re.compile(r"([A-Za-z0-9_-]{1,20})=", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9-]+", re.ASCII)

Secret = str | bytes


def hub_signature(
    body: bytes,
    request: Request,
    secrets: Secret | Collection[Secret],
    *,
    header: str = "X-Hub-Signature",
) -> None:
    """Require that a body was signed, by `sha256=...` in one header, with one of the secrets.

    Args:
        body: The raw body, as it was received: `asgi.read_body(receive, max_bytes=...)`. JSON that
            was parsed and written again is another body.
        request: The request, such as `asgi.request(scope)`.
        secrets: The webhook's secret; or several, while it is being replaced: a str or bytes is
            one. All are compared, each in constant time.
        header: The header that has the signature. `X-Hub-Signature-256` for GitHub, which has
            SHA-1 in `X-Hub-Signature`. No other header is looked at.

    Raises:
        TokenRejected: `missing_token` without the header, `ambiguous_token` where it is there more
            than once or has more than one value, `unsupported_algorithm` for another than sha256,
            `malformed` for anything else that is no signature, and `bad_signature` where it was
            made with none of the secrets, or of another body. All have the status 401.
        TypeError: If the body is not bytes, a secret is neither str nor bytes, or `secrets` is a
            mapping, whose elements are names.
        ValueError: If there is no secret, one is empty or holds a lone surrogate, or `header` is no
            name.

    Source: Atlassian, "Jira Cloud webhooks"; Bitbucket, "Manage webhooks"; GitHub, "Validating
    webhook deliveries".
    """
    if type(body) is not bytes:
        kind = type(body).__name__
        raise TypeError(f"the body is bytes, as received and before it is parsed, not {kind}")
    if not _NAME.fullmatch(header):
        raise ValueError("header is the name of one header, such as X-Hub-Signature")
    keys = _keys(secrets)
    given = _signature(request, header)
    # All of them, so that the time does not say which secret it was.
    equal = [hmac.compare_digest(hmac.digest(key, body, hashlib.sha256), given) for key in keys]
    if not any(equal):
        which = "the secret" if len(keys) == 1 else f"any of {len(keys)} secrets"
        detail = f"{header}: not made with {which} over this body of {len(body)} bytes"
        raise TokenRejected("bad_signature", detail)


def _keys(secrets: Secret | Collection[Secret]) -> list[bytes]:
    given: object = secrets
    if isinstance(given, Mapping):
        raise TypeError("secrets is a collection of secrets, not of names to secrets: .values()")
    each = [secrets] if isinstance(secrets, (str, bytes)) else list(secrets)
    if not all(isinstance(secret, (str, bytes)) for secret in each):
        raise TypeError("a secret is a str or bytes")
    if not each or not all(each):
        raise ValueError("a webhook's secret is empty: anybody could sign with it")
    try:
        return [secret.encode() if isinstance(secret, str) else secret for secret in each]
    except UnicodeEncodeError:
        # Raised below rather than here: chained, the cause would carry the secret along.
        pass
    raise ValueError("a webhook's secret holds a lone surrogate")


def _signature(request: Request, header: str) -> bytes:
    """The signature in the one header of that name."""
    values = header_values(request, header)
    if not values:
        raise TokenRejected("missing_token", f"expected {header}: sha256=<hex>")
    if len(values) > 1 or "," in values[0]:
        raise TokenRejected("ambiguous_token", f"more than one {header}")
    if match := _SIGNATURE.fullmatch(values[0]):
        return bytes.fromhex(match[1])
    other = _OTHER.match(values[0])
    if other is not None and other[1] != "sha256":
        detail = f"{header}: expected sha256, got {shown(other[1])}"
        raise TokenRejected("unsupported_algorithm", detail)
    raise TokenRejected("malformed", f"{header}: expected sha256= and 64 hexadecimal digits")
