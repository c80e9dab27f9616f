"""Rotation by the documented commands, where the machine or another operator gets in the way."""

import errno
import json
import os
import resource
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from anyio import to_thread

from asapfn.cli import publish
from asapfn.cli.activate import _served_throughout
from asapfn.keys import export_public_pem
from tests.support.keyring import key_for
from tests.support.servers import answers, authority, raw_server, response

KID = "orders/2.pem"
PEM = "Content-Type: application/x-pem-file"


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    authority().cert_pem.write_to_path("authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def keygen(asapfn, name="2.pem", *more):
    return asapfn("keygen", "--issuer", "orders", "--name", name, "--algorithm", "ES256", *more)


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


def modes(folder):
    return {stat.S_IMODE(path.stat().st_mode) for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o777])
def test_a_web_server_can_read_what_is_published_whatever_the_umask(umask, asapfn):
    keygen(asapfn, "1.pem")
    asapfn("publish", "keys/public", "--to", "www")
    keygen(asapfn)
    before = os.umask(umask)
    try:
        asapfn("publish", "keys/public", "--to", "www")
        asapfn("publish", "keys/public", "--to", "new/www")
    finally:
        os.umask(before)
    for folder in ("www", "new"):
        assert modes(folder) == {0o644}
        folders = [path for path in Path(folder).rglob("*") if path.is_dir()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o755}


def test_the_last_key_leaves_the_key_set_too(asapfn):
    keygen(asapfn)
    asapfn("publish", "keys/public", "--to", "www")
    for path in ("keys/public", "www"):
        (Path(path) / KID).unlink()
    assert asapfn("publish", "keys/public", "--to", "www").code == 0
    assert json.loads(Path("www/.well-known/jwks.json").read_text()) == {"keys": []}
    ran = asapfn("publish", "keys/public", "--to", "elsewhere")
    assert (ran.code, ran.err) == (2, "asapfn: keys/public holds no key\n")


def test_two_who_publish_at_the_same_time_lose_no_key_of_the_set(asapfn, monkeypatch):
    keygen(asapfn)
    write, begun = publish._write, []

    def write_as_another_publishes(path, text):
        write(path, text)
        if path.name == "jwks.json" and not begun:
            begun.append(True)
            other = Path("www/shipping/1.pem")
            other.parent.mkdir()
            other.write_text(export_public_pem(key_for("ES384")))

    monkeypatch.setattr(publish, "_write", write_as_another_publishes)
    assert asapfn("publish", "keys/public", "--to", "www").code == 0
    published = json.loads(Path("www/.well-known/jwks.json").read_text())["keys"]
    assert [key["kid"] for key in published] == [KID, "shipping/1.pem"]


@pytest.mark.parametrize(("issuer", "name"), [("orders", ".2.pem"), (".orders", "2.pem")])
def test_a_key_that_publish_would_leave_out_is_not_made(issuer, name, asapfn):
    ran = asapfn("keygen", "--issuer", issuer, "--name", name)
    assert (ran.code, Path("keys").exists()) == (2, False)
    assert "no part of the key id begins with a dot" in ran.err


def test_a_name_as_long_as_can_be_goes_all_the_way(asapfn):
    name = f"{'a' * 251}.pem"
    assert keygen(asapfn, name).code == 0
    assert asapfn("publish", "keys/public", "--to", "www").code == 0
    assert asapfn("activate", f"orders/{name}", "--now").code == 0
    assert names("keys") == [f"private/orders/{name}", f"public/orders/{name}"]


def test_the_next_commands_can_be_copied_where_a_folder_has_a_space(asapfn):
    ran = keygen(asapfn, "2.pem", "--directory", "my keys; x")
    first, second = ran.out.replace("next", "", 1).splitlines()[-2:]
    assert shlex.split(first)[:3] == ["asapfn", "publish", "my keys; x/public"]
    assert shlex.split(second)[-2:] == ["--directory", "my keys; x"]


@pytest.fixture
def full_disk():
    """No file can be written, of which the system says nothing before the write."""
    _, most = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_left_of_a_key_that_a_full_disk_has_no_place_for(asapfn, full_disk):
    ran = keygen(asapfn)
    assert (ran.code, ran.err) == (2, "asapfn: keys/staged/orders/2.pem: File too large\n")
    assert names("keys") == []
    full_disk()
    assert keygen(asapfn).code == 0


def test_a_full_disk_leaves_what_was_published_and_what_was_staged(asapfn, request):
    keygen(asapfn)
    asapfn("publish", "keys/public", "--to", "www")
    before = names("."), Path("www", KID).read_bytes()
    again = request.getfixturevalue("full_disk")
    assert asapfn("publish", "keys/public", "--to", "www").code == 2
    assert asapfn("activate", KID, "--now").code == 2
    assert (names("."), Path("www", KID).read_bytes()) == before
    again()
    assert asapfn("activate", KID, "--now").code == 0


