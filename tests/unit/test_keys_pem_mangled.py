"""Private keys as environment variables and CI secrets leave them."""

import base64
import subprocess
import urllib.parse

import pytest

from asapfn.keys import (
    export_data_uri,
    export_private_pem,
    export_public_jwk,
    export_public_pem,
    import_data_uri,
    import_pem,
    import_published_pem,
    import_secret,
)
from asapfn.types import Key
from tests.support.keyforms import CLEAR, DER, PKCS8, encrypted, native
from tests.support.keyforms import PEM as PEM_ENCODING
from tests.support.keyring import key_for

PRIVATE = export_private_pem(key_for("ES256"))
LINES = PRIVATE.splitlines()
ONE_LINE = base64.b64encode(PRIVATE.encode()).decode()


def folded(text: str, width: int = 76, end: str = "\n") -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


def same(key: Key, name: str = "ES256") -> bool:
    return key.is_private and all(
        export_public_jwk(key)[member] == export_public_jwk(key_for(name))[member]
        for member in ("kty", "crv", "x", "y")
    )


BLANK_LINES = {
    "behind the first line": "\n\n".join((LINES[0], "\n".join(LINES[1:]))),
    "between all lines": "\n\n".join(LINES),
    "with spaces in them": "\n  \n \t\n".join(LINES),
    "as Windows ends lines": "\r\n\r\n".join(LINES),
    "escaped": "\\n\\n".join(LINES),
    "spaces for line feeds": f"{LINES[0]} {' '.join(LINES[1:-1])} {LINES[-1]}",
    "indented, as YAML leaves it": "\n".join(f"    {line}" for line in LINES),
}
ESCAPED = {
    "twice": PRIVATE.replace("\n", "\\\\n"),
    "three times": PRIVATE.replace("\n", "\\\\\\\\n"),
    "twice, as Windows ends lines": PRIVATE.replace("\n", "\\\\r\\\\n"),
    "twice, in quotes": '\\"' + PRIVATE.replace("\n", "\\\\n") + '\\"',
    "before a line feed": PRIVATE.replace("\n", "\\\n"),
}
IN_BASE64 = {
    "in one line": ONE_LINE,
    "without padding": ONE_LINE.rstrip("="),
    "without half of its padding": ONE_LINE.removesuffix("="),
    "folded": folded(ONE_LINE),
    "folded, escaped": folded(ONE_LINE, end="\\n"),
    "in quotes": f'"{ONE_LINE}"\n',
    "of a PEM that is escaped": base64.b64encode(PRIVATE.replace("\n", "\\n").encode()).decode(),
    "of a PEM behind a byte order mark": base64.b64encode(
        b"\xef\xbb\xbf" + PRIVATE.encode()
    ).decode(),
}


# As JavaScript's encodeURIComponent and encodeURI have it, which Postman and npm's
# jwt-authentication decode, and as GitHub's workflow commands write a line feed.
PERCENT_ENCODED = {
    "encodeURIComponent": urllib.parse.quote(PRIVATE, safe="-_.!~*'()"),
    "encodeURI": urllib.parse.quote(PRIVATE, safe="-_.!~*'();/?:@&=+$,#"),
    "line feeds alone": PRIVATE.replace("\n", "%0A"),
    "of base64": urllib.parse.quote(ONE_LINE, safe=""),
}


@pytest.mark.parametrize(
    "text",
    [*BLANK_LINES.values(), *ESCAPED.values(), *IN_BASE64.values(), *PERCENT_ENCODED.values()],
    ids=[*BLANK_LINES, *ESCAPED, *(f"base64, {name}" for name in IN_BASE64), *PERCENT_ENCODED],
)
def test_what_ci_secrets_do_to_a_pem_is_undone(text: str) -> None:
    assert same(import_pem(text))
    assert same(import_pem(text.encode()))


