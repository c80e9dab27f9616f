"""JSON Web Keys, in: members that are understood come in, and no others do."""

import json
import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey

from asapfn._core import compact
from asapfn._core.algorithms import make_signature, verify_signature
from asapfn._core.jwk import export_public_jwk, import_jwk
from asapfn.keys import export_public_pem
from tests.support.keyforms import KINDS, native, number, weak_pair, whole
from tests.support.keyring import key_for

MISUSED: list[Any] = [1, 1.5, True, [], ["a"], {}, {"a": 1}, b"AQAB", object()]


def rsa_members(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}


@pytest.mark.parametrize("name", [*KINDS, "PS384", "Ed25519", "HS256", "HS512"])
def test_a_private_or_symmetric_key_comes_back_from_json(name: str) -> None:
    key = import_jwk(json.loads(json.dumps(whole(name))))
    assert key.is_private
    assert (key.kid, key.alg) == (f"issuer/{name}.pem", name)
    signature = make_signature(name, key, b"message")
    assert verify_signature(name, key_for(name), b"message", signature)


@pytest.mark.parametrize("name", KINDS)
def test_a_public_key_comes_back_from_what_is_exported(name: str) -> None:
    exported = export_public_jwk(key_for(name))
    key = import_jwk(json.loads(json.dumps(exported)))
    assert not key.is_private
    assert export_public_jwk(key) == exported
    assert verify_signature(name, key, b"m", make_signature(name, key_for(name), b"m"))


@pytest.mark.parametrize("name", [*KINDS, "HS256"])
def test_members_that_are_not_understood_are_left_behind(name: str) -> None:
    strange = {
        "use": "sig",
        "key_ops": ["sign", "verify"],
        "x5c": ["MII"],
        "x5t": "t",
        "x5u": "https://evil.example",
        "ext": True,
        "exp": 1,
        "unknown": {"a": [1]},
        "": None,
    }
    plain, key = import_jwk(whole(name)), import_jwk(whole(name) | strange)
    assert set(key.keys()) == set(plain.keys())
    assert key.dict_value == plain.dict_value
    # A key that was only good for signing at its maker's serves us as any other.
    assert verify_signature(name, key, b"m", make_signature(name, key, b"m"))


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA", "HS256"])
@pytest.mark.parametrize("value", MISUSED)
def test_a_member_of_the_wrong_type_is_refused(name: str, value: Any) -> None:
    members = {n: v for n, v in whole(name).items() if n != "use"}
    for member in members:
        with pytest.raises(ValueError, match="the JWK's"):
            import_jwk(members | {member: value})


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA", "HS256"])
def test_a_member_that_is_missing_is_refused(name: str) -> None:
    members = export_public_jwk(key_for(name)) if name != "HS256" else whole(name)
    for member in members.keys() - {"kid", "alg", "use"}:
        for less in ({n: v for n, v in members.items() if n != member}, members | {member: None}):
            with pytest.raises(ValueError, match="the JWK's"):
                import_jwk(less)


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_a_member_that_is_null_is_absent(name: str) -> None:
    """As .NET and Java write those that are not set: {"use": null, "d": null, "oth": null}."""
    public = export_public_jwk(key_for(name))
    unset = dict.fromkeys(("use", "key_ops", "x5t", "d", "p", "q", "dp", "dq", "qi", "oth", "k"))
    key = import_jwk(public | unset)
    assert not key.is_private
    assert export_public_jwk(key) == public
    bare = import_jwk(public | {"kid": None, "alg": None})
    assert (bare.kid, bare.alg) == (None, None)


def test_a_private_key_with_null_members_is_read_as_without_them() -> None:
    whole_key = whole("RS256")
    only_d = dict.fromkeys(("p", "q", "dp", "dq", "qi", "oth"))
    assert import_jwk(whole_key | only_d).is_private
    with pytest.raises(ValueError, match="private members, but no d"):
        import_jwk(whole_key | {"d": None})


@pytest.mark.parametrize("name", ["RS256", "ES256", "ES512", "EdDSA", "HS256"])
@pytest.mark.parametrize("form", ["{}=", "+{}", "{} ", "{}\n", "", "\u00e9{}", "\ud800{}"])
def test_a_member_that_is_not_strict_base64url_is_refused(name: str, form: str) -> None:
    members = whole(name)
    for member in members.keys() - {"kid", "alg", "use", "kty", "crv"}:
        with pytest.raises(ValueError, match=r"members make no key|do not belong together"):
            import_jwk(members | {member: form.format(members[member])})


@pytest.mark.parametrize(
    "kty", ["", "rsa", "AKP", "oct ", "DSA", "ec", None, 1, ["RSA"], {"RSA": 1}]
)
def test_a_type_that_is_not_known_is_refused(kty: Any) -> None:
    with pytest.raises(ValueError, match="kty is none of RSA, EC, OKP, oct"):
        import_jwk(whole("RS256") | {"kty": kty})


