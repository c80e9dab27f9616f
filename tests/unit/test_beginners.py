"""A beginner's mistakes each get a sentence that says what was meant, and quotes no secret."""

import json
from pathlib import Path

import httpx
import pytest

from asapfn import (
    Request,
    TokenRejected,
    asap,
    bearer,
    connect,
    explain,
    forge,
    jitsi,
    policy,
    sign,
    verifier,
    verify,
)
from asapfn.adapters.httpx import fetcher
from asapfn.keys import export_public_pem, import_data_uri, import_pem, import_secret
from asapfn.resolvers import (
    certificates,
    discovered,
    jwks,
    keys_by_id,
    pem_repository,
    shared_secrets,
)
from tests.support.keyring import key_for
from tests.support.keysources import asking

pytestmark = pytest.mark.no_event_loop

KEY = key_for("ES256")
PEM = export_public_pem(KEY)
SECRET = "a secret of the tenant's, long enough"


async def fetch(url, accept):
    raise AssertionError(url)


@pytest.mark.parametrize("path", ["keys/orders.pem", "/etc/keys/orders.pem", b"orders.pem", ""])
def test_a_path_given_as_a_key_is_named(path):
    with pytest.raises(ValueError, match="is this a path instead of the file's contents"):
        import_pem(path)


def test_another_text_given_as_a_key_says_what_is_expected_and_quotes_nothing():
    for text in (SECRET, json.dumps({"kty": "oct"})):
        with pytest.raises(ValueError, match="no PEM key found") as raised:
            import_pem(text)
        assert SECRET not in str(raised.value)
    with pytest.raises(ValueError, match="expected data:application/pkcs8"):
        import_data_uri(PEM)


@pytest.mark.parametrize("scheme", ["data:", "data%3A", ' "data:'])
def test_a_data_uri_given_as_a_pem_names_the_function_that_reads_it(scheme):
    uri = f"{scheme}application/pkcs8;kid=a%2Fb;base64,{SECRET}"
    for text in (uri, uri.encode()):
        with pytest.raises(ValueError, match="a data URI: read it by import_data_uri") as raised:
            import_pem(text)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda key: sign({"iss": "orders"}, key),
        lambda key: asap.signer("orders", key),
        lambda key: asap.signer("orders", lambda: key)("billing"),
        lambda key: connect.authorizer("app", key, base_url="https://x.example"),
        lambda key: keys_by_id([key]),
        lambda key: keys_by_id({"orders/1": key}),
        export_public_pem,
    ],
    ids=["sign", "signer", "function", "connect", "keys", "mapping", "export"],
)
@pytest.mark.parametrize(
    "key",
    [PEM, SECRET, SECRET.encode(), {"kty": "oct"}, None],
    ids=["PEM", "text", "bytes", "JWK", "None"],
)
def test_what_is_no_key_where_a_key_is_meant_is_a_type_error(use, key):
    expected = rf"is a key of asapfn\.keys.*, not {type(key).__name__}$"
    with pytest.raises(TypeError, match=expected) as raised:
        use(key)
    assert SECRET not in str(raised.value)


async def test_headers_as_a_dict_are_a_type_error():
    authenticate = bearer(asap.verifier(keys_by_id([KEY]), "billing", issuers=None))
    for headers in ({"Authorization": "Bearer x"}, {"te": "x", "Host": "y"}, ["Authorization"]):
        with pytest.raises(TypeError, match=r"headers are pairs of name and value.*\.items\(\)"):
            await authenticate(Request("GET", "/", headers))
    assert await refusal(authenticate(Request("GET", "/", tuple({"a": "b"}.items()))))


async def test_a_lookup_that_is_not_async_is_a_type_error():
    for value in (SECRET, None, SECRET.encode()):
        resolve = shared_secrets(lambda issuer, value=value: value)
        with pytest.raises(TypeError, match="the lookup is not async: it returned") as raised:
            await resolve(asking())
        assert SECRET not in str(raised.value)


async def refusal(awaitable):
    with pytest.raises(TokenRejected) as raised:
        await awaitable
    return str(raised.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "JWT", "Authorization: Bearer"])
async def test_a_token_with_its_scheme_is_refused_with_the_reason(scheme):
    token = asap.signer("issuer", KEY)("billing")
    said = await refusal(verify(f"{scheme} {token}", keys_by_id([KEY]), audience="billing"))
    assert said.startswith("malformed: ")
    assert "expected the token alone, without its scheme" in said
    assert token[:12] not in said


@pytest.mark.parametrize("make", [pem_repository, jwks, asap.repository])
def test_an_http_repository_is_named_with_the_way_out(make):
    with pytest.raises(ValueError, match="https") as raised:
        make("http://user:hunter2@localhost:8000/keys/?token=hunter2", fetch)
    assert "http://localhost:8000/keys/" in str(raised.value)
    assert "for development use pem_directory" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    for url in ("ftp://h/", "//h/", "keys", "http://[/", "https:///x"):
        with pytest.raises(ValueError, match="https"):
            make(url, fetch)


