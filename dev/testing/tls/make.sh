#!/bin/sh
# Makes the certificates of the TLS tests again (needs openssl): a CA of our own, and under it one certificate for
# localhost, one of the same host that expired in 2021, one for another host. The keys protect nothing.
set -eu
cd "$(dirname "$0")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 36500 \
  -subj "/CN=keepstream test CA" -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" 2>/dev/null
leaf() { # name, subject alternative names, start, end
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
  printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n' "$2" > "$1.ext"
  mkdir -p demo && : > demo/index.txt && echo 01 > demo/serial
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=demo/index.txt\nserial=demo/serial\nnew_certs_dir=demo\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > demo/ca.cnf
  openssl ca -batch -config demo/ca.cnf -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" -notext -extfile "$1.ext" \
    -startdate "$3" -enddate "$4" 2>/dev/null
  rm -rf "$1.csr" "$1.ext" demo
}
leaf localhost "DNS:localhost,IP:127.0.0.1" 20200101000000Z 21200101000000Z
leaf expired "DNS:localhost,IP:127.0.0.1" 20200101000000Z 20210101000000Z
leaf other "DNS:other.test" 20200101000000Z 21200101000000Z
rm ca.key