@pytest.mark.parametrize("name", ["PKCS#8", "SEC1"])
def test_base64_of_a_pem_by_coreutils_is_read(name: str) -> None:
    """What `base64 key.pem` prints, and `base64 -w0 key.pem`."""
    private = native("ES256").private
    pem = private.private_bytes(PEM_ENCODING, PKCS8, CLEAR)
    if name == "SEC1":
        pem = subprocess.run(["openssl", "ec"], input=pem, capture_output=True, check=True).stdout
        assert b"BEGIN EC PRIVATE KEY" in pem
    for options in ([], ["-w0"]):
        run = subprocess.run(["base64", *options], input=pem, capture_output=True, check=True)
        assert same(import_pem(run.stdout))


@pytest.mark.parametrize("kind", ["PKCS#8", "traditional"])
@pytest.mark.parametrize("form", ["{}", "between", "indented", "escaped", "base64"])
def test_an_encrypted_pem_is_read_however_its_lines_are(kind: str, form: str) -> None:
    pem = encrypted("ES256", PEM_ENCODING).decode()
    if kind == "traditional":
        pem = subprocess.run(
            ["openssl", "ec", "-aes256", "-passout", "pass:password"],
            input=PRIVATE,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        assert "DEK-Info: AES-256-CBC," in pem
    lines = pem.splitlines()
    text = {
        "{}": pem,
        "between": pem.replace("\n", "\n\n") if kind == "PKCS#8" else pem.replace("\n", "\r\n"),
        "indented": "\n".join(f"    {line}" for line in lines),
        "escaped": "\\\\n".join(lines),
        "base64": base64.b64encode(pem.encode()).decode(),
    }[form]
    assert same(import_pem(text, password="password"))


def test_an_encrypted_pem_is_read_from_base64_too() -> None:
    text = base64.b64encode(encrypted("ES256", PEM_ENCODING))
    assert same(import_pem(text, password="password"))
    with pytest.raises(ValueError, match="needs a password"):
        import_pem(text)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(ONE_LINE.encode()).decode(),
        base64.b64encode(PRIVATE.encode() * 2).decode(),
        base64.b64encode(f"{PRIVATE}{export_public_pem(key_for('ES256'))}".encode()).decode(),
        f"{ONE_LINE}\n{ONE_LINE}",
        base64.b64encode(PRIVATE.encode()[:-20]).decode(),
        base64.b64encode(b"no PEM").decode(),
        ONE_LINE + "-_",
        ONE_LINE[:-1] + "\x00",
        f"key: {ONE_LINE}",
        urllib.parse.quote(urllib.parse.quote(PRIVATE)),
    ],
)
def test_base64_of_anything_but_one_pem_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected one key in PEM|no PEM key found") as raised:
        import_pem(text)
    assert LINES[1] not in repr(raised.value)


def test_a_published_key_is_not_looked_for_in_base64() -> None:
    """What comes from outside is read in one way alone."""
    public = export_public_pem(key_for("ES256"))
    with pytest.raises(ValueError, match="expected one key in PEM, found 0"):
        import_published_pem(base64.b64encode(public.encode()))


@pytest.mark.parametrize(
    "text",
    [*BLANK_LINES.values(), *ESCAPED.values(), *IN_BASE64.values(), *PERCENT_ENCODED.values()],
)
def test_a_mangled_pem_is_no_shared_secret_either(text: str) -> None:
    public = text
    with pytest.raises(ValueError, match="no shared secret"):
        import_secret(public)


URI = export_data_uri(import_pem(PRIVATE, kid="a/b"))
HEAD, _, BODY = URI.partition(",")
# As JavaScript's encodeURIComponent has it, and every character.
QUOTED = urllib.parse.quote(BODY, safe="")
ALL_QUOTED = "".join(f"%{ord(character):02x}" for character in BODY)


