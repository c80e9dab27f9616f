"""The READMEs' examples, run as they stand, against real servers for the hosts they name."""

import ast
import contextlib
import gc
import importlib.util
import inspect
import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from asapfn import asap
from asapfn._core.credentials import bearer
from asapfn.adapters.asgi import key_repository
from asapfn.errors import DESCRIPTIONS, TokenRejected
from asapfn.keys import export_private_pem, export_public_pem, generate
from asapfn.resolvers import keys_by_id
from tests.support.greeter import service
from tests.support.redis_server import redis_server
from tests.support.servers import asgi_server, authority
from tests.support.workloads import PLATFORMS, POD, workload_tokens

REDIS = "redis://redis.example:6379"
ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
# The one at the top, and those beside the code.
PAGES = [README, *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("asapfn/*/README.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    code: str
    shows: str
    page: str
    line: int


def examples() -> list[Example]:
    return [
        Example(m[1], m[2] or "", str(page.relative_to(ROOT)), text.count("\n", 0, m.start()) + 1)
        for page in PAGES
        for text in [page.read_text()]
        for m in BLOCK.finditer(text)
    ]


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    """The hosts of the READMEs and where they are: a key repository, and a service that uses it."""
    key = generate("RS256", kid="orders/2026-11.pem")
    folder = tmp_path_factory.mktemp("readme")
    private, public = export_private_pem(key), export_public_pem(key)
    for path, pem in (
        (f"keys/private/{key.kid}", private),
        (f"keys/public/{key.kid}", public),
        ("public.pem", public),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(pem)
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
    # What the tests before have left need not be collected after each example.
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            patch.setenv(variable, str(folder / "authority.pem"))
        keys = stack.enter_context(asgi_server(key_repository([key])))
        verify = asap.verifier(keys_by_id([key]), "billing", issuers="orders")
        greets = service(bearer(verify))

        async def app(scope, receive, send):
            # The greeter knows requests alone.
            serve = key_repository([]) if scope["type"] == "lifespan" else greets
            await serve(scope, receive, send)

        billing = stack.enter_context(asgi_server(app))
        vault = stack.enter_context(asgi_server(vault_of(key)))
        platforms = stack.enter_context(asgi_server(PLATFORMS))
        for name, claims in workload_tokens(platforms).items():
            (folder / f"{name}.jwt").write_text(claims)
        (folder / "ca.crt").write_text((folder / "authority.pem").read_text())
        (folder / "token").write_text(f"{POD}\n")
        patch.setattr("asapfn.oidc._PIPELINES", f"{platforms}/{{}}")
        yield (
            folder,
            {
                "https://token.actions.githubusercontent.com": f"{platforms}/github",
                "https://gitlab.example": f"{platforms}/gitlab",
                '"https://kubernetes.default.svc"': f'"{platforms}"',
                "/var/run/secrets/kubernetes.io/serviceaccount": str(folder),
                "https://spire.example": f"{platforms}/spire",
                "https://keys.example": keys,
                "https://billing.example": billing,
                "https://vault.example": vault,
            },
        )


def vault_of(key):
    """As much of Vault's API as reading one entry takes (KV secrets engine, version 2)."""

    async def read(request):
        held = request.path_params["path"] == key.kid
        data = {"data": {"data": {"pem": export_public_pem(key)}}} if held else {"errors": []}
        return JSONResponse(data, 200 if held else 404)

    return Starlette(routes=[Route("/v1/secret/data/{path:path}", read)])


@pytest.fixture
def redis_origin(tmp_path):
    """The Redis that the README names, for the example that needs one."""
    with redis_server(tmp_path) as server:
        yield server.url


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("example", "backend"),
    [
        pytest.param(example, backend, id=f"{example.page}:{example.line}-{backend}")
        for example in examples()
        for backend in (["asyncio", "trio"] if "anyio.run(" in example.code else ["asyncio"])
    ],
)
def test_an_example_runs_and_shows_what_it_says(
    example, backend, origins, monkeypatch, capsys, request
):
    folder, hosts = origins
    if REDIS in example.code:
        hosts = hosts | {REDIS: request.getfixturevalue("redis_origin")}
    run = anyio.run
    monkeypatch.setattr(anyio, "run", lambda *args: run(*args, backend=backend))
    monkeypatch.chdir(folder)
    # One example turns it off.
    monkeypatch.setattr(logging.getLogger("asapfn"), "disabled", False)
    code = example.code
    for name, origin in hosts.items():
        code = code.replace(name, origin)
    names = {"__name__": "__main__"}
    exec(compile(code, f"{example.page}:{example.line}", "exec"), names)
    # Those with fixtures run in tests/system/test_sample_projects.py.
    for name, each in list(names.items()):
        plain = name.startswith("test_") and inspect.isfunction(each)
        if plain and not inspect.signature(each).parameters:
            each()
    assert capsys.readouterr().out == example.shows
    # A script leaves its databases and clients to the end of the process, which is here.
    names.clear()
    gc.collect()


FILES = re.compile(r"^```py(?:thon)?\n(# (\w+\.py).*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_trial_on_one_machine_works_as_it_stands(tmp_path):
    text = (ROOT / "asapfn" / "asap" / "README.md").read_text()
    section = text.partition("## Try it over https on one machine")[2].partition("\n## ")[0]
    ports = {"8544": str(free_port()), "8545": str(free_port())}
    for old, new in ports.items():
        section = section.replace(old, new)
    for code, name in FILES.findall(section):
        (tmp_path / name).write_text(code)
    ((commands, shows),) = COMMANDS.findall(section)
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    commands = commands.replace("sleep 3", WAIT.format(*ports.values()))
    done = subprocess.run(
        ["bash", "-euc", f"trap 'kill $(jobs -p)' EXIT\n{commands}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.endswith(shows), done.stderr


# Until both servers listen, however busy the machine is.
WAIT = """
for port in {} {}; do
    for _ in $(seq 300); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
done
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_the_readme_has_a_row_for_each_reason():
    rows = re.findall(r"^\| `(\w+)` \| (40[13]) \|", README.read_text(), re.MULTILINE)
    assert dict(rows) == {reason: str(TokenRejected(reason).status) for reason in DESCRIPTIONS}


@pytest.mark.parametrize("package", ["atlassian_jwt_auth", "atlassian_jwt"])
def test_the_migration_tables_have_every_public_name_of(package):
    text = "\n".join(page.read_text() for page in PAGES)
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    missing = {name for name in public_names(package) if not re.search(rf"\b{name}\b", rows)}
    assert not missing


def public_names(package):
    """Names of a package's functions, classes, methods and constants, read from its source."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    names = set()
    for file in Path(spec.submodule_search_locations[0]).rglob("*.py"):
        for node in [] if "tests" in file.parts else ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            for part in [node, *(node.body if isinstance(node, ast.ClassDef) else [])]:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    names.add(part.name)
    assert names
    return {name for name in names if not name.startswith("_")}


def test_links_lead_to_files_and_headings_that_exist():
    pages = [*PAGES, ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
    links = [
        (page, *link)
        for page in pages
        for link in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    ]
    assert len(links) > len(pages)
    for page, path, heading in links:
        target = page.parent / path if path else page
        assert target.exists(), (page, path)
        if heading:
            assert heading in anchors(target.read_text()), (page, path, heading)


def anchors(text):
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_tests_behind_a_promise_are_in_the_files_it_names():
    promises = (ROOT / "SECURITY.md").read_text().split("\n\n")
    named = 0
    for promise in promises:
        files = re.findall(r"\]\((tests/[^)]+\.py)\)", promise)
        tests = set(re.findall(r"`(test_\w+)`", promise))
        there = "\n".join((ROOT / file).read_text() for file in files)
        assert tests <= set(re.findall(r"def (test_\w+)", there)), promise
        named += len(tests)
    assert named
