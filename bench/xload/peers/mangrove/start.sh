#!/bin/bash
# mangrove/start.sh WORKDIR [port=17922] [level=warn] [durability=always|detached|memory]
# Starts this project's node on loopback, without rate limits and with little logging, and writes WORKDIR/server.env.
# Builds the release binary first; MANGROVE=PATH in the environment takes that one instead.
set -e
here=$(cd "$(dirname "$0")" && pwd)
w=$1; shift
port=17922 level=warn durability=
for a in "$@"; do case $a in port=*|level=*|durability=*) declare "${a%%=*}=${a#*=}";; *) echo "unknown $a" >&2; exit 2;; esac; done
mkdir -p "$w/data" "$w/log"
w=$(cd "$w" && pwd)
"$here/../gen-cert.sh" "$w"

node=$MANGROVE
if [ -z "$node" ]; then
  root=$(cd "$here/../../../.." && pwd)
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p mangrove >&2
  node=${CARGO_TARGET_DIR:-$root/target}/release/mangrove
fi
[ -x "$node" ] || { echo "there is no program $node" >&2; exit 1; }
node=$(cd "$(dirname "$node")" && pwd)/$(basename "$node")

tls=$((port+1)) http=$((port+2))
for p in $port $tls $http; do
  if (exec 3<>/dev/tcp/127.0.0.1/$p) 2>/dev/null; then echo "port $p is taken" >&2; exit 1; fi
done
cat > "$w/mangrove.toml" <<X2
[server]
hosts = ["localhost"]
data = "$w/data"
core_dumps = true # else nobody but root can read its memory in smaps_rollup

[c2s]
starttls = ["127.0.0.1:$port"]
direct_tls = ["127.0.0.1:$tls"]
require_tls = false # the TCP cases
max_connections_per_address = 100000

[limits]
session_rate = 0
address_rate = 0

[[certificate]]
file = "$w/crt.pem"
key = "$w/key.pem"

[http]
listen = ["127.0.0.1:$http"]

[log]
level = "$level"
X2
[ -z "$durability" ] || printf '\n[delivery]\ndurability = "%s"\n' "$durability" >> "$w/mangrove.toml"
ulimit -n "$(ulimit -Hn)"
cd "$w"
setsid "$node" run --config "$w/mangrove.toml" --data "$w/data" </dev/null >"$w/log/out" 2>&1 &
pid=$!
cat > "$w/server.env" <<X2
NAME=mangrove
HOST=127.0.0.1
PORT=$port
TLSPORT=$tls
DOMAIN=localhost
PLAIN=1
PLAIN_TLS_ONLY=1
MUC=
PUBSUB=
METRICS=127.0.0.1:$http
PIDS=$pid
STOP_PIDS=$pid
REGISTER=batch
REGISTER_BATCH_CMD="'$node' account import --data '$w/data'"
X2
for i in $(seq 200); do
  kill -0 $pid 2>/dev/null || { echo "mangrove ended:" >&2; tail -20 "$w/log/out" >&2; exit 1; }
  if (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; then exit 0; fi
  sleep 0.1
done
echo "mangrove did not come up" >&2; exit 1
