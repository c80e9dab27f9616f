"""Keys and certificates in every form that somebody may hand us, for tests of what is refused."""

import base64
import datetime
import functools
import json
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from asapfn._core import compact
from asapfn.keys import export_jwks, export_public_jwk
from tests.support.keyring import key_for

PKCS8 = serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
CLEAR = serialization.NoEncryption()

# One of each type and curve that is taken.
KINDS = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


class Forms(NamedTuple):
    """A key pair of cryptography's."""

    private: Any
    public: Any


def native(name: str) -> Forms:
    key: Any = key_for(name)
    return Forms(key.private_key, key.public_key)


@functools.cache
def weak_pair() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


def certificate(name: str, encoding: serialization.Encoding, *extensions: Any) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    digest = None if name == "EdDSA" else hashes.SHA256()
    made = (
        x509.CertificateBuilder(subject, subject, native(name).public, 1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=30))
    )
    for extension in extensions:
        made = made.add_extension(extension, critical=False)
    return made.sign(native(name).private, digest).public_bytes(encoding)


def encrypted(name: str, encoding: serialization.Encoding) -> bytes:
    data: bytes = native(name).private.private_bytes(
        encoding, PKCS8, serialization.BestAvailableEncryption(b"password")
    )
    return data


def openssh(name: str) -> bytes:
    data: bytes = native(name).private.private_bytes(
        PEM, serialization.PrivateFormat.OpenSSH, CLEAR
    )
    return data


def ssh_line(name: str) -> bytes:
    data: bytes = native(name).public.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return data


def ssh_binary(name: str) -> bytes:
    return base64.b64decode(ssh_line(name).split()[1])


def body(pem: bytes) -> bytes:
    """What stands between the lines of a PEM's armour."""
    return b"\n".join(pem.strip().split(b"\n")[1:-1])


def unknown_kind() -> bytes:
    """A public key in DER, of an algorithm that nobody knows."""
    der: bytes = native("RS256").public.public_bytes(DER, SPKI)
    rsa_encryption = bytes.fromhex("2a864886f70d010101")
    assert rsa_encryption in der
    return der.replace(rsa_encryption, rsa_encryption[:-1] + b"\x63")


