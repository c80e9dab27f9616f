"""Hints: what to do about a rejection, and a closer look at the usual causes.

These are a token that was copied with its quotes, an audience with one slash too many, a signature
in another encoding, a secret that was read with its line feed.
"""

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from joserfc.jwk import OctKey

from asapfn._core import compact
from asapfn._core.algorithms import verify_signature
from asapfn.errors import Reason, TokenRejected, Unavailable, cause, escaped, shown
from asapfn.keys import import_secret
from asapfn.types import Key, Unverified

_HINTS: Final[Mapping[Reason, str]] = {
    "malformed": "check what was sent: is it a token, complete and without quotes?",
    "unsupported_algorithm": "sign with an algorithm that is accepted",
    "missing_claim": "have the signer set {claim}",
    "invalid_claim": "have the signer correct {claim}",
    "expired": "sign a new token for each request; if it was new, compare the two machines' clocks",
    "not_yet_valid": "compare the clocks of the two machines",
    "lifetime_too_long": "sign for a shorter time: a minute is usual",
    "wrong_audience": "sign for this service's name, character for character",
    "unknown_key": "publish the public key under this kid, or correct the kid; if it was replaced"
    " or revoked, sign with the new one (signers read their directory again each minute)",
    "key_not_owned": "name the key after its issuer, iss/..., and publish it under that name",
    "unsuitable_key": "sign with the algorithm that the published key is for",
    "bad_signature": "check whether another key signed than the one published under this kid, and"
    " whether the token was changed on its way",
    "subject_mismatch": "leave sub out; or, if the issuer may speak for others, allow that"
    " (subject_is_issuer=False, or --any-subject)",
    "replayed": "sign a new token for each request: this service accepts a token once",
    "request_mismatch": "sign for this very request: compare the canonical requests",
    "missing_token": "send one token in the Authorization header, with the expected scheme",
    "ambiguous_token": "send one token, in one place",
    "issuer_not_allowed": "add the issuer to those that are allowed, if it should be",
    "insufficient_scope": "have the caller ask for the scope, and the issuer grant it",
}

# Hints for cases of a reason. Each pattern is matched with "reason claim detail"; the first counts.
_CASES: Final = {
    r'unsupported_algorithm alg .*, got "(?i:none)"\Z': "it is unsigned, and nothing unsigned is"
    " ever accepted; sign with an algorithm that is accepted",
    r'unsupported_algorithm alg expected (?:(?!"HS).)*, got "HS': "it is signed with a shared"
    " secret, as Connect tokens are (and Jitsi's, which app_secret=True accepts), and key pairs are"
    " expected here; sign with an algorithm that is accepted",
    "unknown_key icLabel ": "compare forge.keys(isolated_cloud=...) with the URL template that the"
    " app's owner got at onboarding: the key set of this label has no such key, or there is none",
    r"\w+ icLabel the token is of Isolated Cloud": "if the app runs in Isolated Cloud, give"
    " forge.keys(isolated_cloud=...) the URL template that its owner got at onboarding",
    r"\w+ icLabel ": "have the signer correct icLabel: one label, 1 to 50 of a-z 0-9 _ -",
    r"\w+ app\.environment\.type ": "call from the environment that is demanded; or allow the app's"
    " other environments (environment_types=..., or --environment-type)",
    r"\w+ app\.apiBaseUrl ": "if it is of a host of Atlassian's that is not known here, as in"
    " Isolated Cloud, name that host (api_hosts=..., or --api-host)",
    r"request_mismatch qsh .* decoded_path=True accepts\Z": "if the sender is Atlassian's"
    " server-side Java, accept that by decoded_path=True (or --decoded-path); otherwise have it"
    " sign the path as it is sent",
    "wrong_audience aud expected no audience but ": "have the signer name this service alone; or,"
    " if the other audiences may use here what they are sent, trust them (trusted_audiences=,"
    " --trusted-audience)",
    "unknown_key kid the token has no kid": "have the signer set the kid of its key; or publish one"
    " usable key for its algorithm, and no other",
    "unknown_key kid the key set has this kid": "publish one usable key under this kid, and no"
    " other; or have the signer use another key, and its kid",
    # What to set in the library that signs. At its end the detail is not the token's.
    r"bad_signature None made with .* section 3\.4\)\Z": "the signature is in DER: JWS has r and s"
    " side by side (RFC 7518, section 3.4). Set the signer's encoding to IEEE P1363: dsaEncoding"
    " 'ieee-p1363' in Node.js, SHA256withECDSAinP1363Format in Java, or sign by a library for JWS",
    r"bad_signature None made with .* section 3\.5\)\Z": "the salt of the signature is not as long"
    " as the hash (RFC 7518, section 3.5). Set the signer's salt length to that of the hash:"
    " rsa.PSSSaltLengthEqualsHash in Go (its default, and SermoDigital/jose, use the longest),"
    " RSA_PSS_SALTLEN_DIGEST in Node.js, rsa_pss_saltlen:digest in openssl",
}