def test_a_private_key_whose_public_one_cannot_be_written_is_not_kept(asapfn):
    link = Path("keys/public", KID)
    link.parent.mkdir(parents=True)
    link.symlink_to("nowhere")
    assert keygen(asapfn).code == 2
    assert not Path("keys/staged", KID).exists()
    link.unlink()
    assert keygen(asapfn).code == 0


def activate_while(asapfn, monkeypatch, change):
    """Activate a key that is served, and change something while it waits."""

    async def waited(bases, key, options):
        found = await _served_throughout(bases, key, options)
        await to_thread.run_sync(change)
        return found

    monkeypatch.setattr("asapfn.cli.activate._served_throughout", waited)
    body = Path("keys/public", KID).read_bytes()
    with raw_server(answers(response("200 OK", body, PEM))) as url:
        return asapfn("activate", KID, "--repository", url, "--wait", 0)


def test_a_key_that_was_not_looked_at_is_not_activated(asapfn, monkeypatch):
    def change():
        for place in ("staged", "public"):
            Path("keys", place, KID).unlink()
        keygen(asapfn)

    keygen(asapfn)
    ran = activate_while(asapfn, monkeypatch, change)
    assert ran.code == 2
    assert "keys/staged/orders/2.pem was changed in the meantime: activate it again" in ran.err
    assert names("keys") == [f"public/{KID}", f"staged/{KID}"]


def test_a_key_behind_which_another_became_active_is_not_activated(asapfn, monkeypatch):
    def change():
        keygen(asapfn, "3.pem")
        asapfn("activate", "orders/3.pem", "--now")

    keygen(asapfn)
    ran = activate_while(asapfn, monkeypatch, change)
    assert (ran.code, "2.pem would never sign" in ran.err) == (2, True)
    assert Path("keys/staged", KID).exists()


def test_a_key_that_another_activates_meanwhile_is_said_to_be_active(asapfn, monkeypatch):
    keygen(asapfn)
    ran = activate_while(asapfn, monkeypatch, lambda: asapfn("activate", KID, "--now"))
    assert (ran.code, "the key is active already" in ran.err) == (2, True)


def test_a_public_key_is_not_activated(asapfn):
    keygen(asapfn)
    Path("keys/staged", KID).write_text(Path("keys/public", KID).read_text())
    ran = asapfn("activate", KID, "--now")
    assert (ran.code, "is a public key" in ran.err) == (2, True)
    assert not Path("keys/private").exists()


@pytest.fixture
def of_the_service(asapfn, monkeypatch):
    """A key in use that another user owns, and a staged one."""
    keygen(asapfn, "1.pem")
    asapfn("activate", "orders/1.pem", "--now")
    keygen(asapfn)
    real = Path.stat

    def stat(path, **more):
        found = real(path, **more)
        if path.name != "1.pem":
            return found
        return SimpleNamespace(st_mode=found.st_mode, st_uid=found.st_uid + 1, st_gid=7)

    monkeypatch.setattr(Path, "stat", stat)


def test_a_key_becomes_that_of_the_user_who_owns_the_key_before_it(
    asapfn, of_the_service, monkeypatch
):
    given = []

    def fchown(descriptor, *owner):
        folder = Path("keys/private/orders")
        (new,) = {path.name for path in folder.iterdir()} - {"1.pem"}
        given.append((os.path.samestat(os.stat(folder / new), os.fstat(descriptor)), *owner))
        # Nobody finds the key under its name before it is the service's.
        assert not Path("keys/private", KID).exists()

    monkeypatch.setattr(os, "fchown", fchown)
    assert asapfn("activate", KID, "--now").code == 0
    assert given == [(True, os.getuid() + 1, 7)]


def test_a_key_that_cannot_be_given_to_the_service_stays_staged(
    asapfn, of_the_service, monkeypatch
):
    def refused(descriptor, *owner):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as without_rights:
        without_rights.setattr(os, "fchown", refused)
        ran = asapfn("activate", KID, "--now")
    assert ran.code == 2
    assert "Operation not permitted" in ran.err
    assert [path.name for path in Path("keys/private/orders").iterdir()] == ["1.pem"]
    monkeypatch.setattr(os, "fchown", lambda *arguments: None)
    assert asapfn("activate", KID, "--now").code == 0


def others_files():
    """A file and a folder that the commands have nothing to do with."""
    file, folder = Path("theirs"), Path("their-folder")
    file.write_text("secret")
    file.chmod(0o640)
    folder.mkdir(0o710)
    return file.absolute(), folder.absolute()


