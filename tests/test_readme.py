"""The README's examples, run as they stand, against real servers for the hosts they name."""

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from servers import asgi_server, authority

from asapfn.adapters.asgi import key_repository
from asapfn.cli.demo import service
from asapfn.errors import DESCRIPTIONS, TokenRejected
from asapfn.keys import export_private_pem, generate
from asapfn.profiles import asap
from asapfn.resolvers import keys_by_id
from asapfn.verification import bearer

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    code: str
    shows: str
    line: int


def examples() -> list[Example]:
    text = README.read_text()
    return [
        Example(m[1], m[2] or "", text.count("\n", 0, m.start()) + 1) for m in BLOCK.finditer(text)
    ]


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    """The hosts of the README and where they are: a key repository, and a service that uses it."""
    key = generate("RS256", kid="orders/2026-11.pem")
    folder = tmp_path_factory.mktemp("readme")
    (folder / "orders.pem").write_text(export_private_pem(key))
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
        keys = stack.enter_context(asgi_server(key_repository([key])))
        verify = asap.verifier(keys_by_id([key]), "billing", issuers="orders")
        greets = service(bearer(verify))

        async def app(scope, receive, send):
            # The greeter knows requests alone.
            serve = key_repository([]) if scope["type"] == "lifespan" else greets
            await serve(scope, receive, send)

        billing = stack.enter_context(asgi_server(app))
        yield folder, {"https://keys.example": keys, "https://billing.example": billing}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("example", examples(), ids=lambda example: f"line {example.line}")
def test_an_example_runs_and_shows_what_it_says(example, backend, origins, monkeypatch, capsys):
    folder, hosts = origins
    run = anyio.run
    monkeypatch.setattr(anyio, "run", lambda *args: run(*args, backend=backend))
    monkeypatch.chdir(folder)
    private = Path("orders.pem").read_bytes()
    code = example.code
    for name, origin in hosts.items():
        code = code.replace(name, origin)
    exec(compile(code, f"README.md:{example.line}", "exec"), {"__name__": "__main__"})
    Path("orders.pem").write_bytes(private)
    assert capsys.readouterr().out == example.shows


def test_the_readme_has_a_row_for_each_reason():
    rows = re.findall(r"^\| `(\w+)` \| (40[13]) \|", README.read_text(), re.MULTILINE)
    assert dict(rows) == {reason: str(TokenRejected(reason).status) for reason in DESCRIPTIONS}


def test_links_to_files_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text()):
        assert os.path.exists(README.parent / link), link
