#!/usr/bin/env bash
# What a process and a message cost: ours, ractor's and Erlang's, one after the other on this machine, and which
# targets are reached. Needs escript (Debian: erlang-base, OTP 25) and python3; two minutes. See README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
cargo build --quiet --release -p supervision --example cost
cost=${CARGO_TARGET_DIR:-target}/release/examples/cost
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
for kind in lean server ractor; do
    for part in processes messages fans crashes; do
        "$cost" "$kind" "$part" >> "$out/$kind"
    done
done
# a lean server is a row of the servers
"$cost" lean_server processes | sed 's/^/lean_/' >> "$out/server"
for kind in process gen_server; do
    escript "$here/cost.escript" "$kind" > "$out/$kind"
done
python3 "$here/table.py" "$out"