def modes_and_owners(paths):
    return [(stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in paths]


@pytest.mark.parametrize("command", ["publish keys/public --to www", f"activate {KID} --now"])
def test_who_may_write_there_cannot_put_another_file_under_a_new_one(command, asapfn, monkeypatch):
    keygen(asapfn, "1.pem")
    asapfn("activate", "orders/1.pem", "--now")
    keygen(asapfn)
    if os.getuid() == 0:  # root could give any file to the service that owns the key before
        os.chown("keys/private/orders/1.pem", 65_534, 65_534)
    others = others_files()
    before = modes_and_owners(others)

    def put_links(descriptor):
        for path in Path().rglob(".*.new"):
            path.unlink()
            path.symlink_to(others[0])

    monkeypatch.setattr(os, "fsync", put_links)
    asapfn(*command.split())
    assert [path for path in Path().rglob("*.pem") if path.is_symlink()]
    assert modes_and_owners(others) == before


def test_who_may_write_there_cannot_put_another_folder_under_a_new_one(asapfn, monkeypatch):
    keygen(asapfn)
    others = others_files()
    before, make = modes_and_owners(others), os.mkdir

    def make_and_put_link(path, mode):
        make(path, mode)
        if Path(path) == Path("www/orders"):
            Path(path).rmdir()
            Path(path).symlink_to(others[1])

    monkeypatch.setattr(os, "mkdir", make_and_put_link)
    asapfn("publish", "keys/public", "--to", "www")
    assert Path("www/orders").is_symlink()
    assert modes_and_owners(others) == before


def test_a_key_with_a_comment_of_any_letters_is_activated_as_it_is(asapfn):
    keygen(asapfn)
    staged = Path("keys/staged", KID)
    key = "# für orders\n".encode() + staged.read_bytes()
    staged.write_bytes(key)
    assert asapfn("activate", KID, "--now").code == 0
    assert names("keys/private") == [KID]
    assert Path("keys/private", KID).read_bytes() == key


def test_a_redirect_is_an_answer(asapfn):
    keygen(asapfn)
    moved = response("302 Found", b"", "Location: https://portal.example/?secret")
    with raw_server(answers(moved)) as url:
        for command in (("publish", "keys/public", "--check"), ("activate", KID, "--repository")):
            ran = asapfn(*command, url)
            assert ran.code == 1
            assert "a redirect to portal.example: redirects are not followed" in ran.out


def test_activate_does_not_say_that_it_is_done_where_its_output_is_not_read(asapfn):
    keygen(asapfn)
    body = Path("keys/public", KID).read_bytes()
    reading, writing = os.pipe()
    os.close(reading)
    with raw_server(answers(response("200 OK", body, PEM))) as url:
        command = [sys.executable, "-m", "asapfn", "activate", KID, "--repository", url]
        ran = subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")
    assert Path("keys/staged", KID).exists()


@pytest.mark.parametrize(
    "place",
    ["keys", "keys/private", "keys/staged/orders", "./keys/private/", "keys/public",
     "keys/public/orders"],
)  # fmt: skip
@pytest.mark.parametrize("source", ["keys/public", "www"])  # www: as if the two were swapped
def test_nothing_is_published_into_the_folders_where_keygen_keeps_keys(source, place, asapfn):
    keygen(asapfn)
    shutil.copytree("keys/public", "www")
    ran = asapfn("publish", source, "--to", place)
    assert ran.code == 2
    assert "is where keygen keeps keys: give the folder that a web server serves" in ran.err
    assert names("keys") == [f"public/{KID}", f"staged/{KID}"]
    assert asapfn("activate", KID, "--now").code == 0


@pytest.mark.parametrize(
    ("target", "place"),
    [("keys", "www"), ("keys", "www/private"), ("keys/private", "www"), ("keys/staged", "www"),
     ("keys/public", "www"), ("keys/public", "www/orders"), ("keys/private", "www/new/one")],
)  # fmt: skip
def test_nothing_is_published_there_through_a_link_either(target, place, asapfn):
    keygen(asapfn)
    Path("keys/private").mkdir()
    Path("www").symlink_to(target)
    ran = asapfn("publish", "keys/public", "--to", place)
    assert ran.code == 2
    assert "is where keygen keeps keys: give the folder that a web server serves" in ran.err
    assert names("keys") == [f"public/{KID}", f"staged/{KID}"]


@pytest.mark.parametrize("place", ["site/public/keys", "site/public", "private/www"])
def test_a_folder_of_another_use_is_published_into_whatever_its_name(place, asapfn):
    Path("site/private").mkdir(parents=True)
    keygen(asapfn)
    assert asapfn("publish", "keys/public", "--to", place).code == 0


def test_a_linked_folder_is_not_left_out_without_a_word(asapfn):
    keygen(asapfn)
    for name in ("..data", "shipping"):
        Path("keys/public", name).symlink_to("orders")
    ran = asapfn("publish", "keys/public", "--to", "www")
    assert (ran.code, Path("www").exists()) == (2, False)
    assert ran.err == "asapfn: keys/public/shipping is a link to a folder, which is not followed\n"
    Path("keys/public/shipping").unlink()  # hidden ones stay, as Kubernetes has them
    assert asapfn("publish", "keys/public", "--to", "www").code == 0