_NO_KID: Final = (
    "the token has no kid: shared_secrets looks up secrets by iss, and all else needs a kid, which"
    " the signer must set"
)

# What is wrong with a token that cannot be read, by patterns for the token; the first counts.
_FORMS: Final = {
    r"[\"'].*|.*[\"']": "it is in quotes: remove them",
    r"\S*\s[\s\S]*": "there is white space in it: it was broken into lines, or more was copied",
    r".*%[0-9A-Fa-f]{2}.*": "it is percent-encoded: decode it first",
    r".*=.*": "it has base64's padding (=): JWS has none (RFC 7515, section 2)",
    r".*[+/].*": "it is in base64: JWS uses base64url, - for + and _ for / (RFC 7515)",
    r"[^.]*(?:\.[^.]*){4}": "five segments: it is encrypted (JWE), not signed (JWS)",
    r"[^.]*(?:\.[^.]*)?": "it has fewer than three segments: it was cut, or is something else",
    r"[^.]*\.[^.]*\.": "its signature is empty",
    r"[^.]*(?:\.[^.]*){3,}": "it has more than three segments",
}

# What to do about an outage, by patterns for its cause; the first that is found counts.
_OUTAGES: Final = {
    "issuer certificate|self.signed": "trust the authority that issued its certificate: by"
    " SSL_CERT_FILE, by fetcher(httpx.AsyncClient(verify=...)), or by --cacert",
    "Hostname mismatch|not valid for": "give the host name that its certificate is for",
    "has expired": "have its certificate renewed; or correct the clock of this machine",
    "Name or service|name resolution|nodename": "correct the host name in the URL",
    "onnection refused": "check the host and port in the URL, and that a server runs there",
    "no whole answer": "check that it is not overloaded, and that no firewall is in between",
    "redirects are not followed": "give the URL of the keys themselves",
    "media type application/x-pem-file": "have keys served as application/x-pem-file;"
    " asapfn publish --check tries it",
    "media type": "give the URL of the keys themselves: what answers there is no JSON",
    "private key is published|or private key": "make a new key pair, and delete this one",
    "not a public key|not a key set|not a map of|not the metadata|larger than|Content-Encoding": (
        "check what is published there; of a repository, by asapfn publish --check"
    ),
    "status 4(01|07)": "give its credentials by fetcher(headers=...)",
    "status 4(03|04|10)": "correct the URL of the keys; or publish them there",
    "status 5": "look into the log of that server; it may be the server's own outage",
    "": "try again; if it persists, check that the source of keys answers from here",
}


