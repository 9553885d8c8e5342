#!/bin/bash
# mangrove/start.sh WORKDIR [port=17922] [level=warn] [durability=always|detached|memory] [store=sqlite|mongodb]
#   [accounts=own|bcrypt|argon2|django|werkzeug]
# store=mongodb: on a mongod of its own (MONGOD=PATH). accounts: with other than `own` those of an application, in a collection of a mongod,
# hashed by the library of that name. Both need pymongo in PYTHON=PATH (bench/install-peers --stores).
# Starts this project's node on loopback, without rate limits and with little logging, and writes WORKDIR/server.env.
# Builds the release binary first; MANGROVE=PATH in the environment takes that one instead.
set -e
here=$(cd "$(dirname "$0")" && pwd)
w=$1; shift
port=17922 level=warn durability= store=sqlite accounts=own
for a in "$@"; do case $a in port=*|level=*|durability=*|store=*|accounts=*) declare "${a%%=*}=${a#*=}";; *) echo "unknown $a" >&2; exit 2;; esac; done
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

tls=$((port+1)) http=$((port+2)) dbport=$((port+3))
for p in $port $tls $http $dbport; do
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
register="'$node' account import --data '$w/data'" database=
if [ "$store" = mongodb ] || [ "$accounts" != own ]; then
  database=$("$PYTHON" "$here/../mongod.py" start "$w" $dbport)
  echo "STOP_PIDS=$database" > "$w/server.env" # in case that it goes no further
  calls="'$PYTHON' '$here/../mongod.py' calls $dbport"
fi
if [ "$store" = mongodb ]; then
  printf '\n[storage]\nbackend = "mongodb"\n\n[mongodb]\nuri = "mongodb://127.0.0.1:%s/?replicaSet=rs0"\n' $dbport >> "$w/mangrove.toml"
fi
if [ "$accounts" != own ]; then
  cat >> "$w/mangrove.toml" <<X2

[[mongodb_accounts]]
host = "localhost"
uri = "mongodb://127.0.0.1:$dbport/?replicaSet=rs0"
database = "app"
collection = "users"
user_field = "login.name"
password_field = "login.password"
scram = "when_known"
X2
  register="'$PYTHON' '$here/../mongod.py' users $dbport $accounts"
fi
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
STOP_PIDS=$pid${database:+,$database}
DATABASE_PIDS=$database
DATABASE_CALLS="$calls"
REGISTER=batch
REGISTER_BATCH_CMD="$register"
X2
for i in $(seq 200); do
  kill -0 $pid 2>/dev/null || { echo "mangrove ended:" >&2; tail -20 "$w/log/out" >&2; exit 1; }
  if (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; then exit 0; fi
  sleep 0.1
done
echo "mangrove did not come up" >&2; exit 1
