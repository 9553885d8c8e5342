#!/usr/bin/env bash
# Our processes and Erlang's, one after the other on this machine: what each costs. Needs escript (Debian: erlang-base).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo build --quiet --release -p supervision --example cost
ours=$(mktemp) theirs=$(mktemp)
trap 'rm -f "$ours" "$theirs"' EXIT
"${CARGO_TARGET_DIR:-target}/release/examples/cost" > "$ours"
escript bench/otp/cost.escript > "$theirs"
printf '%-20s %12s %12s  %s\n' figure ours erlang unit
while read -r name value unit; do
    erlang=$(awk -v n="$name" '$1 == n { print $2 }' "$theirs")
    printf '%-20s %12s %12s  %s\n' "$name" "$value" "${erlang:--}" "$unit"
done < "$ours"
