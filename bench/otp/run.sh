#!/usr/bin/env bash
# What a process and a message cost: ours, ractor's and Erlang's, one after the other on this machine, and which
# targets are reached. Needs escript (Debian: erlang-base, OTP 25) and python3; three minutes. See README.md.
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

# where there are many, and on two threads; a scheduler of Erlang's that has nothing to do is to sleep
many="children timers monitors names calls cores"
for part in $many; do
    for kind in lean server; do
        "$cost" "$kind" "$part" >> "$out/$kind"
    done
    schedulers=1
    [ "$part" = cores ] && schedulers=2
    for kind in process gen_server; do
        ERL_ZFLAGS="+S $schedulers +sbwt none +sbwtdcpu none +sbwtdio none" \
            escript "$here/cost.escript" "$kind" "$part" >> "$out/$kind"
    done
done
# ractor has no children by ids, and no monitors
for part in timers names calls cores; do
    "$cost" ractor "$part" >> "$out/ractor"
done
python3 "$here/table.py" "$out"
