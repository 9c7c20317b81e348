#!/bin/sh
# Makes the fixtures beside it anew, with OpenSSL 3 and its legacy provider. Each password is `pässword` unless said.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
subject() { printf '/CN=%s.example' "$1"; }
ca() { # name, issuer's name or none
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/$1.key" -out "$work/$1.pem" -days 36500 -subj "$(subject "$1")"
    [ "$2" = none ] || issue "$1" "$2" basicConstraints=critical,CA:TRUE
}
issue() { # name, issuer, extension
    echo "$3" >"$work/extensions"
    openssl req -new -key "$work/$1.key" -subj "$(subject "$1")" | openssl x509 -req -CA "$work/$2.pem" \
        -CAkey "$work/$2.key" -days 36500 -extfile "$work/extensions" -out "$work/$1.pem"
}
key() { # name, arguments of genpkey
    name=$1; shift
    openssl genpkey -out "$work/$name.key" "$@"
    openssl req -x509 -key "$work/$name.key" -out "$work/$name.pem" -days 36500 -subj "$(subject "$name")"
}
pack() { # file, name of key and certificate, arguments of pkcs12
    file=$1; name=$2; shift 2
    openssl pkcs12 -export -out "$file.pfx" -inkey "$work/$name.key" -in "$work/$name.pem" -passout "pass:${PASSWORD-pässword}" "$@"
}
ca root none; ca middle root
key rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
issue rsa middle subjectAltName=DNS:rsa.example
key p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
key p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384
key p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
key short -algorithm RSA -pkeyopt rsa_keygen_bits:1024
key ed25519 -algorithm ED25519
cat "$work/root.pem" "$work/middle.pem" >"$work/chain.pem"

pack modern rsa -certfile "$work/chain.pem"
pack legacy rsa -legacy -certfile "$work/chain.pem"
pack triple-des rsa -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1
pack two-keys rsa -legacy -keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-RC2-128
pack aes128-sha1 rsa -keypbe AES-128-CBC -certpbe AES-128-CBC -macalg sha1
pack sha512 p256 -macalg sha512
pack p256 p256
pack p384 p384
pack ed25519 ed25519
pack plain rsa -keypbe NONE -certpbe NONE
pack without-mac rsa -nomac
PASSWORD='' pack empty rsa
PASSWORD='' pack empty-legacy rsa -legacy
pack p521 p521
pack short short
pack rc4 rsa -legacy -keypbe PBE-SHA1-RC4-128
pack costly rsa -iter 1500000 -macalg sha1
openssl pkcs12 -export -out no-key.pfx -nokeys -in "$work/rsa.pem" -passout pass:pässword
openssl pkcs12 -export -out other-certificate.pfx -nocerts -inkey "$work/rsa.key" -passout pass:pässword
openssl x509 -in "$work/rsa.pem" -outform DER -out rsa.cer
openssl x509 -in "$work/root.pem" -outform DER -out root.cer
cp "$work/rsa.pem" rsa.pem.cer
openssl pkcs8 -topk8 -nocrypt -in "$work/rsa.key" -outform DER -out rsa.key.der
