"""Documents by their URL, for what fetches keys from hosts that no test can be."""

from asapfn.errors import Unavailable
from asapfn.keys import export_public_pem
from asapfn.types import Document, Key


class Published:
    """A `Fetch` over a table. It keeps what it was asked for; a host in `down` does not answer."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.asked: list[tuple[str, str]] = []
        self.down: set[str] = set()

    def put(self, url: str, key: Key, media_type: str = "application/x-pem-file") -> None:
        self.documents[url] = Document(200, media_type, export_public_pem(key).encode())

    async def __call__(self, url: str, accept: str) -> Document:
        self.asked.append((url, accept))
        if any(url.startswith(base) for base in self.down):
            raise Unavailable(url, "down")
        return self.documents.get(url, Document(404, "text/plain", b""))