def test_what_is_missing_is_named() -> None:
    for kty, member in (("RSA", "n"), ("EC", "crv"), ("OKP", "crv"), ("oct", "k")):
        with pytest.raises(ValueError, match=f"the JWK's {member} is missing or not a string"):
            import_jwk({"kty": kty})


@pytest.mark.parametrize("value", [None, [], "{}", b'{"a":1}', 1, [("kty", "RSA")]])
def test_what_is_no_mapping_is_a_programming_error(value: Any) -> None:
    with pytest.raises(TypeError, match="a JWK is a mapping"):
        import_jwk(value)


@pytest.mark.parametrize("use", ["enc", "", "SIG", 1, ["sig"], {"sig": 1}])
def test_a_key_whose_use_is_not_signatures_is_refused(use: Any) -> None:
    for name in ("RS256", "HS256"):
        with pytest.raises(ValueError, match="not for signatures"):
            import_jwk(whole(name) | {"use": use})


@pytest.mark.parametrize("name", ["RS256", "HS256"])
def test_a_key_of_another_use_is_read_where_that_is_named(name: str) -> None:
    assert import_jwk(whole(name) | {"use": "jwt-svid"}, uses=("sig", "jwt-svid"))
    with pytest.raises(ValueError, match=r'its use is "sig"; to accept it, name it in uses='):
        import_jwk(whole(name) | {"use": "sig"}, uses="jwt-svid")
    for use in ("enc", 1):  # which uses= refuses
        with pytest.raises(ValueError, match=r"its use is \S+$"):
            import_jwk(whole(name) | {"use": use})
    with pytest.raises(ValueError, match="not for signatures"):
        import_jwk(whole(name) | {"use": ["jwt-svid"]}, uses="jwt-svid")


@pytest.mark.parametrize(
    ("name", "private", "operations", "taken"),
    [
        ("ES256", True, ["sign"], True),
        ("ES256", True, ["sign", "verify"], True),
        ("ES256", True, ["sign", "a/b", "deriveKey"], True),
        # RFC 7517, section 4.3: strings, and none of them twice.
        *((name, True, wrong, False) for name in ("ES256", "HS256") for wrong in (
            ["sign", ["unhashable"], None], ["sign", None], ["sign", 1], ["sign", "sign"],
            ["sign", "verify", "verify"], [["sign"], "sign"], [None], [1],
        )),
        ("ES256", False, ["verify", "verify"], False),
        ("ES256", False, ["verify", {}], False),
        ("ES256", True, ["verify"], False),
        ("ES256", False, ["verify"], True),
        ("ES256", False, ["sign"], False),
        ("ES256", False, ["encrypt"], False),
        # Whoever may verify with a secret can sign: it has to be meant for both.
        ("HS256", True, ["sign", "verify"], True),
        ("HS256", True, ["verify"], False),
        *((name, True, wrong, False) for name in ("RS256", "HS256") for wrong in (
            [], "sign", {"sign": 1}, 1, ["SIGN"], [["sign"]], ["decrypt", "wrapKey"]
        )),
    ],
)  # fmt: skip
def test_the_key_operations_have_to_allow_what_the_key_is_for(
    name: str, private: bool, operations: Any, taken: bool
) -> None:
    members = whole(name) if private else export_public_jwk(key_for(name))
    members["key_ops"] = operations
    if taken:
        assert import_jwk(members).is_private is private
        return
    with pytest.raises(ValueError, match=r"key_ops (do not allow|are not strings)"):
        import_jwk(members)


@pytest.mark.parametrize("algorithm", ["none", "", "ES521", "RSA-OAEP", "HS256", "ES256", "PS999"])
def test_a_key_that_does_not_fit_its_own_alg_is_refused(algorithm: str) -> None:
    with pytest.raises(ValueError, match=r"needs a key of type|unknown algorithm"):
        import_jwk(whole("RS256") | {"alg": algorithm})


def test_a_short_rsa_key_is_refused_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"of less than 2048 bits .* this one has 1024"):
            import_jwk(rsa_members(weak_pair()))


@pytest.mark.parametrize("size", [2**2046, 2**2047 - 1])
def test_a_modulus_is_measured_by_its_value_and_not_by_its_text(size: int) -> None:
    padded = compact.encode_base64url(b"\0" * 8 + (size | 1).to_bytes(256)).decode()
    with pytest.raises(ValueError, match="weak"):
        import_jwk({"kty": "RSA", "n": padded, "e": "AQAB"})


@pytest.mark.parametrize("exponent", [0, 1, 2, 4, 65536])
def test_an_exponent_that_hides_nothing_is_refused(exponent: int) -> None:
    with pytest.raises(ValueError, match="make no key"):
        import_jwk(rsa_members(native("RS256").private) | {"e": number(exponent) or "AA"})