def hint(
    error: TokenRejected | Unavailable,
    token: str | bytes = "",
    wants: str = "",
    unverified: Unverified | None = None,
    key: Key | None = None,
) -> str:
    """What to do about a rejection or an outage, in a line or two.

    Args:
        error: The rejection, or the outage.
        token: The token as it was sent.
        wants: What the broken rule wants, names in it as JSON.
        unverified: The token, if it could be read.
        key: The key, if one was found.
    """
    if isinstance(error, Unavailable):
        said = f"{error.detail} {cause(error)}"
        return next(advice for form, advice in _OUTAGES.items() if re.search(form, said))
    said = f"{error.reason} {error.claim} {error.detail}"
    for form, advice in _CASES.items():
        if re.match(form, said):
            return advice
    if error.reason == "unknown_key" and unverified is not None and "kid" not in unverified.header:
        return _NO_KID
    why = _cause(error, token, wants, unverified, key)
    # A claim that a check names may be any text, or a path of several.
    advice = _HINTS[error.reason].format(claim=escaped(str(error.claim or "the claim")))
    return f"{why}; {advice}" if why else advice


def _cause(
    error: TokenRejected,
    token: str | bytes,
    wants: str,
    unverified: Unverified | None,
    key: Key | None,
) -> str:
    """The cause that the token or the key gives away, if any."""
    if error.reason == "malformed" and error.claim is None:
        if len(token) > compact.MAX_BYTES:
            return ""
        text = token if isinstance(token, str) else token.decode("latin-1")
        return next((cause for form, cause in _FORMS.items() if re.fullmatch(form, text)), "")
    if unverified is None:
        return ""
    if error.reason in ("wrong_audience", "issuer_not_allowed"):
        given = unverified.claims.get(error.claim or "")
        names = given if isinstance(given, list) else [given]
        if error.claim == "aud" and any("," in name for name in names if isinstance(name, str)):
            return "aud is one name with a comma; give each audience by itself"
        return _near(names, wants)
    if error.reason == "bad_signature" and isinstance(key, OctKey):
        return _other_secret(unverified, key)
    return ""


_DEFAULT_PORT: Final = re.compile(
    r"\A(https://[^/?#]*(?=:443(?:[/?#]|\Z))|http://[^/?#]*(?=:80(?:[/?#]|\Z))):[0-9]+",
    re.IGNORECASE,
)


def _without_port(name: str) -> str:
    return _DEFAULT_PORT.sub(r"\1", name)


_NEAR: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    ("white space", str.strip),
    ("upper and lower case", str.casefold),
    ("a slash at the end", lambda name: name.rstrip("/")),
    ("the default port", _without_port),
    (
        "the default port, upper and lower case, or a slash at the end",
        lambda name: _without_port(name).casefold().rstrip("/"),
    ),
    ("the scheme before it", lambda name: name.rpartition("://")[2].rstrip("/")),
)


def _near(given: Iterable[Any], wants: str) -> str:
    """In what one of the given names differs from one that is wanted, if in little."""
    wanted = list[str]()
    for name in re.findall(r'"(?:[^"\\]|\\.)*"', wants):
        with suppress(ValueError):  # in the words of a guard it need not be JSON
            wanted.append(json.loads(name))
    names = [name for name in given if isinstance(name, str)]
    for name, other in itertools.product(names, wanted):
        for what, without in _NEAR:
            if without(name) == without(other):
                return f"{shown(name)} and {shown(other)} differ only in {what}"
    return ""


def _other_secret(unverified: Unverified, key: OctKey) -> str:
    """With which other secret the signature would have been right, if any."""
    secret = key.raw_value
    others = {
        "with a line feed at its end": secret + b"\n",
        "without the white space around it": secret.strip(),
    }
    with suppress(ValueError):
        others["decoded from base64"] = base64.urlsafe_b64decode(secret + b"==")
    header, _, signing_input, signature = unverified
    for what, other in others.items():
        # A secret that is long enough for one algorithm may be too short for this one.
        with suppress(ValueError, TokenRejected):
            if verify_signature(header["alg"], import_secret(other), signing_input, signature):
                return f"the signature was made with the secret {what}"
    return ""
