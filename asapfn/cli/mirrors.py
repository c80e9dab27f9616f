"""Whether a key repository serves a key, asked as a verifier asks."""

from typing import NamedTuple

from asapfn.cli.sources import why
from asapfn.errors import Unavailable
from asapfn.keys import export_public_pem
from asapfn.resolvers import pem_repository
from asapfn.types import Document, Fetch, Key, Unverified


class Served(NamedTuple):
    """What a mirror answered when it was asked for a key.

    Attributes:
        url: The URL of the key.
        problem: Why a verifier would not find this key there; empty if it would.
        answered: Whether there was an answer, other than that the server failed.
        max_age: For how many seconds receivers may keep the key, as the answer says.
    """

    url: str
    problem: str
    answered: bool
    max_age: float | None


async def served(base: str, key: Key, fetch: Fetch) -> Served:
    """Ask a mirror for a key."""
    documents: list[Document] = []

    async def noting(url: str, accept: str) -> Document:
        documents.append(await fetch(url, accept))
        return documents[-1]

    problem = ""
    try:
        asked = Unverified({"kid": key.kid}, {}, b"", b"")
        found = await pem_repository(base, noting)(asked)
    except Unavailable as error:
        problem = why(error)
    else:
        if found is None:
            problem = f"no such key (status {documents[0].status})"
        elif export_public_pem(found) != export_public_pem(key):
            problem = "another key is served under this key id"
    answered = bool(documents) and documents[0].status < 500
    max_age = documents[0].max_age if documents else None
    return Served(f"{base}{key.kid}", problem, answered, max_age)


def exit_code(found: list[Served]) -> int:
    """0 if each mirror serves each key, 3 if one did not answer, else 1."""
    if all(each.answered for each in found):
        return 1 if any(each.problem for each in found) else 0
    return 3