def test_the_variable_that_a_wrong_url_came_from_is_named():
    names = ("ASAP_PUBLIC_KEY_REPOSITORY_URL", "ASAP_PUBLIC_KEY_FALLBACK_REPOSITORY_URL")
    for wrong in names:
        environ = dict.fromkeys(names, "https://keys.example/") | {"ASAP_SERVER_AUDIENCE": "a"}
        environ[wrong] = "http://localhost/keys"
        with pytest.raises(ValueError, match=f"{wrong}: .*http://localhost/keys"):
            asap.verifier_from_env(fetch, environ)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: import_pem(Path("a.pem")), "not PosixPath: read the file, as by read_bytes()"),
        (lambda: keys_by_id(KEY), "a list or a mapping of keys: keys_by_id([key])"),
        (lambda: asap.verifier(KEY, "billing", issuers=None), "such as keys_by_id([key]), not ECK"),
        (
            lambda: policy(PEM),
            "a resolver is a function that finds keys, such as keys_by_id([key])",
        ),
        (lambda: verifier(keys_by_id([KEY])), "a policy is what policy(resolver, ...) makes, not"),
        (lambda: bearer(policy(keys_by_id([KEY]))), "such as verifier(...), not Policy"),
        (lambda: jwks("https://keys.example", httpx), "such as fetcher(client), not module"),
        (lambda: asap.repository("https://keys.example", None), "fetcher(client), not NoneType"),
        (lambda: fetcher(httpx.AsyncClient), "not the class: AsyncClient()"),
    ],
)
def test_one_thing_given_for_another_is_a_type_error_that_says_what_is_meant(use, said):
    with pytest.raises(TypeError) as raised:
        use()
    assert said in str(raised.value)


async def test_a_key_given_as_the_resolver_of_one_token_is_a_type_error():
    with pytest.raises(TypeError, match=r"such as keys_by_id\(\[key\]\), not ECKey"):
        await verify(asap.signer("issuer", KEY)("billing"), KEY, audience="billing")


def test_another_issuers_key_is_named_with_its_kid():
    with pytest.raises(ValueError, match=r'begin with shipping/, and is "issuer/ES256\.pem"'):
        asap.signer("shipping", KEY)


@pytest.mark.parametrize("url", ["keys.example", "keys/public", "/srv/keys"])
def test_a_host_or_a_path_given_as_a_url_is_shown(url):
    with pytest.raises(ValueError, match=f"such as https://keys.example/, not {url};"):
        asap.repository(url, fetch)
    for password in ("user:hunter2@keys.example", "keys.example?token=hunter2"):
        with pytest.raises(ValueError, match="https") as raised:
            asap.repository(password, fetch)
        assert "hunter2" not in str(raised.value)


SHARED = import_secret(SECRET)
BY_SECRET = sign({"iss": "tenant", "exp": 4e9}, SHARED)


async def test_a_token_signed_with_a_secret_is_named_where_key_pairs_are_expected():
    found = await explain(BY_SECRET, asap.policy(keys_by_id([KEY]), "billing", issuers=None))
    assert found.verdict.reason == "unsupported_algorithm"
    assert "signed with a shared secret, as Connect tokens are" in found.hint
    found = await explain(BY_SECRET, jitsi.policy(keys_by_id([KEY]), issuers=None, audience=None))
    assert "app_secret=True" in found.hint
    found = await explain(BY_SECRET, policy(keys_by_id({}), algorithms=["HS512"]))
    assert "shared secret" not in found.hint


async def test_secrets_that_are_looked_up_by_a_kid_that_is_missing_are_a_hint():
    found = await explain(BY_SECRET, policy(keys_by_id({"tenant": SHARED}), algorithms=["HS256"]))
    assert str(found.verdict) == 'unknown_key: no key for iss "tenant"; there is no kid'
    assert "the token has no kid: shared_secrets looks up secrets by iss" in found.hint


@pytest.mark.parametrize(
    "make",
    [
        lambda fetch: asap.repository("https://keys.example", fetch),
        lambda fetch: jitsi.repository("https://keys.example", fetch),
        lambda fetch: jwks("https://keys.example", fetch),
        lambda fetch: certificates("https://keys.example", fetch),
        lambda fetch: discovered("https://issuer.example", fetch),
        lambda fetch: forge.keys(fetch),
    ],
    ids=["asap", "jitsi", "jwks", "certificates", "discovered", "forge"],
)
def test_the_maker_of_a_fetch_is_a_type_error_when_a_source_is_made(make):
    for wrong in (fetcher, lambda url: url):
        with pytest.raises(TypeError, match=r"function of a URL and .*fetcher\(\), with its paren"):
            make(wrong)
    # What has other parameters besides, and what was written in C, of which none are known.
    for right in (lambda url, *more, **options: url, lambda url, accept, tries=3: url, max):
        assert make(right)
