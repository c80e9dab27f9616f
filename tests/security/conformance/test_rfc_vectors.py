"""The RFCs' own examples: RFC 7515 appendix A, RFC 7520 sections 4.1 to 4.3, RFC 8037 appendix A.

Each token verifies with the key beside it, and with that key's public part alone. Where a signature
leaves nothing to chance, signing again gives the RFC's bytes. The keys of RFC 7520 are the public
ones, of which section 4.2 uses that of 4.1.
"""

from typing import Any, NamedTuple

import pytest

from asapfn._core import compact
from asapfn._core.algorithms import make_signature, verify_signature
from asapfn.errors import TokenRejected
from asapfn.keys import export_public_jwk, import_jwk

# RFC 7515, appendix A.1.1: with the line ends of the RFC.
JOE = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
# RFC 7520, figure 7: with its typographic apostrophes.
FRODO = (
    "It\u2019s a dangerous business, Frodo, going out your door. You step onto the road, and if "
    "you don't keep your feet, there\u2019s no knowing where you might be swept off to."
).encode()


class Example(NamedTuple):
    source: str
    payload: bytes
    jwk: dict[str, Any]
    token: str
    certain: bool


EXAMPLES = [
    Example(
        "RFC 7515, A.1",
        JOE,
        {
            "kty": "oct",
            "k": (
                "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZ"
                "r1Z9CAow"
            ),
        },
        (
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzO"
            "DAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p"
            "1r_wW1gFWFOEjXk"
        ),
        True,
    ),
    Example(
        "RFC 7515, A.2",
        JOE,
        {
            "kty": "RSA",
            "n": (
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2"
                "mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7"
                "OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMT"
                "BQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM"
                "Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ"
            ),
            "e": "AQAB",
            "d": (
                "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx"
                "9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0"
                "QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCB"
                "r6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQ"
                "yGWSeWjnczT0QU91p1DhOVRuOopznQ"
            ),
        },
        (
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9le"
            "GFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9"
            "PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BA"
            "ynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL"
            "n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9"
            "Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
        True,
    ),
    Example(
        "RFC 7515, A.3",
        JOE,
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
        },
        (
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9le"
            "GFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfT"
            "jDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        ),
        False,
    ),
    Example(
        "RFC 7515, A.4",
        b"Payload",
        {
            "kty": "EC",
            "crv": "P-521",
            "x": (
                "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qU"
                "xcWceqwQGk"
            ),
            "y": (
                "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubm"
                "f63e3kyMj2"
            ),
            "d": (
                "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53"
                "vM9mE15j2C"
            ),
        },
        (
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaR"
            "I1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJ"
            "jyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
        ),
        False,
    ),
    Example(
        "RFC 7520, 4.1",
        FRODO,
        {
            "kty": "RSA",
            "kid": "bilbo.baggins@hobbiton.example",
            "n": (
                "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nq"
                "Q0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3R"
                "BordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEH"
                "g8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__"
                "kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
            ),
            "e": "AQAB",
        },
        (
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzI"
            "GEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb25"
            "0byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub"
            "3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.MRjdkly7_-oTPTS3AXP41iQIGKa80A0"
            "ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA7"
            "8185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4"
            "QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_"
            "oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
        ),
        False,
    ),
    Example(
        "RFC 7520, 4.2",
        FRODO,
        {
            "kty": "RSA",
            "kid": "bilbo.baggins@hobbiton.example",
            "n": (
                "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nq"
                "Q0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3R"
                "BordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEH"
                "g8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__"
                "kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
            ),
            "e": "AQAB",
        },
        (
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzI"
            "GEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb25"
            "0byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub"
            "3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7"
            "fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbU"
            "rhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p"
            "8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa"
            "64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
        ),
        False,
    ),
    Example(
        "RFC 7520, 4.3",
        FRODO,
        {
            "kty": "EC",
            "kid": "bilbo.baggins@hobbiton.example",
            "crv": "P-521",
            "x": (
                "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRX"
                "YgCF5cj0Kt"
            ),
            "y": (
                "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwl"
                "GfP-HqHZR1"
            ),
        },
        (
            "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzI"
            "GEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb25"
            "0byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub"
            "3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.AE_R_YZCChjn4791jSQCrdPZCNYqHXC"
            "TZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXP"
            "n7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"
        ),
        False,
    ),
    Example(
        "RFC 8037, A.4",
        b"Example of Ed25519 signing",
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        },
        (
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPO"
            "t7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        ),
        True,
    ),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.source)
def test_an_example_verifies_with_its_key_and_with_the_public_part(example: Example) -> None:
    header, payload, signing_input, signature = compact.parse(example.token)
    key = import_jwk(example.jwk)
    assert payload == example.payload
    assert verify_signature(header["alg"], key, signing_input, signature)
    if example.jwk["kty"] != "oct":
        public = import_jwk(export_public_jwk(key))
        assert not public.is_private
        assert verify_signature(header["alg"], public, signing_input, signature)
    assert not verify_signature(header["alg"], key, signing_input + b"A", signature)


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e.certain], ids=lambda example: example.source
)
def test_signing_an_example_again_gives_the_same_bytes(example: Example) -> None:
    header, _, signing_input, signature = compact.parse(example.token)
    assert make_signature(header["alg"], import_jwk(example.jwk), signing_input) == signature


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if "d" in e.jwk], ids=lambda example: example.source
)
def test_an_example_key_signs_what_its_public_part_verifies(example: Example) -> None:
    header, _, signing_input, _ = compact.parse(example.token)
    key = import_jwk(example.jwk)
    signature = make_signature(header["alg"], key, signing_input)
    public = import_jwk(export_public_jwk(key))
    assert verify_signature(header["alg"], public, signing_input, signature)


def test_the_unsecured_example_is_of_an_unsupported_algorithm() -> None:
    """RFC 7515, appendix A.5."""
    head, payload, _ = EXAMPLES[0].token.split(".")
    token = f"eyJhbGciOiJub25lIn0.{payload}."
    assert head != "eyJhbGciOiJub25lIn0"
    with pytest.raises(TokenRejected) as caught:
        compact.parse(token)
    assert caught.value.reason == "unsupported_algorithm"


def test_the_json_serialization_is_malformed() -> None:
    """RFC 7515, appendix A.7: the flattened syntax of the example of A.3."""
    head, payload, signature = EXAMPLES[2].token.split(".")
    flattened = (
        f'{{"payload":"{payload}","protected":"{head}",'
        f'"header":{{"kid":"e9bc097a-ce51-4036-9562-d2ade882db0d"}},"signature":"{signature}"}}'
    )
    with pytest.raises(TokenRejected) as caught:
        compact.parse(flattened)
    assert caught.value.reason == "malformed"


def test_the_public_key_of_rfc_8037_is_what_its_private_key_exports() -> None:
    """RFC 8037, appendices A.1 and A.2."""
    exported = export_public_jwk(import_jwk(EXAMPLES[-1].jwk))
    assert exported == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "use": "sig",
    }