def known_to_others() -> dict[str, bytes]:
    """What is a key or a certificate, and so no shared secret."""
    forms: dict[str, bytes] = {"DER of an unknown kind": unknown_kind()}
    for name in KINDS:
        private, public = native(name)
        spki = public.public_bytes(PEM, SPKI)
        pkcs8 = private.private_bytes(PEM, PKCS8, CLEAR)
        forms |= {
            f"{name} SPKI PEM": spki,
            f"{name} SPKI PEM in text": b"our key:\n" + spki,
            f"{name} SPKI PEM mangled": b'"' + spki.replace(b"\n", b"\\n") + b'"',
            f"{name} SPKI DER": public.public_bytes(DER, SPKI),
            f"{name} SPKI DER and a line feed": public.public_bytes(DER, SPKI) + b"\n",
            f"{name} SPKI DER twice": public.public_bytes(DER, SPKI) * 2,
            f"{name} body of an SPKI PEM": body(spki),
            f"{name} SPKI DER in one line of base64": base64.b64encode(
                public.public_bytes(DER, SPKI)
            ),
            f"{name} PKCS8 PEM": pkcs8,
            f"{name} PKCS8 DER": private.private_bytes(DER, PKCS8, CLEAR),
            f"{name} body of a PKCS8 PEM": body(pkcs8),
            f"{name} encrypted PEM": encrypted(name, PEM),
            f"{name} encrypted DER": encrypted(name, DER),
            f"{name} certificate PEM": certificate(name, PEM),
            f"{name} certificate DER": certificate(name, DER),
            f"{name} body of a certificate PEM": body(certificate(name, PEM)),
            f"{name} OpenSSH private": openssh(name),
            f"{name} body of an OpenSSH private": body(openssh(name)),
            f"{name} SSH line": ssh_line(name),
            f"{name} SSH line with options": b'restrict,command="x" ' + ssh_line(name),
            f"{name} SSH line of known hosts": b"host.example " + ssh_line(name),
            f"{name} SSH line in base64": ssh_line(name).split()[1],
            f"{name} SSH binary": ssh_binary(name),
            f"{name} JWK": json.dumps(export_public_jwk(key_for(name))).encode(),
            f"{name} JWK, indented": json.dumps(
                export_public_jwk(key_for(name)), indent=4, sort_keys=True
            ).encode(),
            f"{name} JWKS": json.dumps(export_jwks([key_for(name)])).encode(),
            f"{name} JWK as Python prints it": str(export_public_jwk(key_for(name))).encode(),
        }
        if not isinstance(public, ed25519.Ed25519PublicKey):
            old = serialization.PrivateFormat.TraditionalOpenSSL
            forms[f"{name} traditional PEM"] = private.private_bytes(PEM, old, CLEAR)
            forms[f"{name} traditional DER"] = private.private_bytes(DER, old, CLEAR)
    forms |= _other_forms()
    pkcs1 = serialization.PublicFormat.PKCS1
    forms["PKCS1 public DER"] = native("RS256").public.public_bytes(DER, pkcs1)
    forms["weak SPKI DER"] = weak_pair().public_key().public_bytes(DER, SPKI)
    forms["SSH2 PEM"] = (
        b"---- BEGIN SSH2 PUBLIC KEY ----\n" + ssh_line("RS256").split()[1] + b"\n"
        b"---- END SSH2 PUBLIC KEY ----\n"
    )
    other: Any = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    forms["brainpool SPKI DER"] = other.public_bytes(DER, SPKI)
    return forms


def _other_forms() -> dict[str, bytes]:
    """A key in forms whose names or bytes stand within something else."""
    private, public = native("ES256")
    jwk = export_public_jwk(key_for("RS256"))
    escaped = {_escaped(name): value for name, value in jwk.items()}
    members = ",".join(f'"{name}":"{value}"' for name, value in escaped.items())
    point = public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    made = x509.load_der_x509_certificate(certificate("ES256", DER))
    uri = b"data:application/pkcs8;kid=a%2Fb;base64," + base64.b64encode(
        private.private_bytes(DER, PKCS8, CLEAR)
    )
    return {
        "JWK whose kty is escaped": json.dumps(jwk).replace('"kty"', '"\\u006bty"').encode(),
        "JWK whose names are escaped": f"{{{members}}}".encode(),
        "JWKS whose keys is escaped": b'{"k\\u0065ys":[]}'.ljust(40),
        "data URI": uri,
        "data URI in quotes": b'"' + uri + b'"',
        "data URI that is percent-encoded": b"data:,"
        + base64.b64encode(public.public_bytes(DER, SPKI)).replace(b"/", b"%2F"),
        "point and a line feed": point + b"\n",
        "a line feed and DER": b"\n" + public.public_bytes(DER, SPKI),
        "PKCS7 DER": pkcs7.serialize_certificates([made], DER),
        "PKCS7 PEM": pkcs7.serialize_certificates([made], PEM),
        "PKCS12": pkcs12.serialize_key_and_certificates(b"a", private, made, None, CLEAR),
        "encrypted PKCS12": pkcs12.serialize_key_and_certificates(
            b"a", private, made, None, serialization.BestAvailableEncryption(b"password")
        ),
    }


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04X}" for letter in text)


def number(value: int) -> str:
    """A number as a JWK has it."""
    return compact.encode_base64url(value.to_bytes((value.bit_length() + 7) // 8)).decode()


def whole(name: str) -> dict[str, Any]:
    """The private JWK, or the secret, as joserfc writes it."""
    return dict(key_for(name).as_dict(private=True))


def rsa_jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """The public JWK of a key, of any size."""
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
