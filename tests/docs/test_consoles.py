"""The examples of each --help and of the READMEs, run by a shell as they stand."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asapfn import asap, connect
from asapfn.adapters.asgi import key_repository
from asapfn.keys import export_private_pem, export_public_pem, import_pem, import_secret
from asapfn.types import Token
from tests.cli.test_main import COMMANDS, OF_A_PROFILE
from tests.support.greeter import service
from tests.support.keyring import key_for
from tests.support.servers import asgi_server
from tests.support.trust import trust

ROOT = Path(__file__).parents[2]
PATHS = [(name,) for name in COMMANDS if name not in OF_A_PROFILE]
PATHS += [(name, each) for name, profiles in OF_A_PROFILE.items() for each in profiles]
SECRET = "a secret of the tenant's, long enough"
STUBS = {
    "asapfn": f'exec "{sys.executable}" -m asapfn "$@"',
    "pbpaste": "cat token.txt",
    "curl": 'echo "$2" | grep -q "^Authorization: Bearer ey"',
}
PAGE = ROOT / "asapfn" / "cli" / "README.md"
ASAP_PAGE = ROOT / "asapfn" / "asap" / "README.md"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory to work in, with the programs that the examples name."""
    for name, text in STUBS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    trust(monkeypatch, tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "secret.txt").write_text(SECRET)
    return work


async def greets(request):
    return Token({}, {"iss": "orders"}, 0.0, 0.0)


@contextlib.contextmanager
def hosts(repository):
    """The hosts that examples name, and where they are."""

    async def app(scope, receive, send):
        await (key_repository([]) if scope["type"] == "lifespan" else service(greets))(
            scope, receive, send
        )

    with asgi_server(repository) as keys, asgi_server(app) as billing:
        yield {
            "https://keys.example": keys,
            "https://billing.example": billing,
            "https://x.atlassian.net/rest": f"{billing}/rest",
        }


def shell(line, places):
    for name, origin in places.items():
        line = line.replace(name, origin)
    if line.startswith("asapfn activate") and "--now" not in line:
        line += " --wait 0"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False
    )
    for name, origin in places.items():
        ran.stdout, ran.stderr = (s.replace(origin, name) for s in (ran.stdout, ran.stderr))
    return ran


def connect_token(base_url, target):
    authorize = connect.authorizer("a", import_secret(SECRET), base_url=base_url)
    return authorize("GET", f"{base_url}{target}")


def examples(path, asapfn):
    text = asapfn(*path, "--help").out
    return [line.strip() for line in text.partition("\nexample")[2].splitlines()[1:] if line]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_the_program_accepts_the_examples_of_its_help(path, asapfn, home):
    key = key_for("RS256")
    ours = import_pem(export_private_pem(key), kid="orders/2026-11.pem")
    (home / "key.pem").write_text(export_private_pem(key))
    tokens = {"connect": connect_token("https://app.example", "/issue?id=7")}
    token = tokens.get(path[-1], asap.signer("orders", ours)("billing"))
    (home / "token.txt").write_text(token)
    place = "staged" if path == ("activate",) else "private"
    lines = examples(path, asapfn)
    assert lines
    with hosts(key_repository([ours])) as places:
        for line in lines:
            shutil.rmtree("keys", ignore_errors=True)
            halves = {place: export_private_pem(key), "public": export_public_pem(key)}
            for half, text in halves.items() if path != ("keygen",) else ():
                (home / "keys" / half / "orders").mkdir(parents=True)
                (home / "keys" / half / ours.kid).write_text(text)
            ran = shell(line.replace("/var/www", "www"), places)
            # The token is none of Forge's or a provider's, and the repository none of Jitsi's.
            expected = {"forge": (0, 1), "jitsi": (0, 1), "oidc": (1,)}.get(path[-1], (0,))
            assert ran.returncode in expected, (line, ran)


def blocks(page):
    """The commands of a page's consoles, and what they show."""
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        parts = re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]
        yield [part.partition("\n")[::2] for part in parts]


def like(text):
    """Text without what differs each time: times, hashes of keys, and lengths of them."""
    return re.sub(r"[0-9a-f]{32}|[0-9]+", "#", text)


def shows(expected, shown):
    """Whether lines are shown, of which `...` stands for any."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "..." else re.escape(f"{line}\n").replace(r"\.\.\.", ".*")
        for line in like(expected).splitlines()
    )
    return re.fullmatch(pattern, like(shown if shown.endswith("\n") else f"{shown}\n"))


def test_the_first_commands_of_the_main_readme_work_in_their_order(home):
    """Nothing is there but what the commands before have made."""
    ((*lines, last),) = blocks(ROOT / "README.md")
    for line, shown in (*lines, last):
        ran = shell(line, {})
        assert (ran.returncode, shown) == (0, ""), (line, ran)
    assert "@token.txt" in last[0]


@pytest.mark.parametrize("page", [PAGE, ASAP_PAGE], ids=["cli", "asap"])
def test_the_readmes_consoles_show_what_the_program_prints(page, home):
    published = []

    async def repository(scope, receive, send):
        keys = [import_pem(p.read_bytes(), kid=f"orders/{p.name}") for p in
                (home / "www" / "orders").glob("*.pem")] if published else []  # fmt: skip
        await key_repository(keys)(scope, receive, send)

    ran_any = False
    with hosts(repository) as places:
        if page == ASAP_PAGE:
            for line in (
                "asapfn keygen --issuer orders --name 2026-11.pem",
                "asapfn publish keys/public --to www",
            ):
                assert shell(line, places).returncode == 0
        for block in blocks(page):
            for line, expected in block:
                published.append(line)
                if "@token.txt" in line:
                    made = shell("asapfn token asap --issuer orders --audience billing"
                                 " --key-directory keys/private > token.txt", places)  # fmt: skip
                    assert made.returncode == 0, made
                if "@jwt.txt" in line:
                    made = connect_token("https://x.atlassian.net", "/wiki/rest?b=x+y&a=1")
                    (home / "jwt.txt").write_text(made)
                ran = shell(line, places)
                assert shows(expected, ran.stderr + ran.stdout), (line, ran.stderr + ran.stdout)
                ran_any = True
    assert ran_any