@pytest.mark.parametrize(
    "uri",
    [
        f"{HEAD},{folded(BODY)}",
        f"{HEAD},{folded(BODY, 64)}\r\n",
        f"{HEAD},\n{BODY}",
        f"{HEAD},{folded(BODY, end=chr(13) + chr(10) + '  ')}",
        f"{HEAD},{folded(BODY, end=chr(92) + 'n')}",
        f"{HEAD},{folded(BODY, end=chr(92) * 2 + 'n')}",
        f"{HEAD},{QUOTED}",
        f"{HEAD},{ALL_QUOTED}",
        f"{HEAD},{urllib.parse.quote(folded(BODY), safe='')}",
        URI.replace(";base64", ";charset=utf-8;base64"),
        URI.replace(";kid=", ";charset=US-ASCII;kid="),
        URI.replace("base64,", "charset=%22utf-8%22;base64,"),
        f'"{HEAD},{folded(BODY)}"',
        f'\\"{URI}\\"',
        # Folded as a whole, so that key ids are broken too.
        folded(URI, 20),
        folded(URI, 30, end="\r\n    "),
        folded(URI, 30, end="\\n"),
        # Without padding, as Node.js reads it.
        URI.rstrip("="),
        # What npm's jwt-authentication also reads, and its own helper writes.
        URI.replace(";base64", ""),
        f"data:application/x-pem-file;kid=a/b,{ONE_LINE}",
        # A PEM as RFC 2397 has text, which go-asap's users read by a package for data URLs.
        f"data:application/x-pem-file;kid=a/b,{urllib.parse.quote(PRIVATE, safe='')}",
        f"data:text/plain;charset=utf-8;kid=a%2Fb,{PERCENT_ENCODED['encodeURI']}",
        # As a whole, its scheme too or not.
        urllib.parse.quote(URI, safe=""),
        f"data:{urllib.parse.quote(URI[5:], safe='')}",
    ],
)
def test_what_environment_variables_and_peers_do_to_a_data_uri_is_undone(uri: str) -> None:
    with pytest.raises(ValueError, match="no shared secret"):
        import_secret(uri)
    key = import_data_uri(uri)
    assert same(key)
    assert key.kid == "a/b"


@pytest.mark.parametrize(
    "uri",
    [
        URI.replace(";base64", ";name=x;base64"),
        URI.replace(";base64", ";;base64"),
        URI.replace(";base64", ";base64;base64"),
        URI.replace(";base64", ";BASE64"),
        URI.replace(";base64", ";charset=a;charset=b;base64"),
        URI.replace(";base64", ";kid=c;base64"),
        URI.replace(";base64,", ";base64;charset=a,"),
        URI.replace("kid=", "KID="),
        URI.replace(";kid", " ;kid"),
        URI.replace("data:", "data: "),
        f"{HEAD},{BODY}%",
        f"{HEAD},{BODY}%2",
        f"{HEAD},{BODY}%2G",
        f"{HEAD},{ALL_QUOTED.replace('%', '%25')}",
        f"{HEAD},{BODY}#x",
        f"{HEAD},{BODY}\x00",
        f"{HEAD},{BODY},{BODY}",
        f"{URI}\n{URI}",
        f"{HEAD},{base64.b64encode(PRIVATE.encode() * 2).decode()}",
        f"{HEAD},{base64.b64encode(export_public_pem(key_for('ES256')).encode()).decode()}",
        f"{HEAD},{base64.b64encode(encrypted('ES256', PEM_ENCODING)).decode()}",
    ],
)
def test_a_data_uri_that_could_be_read_in_two_ways_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"expected data:application/pkcs8|no PKCS#8 key") as no:
        import_data_uri(uri)
    assert BODY[20:60] not in repr(no.value)


@pytest.mark.parametrize("kid", ["a/b", "%61/b", "a%2Fb"])
def test_the_data_of_a_data_uri_may_be_a_pem_as_go_asap_reads_it(kid: str) -> None:
    for pem in (PRIVATE, PRIVATE.replace("\n", "\r\n")):
        data = base64.b64encode(pem.encode()).decode()
        key = import_data_uri(f"data:application/pkcs8;kid={kid};base64,{data}")
        assert same(key)
        assert key.kid == "a/b"


def test_der_is_what_is_meant_by_a_data_uri() -> None:
    der = native("ES256").private.private_bytes(DER, PKCS8, CLEAR)
    assert base64.b64decode(BODY) == der
