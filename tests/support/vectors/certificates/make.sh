#!/bin/sh
# Makes the certificates of this folder and, beside each, its public key; with OpenSSL 3.0.
set -eu
out=$(cd "$(dirname "$0")" && pwd)
cd "$(mktemp -d)"
cat > ca.cnf <<'C'
[ca]
default_ca = here
[here]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = any
[any]
commonName = supplied
[signing]
keyUsage = critical, digitalSignature
basicConstraints = CA:FALSE
[agreement]
keyUsage = critical, keyEncipherment
[both]
keyUsage = keyEncipherment, digitalSignature
extendedKeyUsage = clientAuth
[plain]
subjectKeyIdentifier = hash
C
: > index.txt
echo 01 > serial
make() { # name, from, to, section of extensions, how the key is made
    name=$1 from=$2 to=$3 section=$4
    shift 4
    openssl genpkey "$@" -out key.pem 2>/dev/null
    openssl req -new -key key.pem -subj "/CN=$name" -out request.pem
    openssl ca -batch -notext -selfsign -keyfile key.pem -config ca.cnf -in request.pem \
        -startdate "$from" -enddate "$to" -extensions "$section" -out "$out/$name.pem" 2>/dev/null
    openssl x509 -in "$out/$name.pem" -noout -pubkey > "$out/$name.pub"
}
p256="-algorithm EC -pkeyopt ec_paramgen_curve:P-256"
make rsa 20200101000000Z 20210101000000Z signing -algorithm RSA -pkeyopt rsa_keygen_bits:2048
make ec 20400229120000Z 20600101000000Z both $p256
make ed25519 19600101000000Z 99991231235959Z plain -algorithm ED25519
make encipher 20200101000000Z 20600101000000Z agreement -algorithm RSA -pkeyopt rsa_keygen_bits:2048
make weak 20200101000000Z 20600101000000Z signing -algorithm RSA -pkeyopt rsa_keygen_bits:1024
make p224 20200101000000Z 20600101000000Z signing -algorithm EC -pkeyopt ec_paramgen_curve:P-224
make old 20200101000000Z 20600101000000Z plain $p256