@pytest.mark.parametrize(
    ("algorithm", "size"), [("HS256", 31), ("HS384", 47), ("HS512", 63), (None, 31), (None, 0)]
)
def test_a_short_secret_is_refused(algorithm: str | None, size: int) -> None:
    members = {"kty": "oct", "k": compact.encode_base64url(b"s" * size).decode()}
    with pytest.raises(ValueError, match="or a weak one"):
        import_jwk(members | ({"alg": algorithm} if algorithm else {}))


def test_a_public_key_as_the_secret_of_a_jwk_is_refused() -> None:
    """CVE-2022-29217, by way of a JWK."""
    pem = export_public_pem(key_for("RS256")).encode()
    with pytest.raises(ValueError, match=r"make no key.* no shared secret"):
        import_jwk({"kty": "oct", "k": compact.encode_base64url(pem).decode()})


@pytest.mark.parametrize("name", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_private_and_public_members_have_to_belong_together(name: str) -> None:
    other = key_for(name, "other").as_dict(private=True)
    public = export_public_jwk(key_for(name)).keys() - {"kid", "alg", "use", "kty", "crv", "e"}
    with pytest.raises(ValueError, match=r"make no key|do not belong together"):
        import_jwk(whole(name) | {member: other[member] for member in public})


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi"])
def test_the_private_members_of_an_rsa_key_have_to_agree(member: str) -> None:
    members = whole("RS256")
    value = int.from_bytes(compact.decode_base64url(members[member].encode()))
    with pytest.raises(ValueError, match="make no key"):
        import_jwk(members | {member: number(value + 2)})


def test_d_has_to_agree_with_the_public_members_of_an_rsa_key_where_it_is_alone() -> None:
    members = whole("RS256")
    only_d = rsa_members(native("RS256").private) | {"d": members["d"]}
    assert import_jwk(only_d).is_private
    # Not by 500 trials for the primes.
    with pytest.raises(ValueError, match="private members do not belong to its public ones"):
        import_jwk(only_d | {"d": number(native("RS256").private.private_numbers().d + 2)})


@pytest.mark.parametrize("with_primes", [True, False])
def test_the_numbers_of_a_private_rsa_key_are_bounded_before_they_are_used(
    with_primes: bool,
) -> None:
    names = {"kty", "n", "e", "d", *(("p", "q", "dp", "dq", "qi") if with_primes else ())}
    members = {name: value for name, value in whole("RS256").items() if name in names}
    assert import_jwk(members).is_private
    large = {"n": number((1 << 8192) + 1)}
    with pytest.raises(ValueError, match="at most 8192 bits, of two primes"):
        import_jwk(members | large)
    with pytest.raises(ValueError, match="positive and below the modulus"):
        import_jwk(members | {"d": members["n"]})
    if with_primes:
        for prime in ("p", "q"):
            with pytest.raises(ValueError, match="positive and below the modulus"):
                import_jwk(members | {prime: members["n"]})


@pytest.mark.parametrize("dropped", ["d", "p", "q", "dp", "dq", "qi"])
def test_private_members_of_an_rsa_key_are_all_there_or_only_d(dropped: str) -> None:
    """RFC 7518, section 6.3.2. joserfc takes those without d for a public key."""
    members = {name: value for name, value in whole("RS256").items() if name != dropped}
    with pytest.raises(ValueError, match=r"private members, but no d|make no key"):
        import_jwk(members)


@pytest.mark.parametrize("value", [[], [{"r": "AQ", "d": "AQ", "t": "AQ"}], "AQ"])
def test_an_rsa_key_of_more_than_two_primes_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="more than two primes"):
        import_jwk(whole("RS256") | {"oth": value})


@pytest.mark.parametrize(
    ("kty", "curve"),
    [
        ("EC", "P-192"),
        ("EC", "P-384"),
        ("EC", "secp256k1"),
        ("EC", "Ed25519"),
        ("EC", ""),
        ("OKP", "Ed448"),
        ("OKP", "X25519"),
        ("OKP", "X448"),
        ("OKP", "P-256"),
        ("OKP", "ed25519"),
    ],
)
def test_a_curve_that_is_not_the_keys_or_not_taken_is_refused(kty: str, curve: str) -> None:
    members = export_public_jwk(key_for("ES256" if kty == "EC" else "EdDSA"))
    members.pop("alg")
    with pytest.raises(ValueError, match=r"make no key|no algorithm here has"):
        import_jwk(members | {"crv": curve})


def test_a_secp256k1_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no algorithm here has a key of this curve"):
        import_jwk(ECKey.generate_key("secp256k1").as_dict(private=True))


@pytest.mark.parametrize("x", [0, 1, 2**256 - 1])
def test_a_point_that_is_not_on_the_curve_is_refused(x: int) -> None:
    members = export_public_jwk(key_for("ES256"))
    with pytest.raises(ValueError, match="make no key"):
        import_jwk(members | {"x": compact.encode_base64url(x.to_bytes(32)).decode()})
