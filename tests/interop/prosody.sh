#!/bin/bash
# Runs a throw-away Prosody (Debian's package) on 127.0.0.1 so that the scripts of this folder can be
# tried on a server that is not ours: what Prosody fails too is an error of the script.
#   prosody.sh DIR PORT [SHA-1|SHA-256]
# Makes DIR with certificate (DIR/localhost.crt), configuration, data and the accounts
# a@localhost and b@localhost, both with the password "secret"; runs in the foreground, end it with TERM.
# Prosody 0.12 offers SCRAM with one hash only, the one the accounts were made with: SHA-256 for
# slixmpp (the default here), SHA-1 for xmpp.js and Profanity.
set -euo pipefail
usage="usage: prosody.sh DIR PORT [SHA-1|SHA-256]"
dir=${1:?$usage}
port=${2:?$usage}
hash=${3:-SHA-256}

mkdir -p "$dir/data"
dir=$(realpath "$dir")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -keyout "$dir/localhost.key" -out "$dir/localhost.crt" 2>"$dir/openssl.log"

cat >"$dir/prosody.cfg.lua" <<CONFIG
run_as_root = true
pidfile = "$dir/prosody.pid"
data_path = "$dir/data"
log = { info = "$dir/prosody.log" }
interfaces = { "127.0.0.1" }
c2s_ports = { $port }
modules_enabled = {
  "roster", "saslauth", "tls", "disco", "private", "blocklist", "vcard", "ping", "version", "time",
  "uptime", "lastactivity", "smacks",
}
modules_disabled = { "s2s" }
authentication = "internal_hashed"
password_hash = "$hash"
c2s_require_encryption = true
ssl = { key = "$dir/localhost.key", certificate = "$dir/localhost.crt" }
VirtualHost "localhost"
CONFIG

for user in a b; do
  prosodyctl --config "$dir/prosody.cfg.lua" register "$user" localhost secret >/dev/null
done
exec prosody --config "$dir/prosody.cfg.lua" -F
