#!/usr/bin/env bash
# run.sh [SEEDS] [COUNT] [FIRST]: compares our supervisor with Erlang's on random scenarios.
#
# SEEDS seeds (default 5), from FIRST (default 1), of COUNT scenarios each (default 1000; about 8 s a thousand).
# Needs escript (Debian: erlang-base, OTP 25) and python3. Ends with 0 only when every trace is the same; the files of a
# seed that differs are kept, and where is printed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seeds=${1:-5} count=${2:-1000} first=${3:-1}
cd "$here/../../.."
cargo build --quiet -p supervision --example otp_trace
ours=${CARGO_TARGET_DIR:-target}/debug/examples/otp_trace
failed=0
for ((seed = first; seed < first + seeds; seed++)); do
    work=$(mktemp -d)
    python3 "$here/generate.py" "$seed" "$count" > "$work/scenarios.jsonl"
    python3 "$here/to_eterm.py" < "$work/scenarios.jsonl" > "$work/scenarios.eterm"
    escript "$here/oracle.escript" "$work/scenarios.eterm" > "$work/otp.raw.jsonl"
    "$ours" < "$work/scenarios.jsonl" > "$work/ours.raw.jsonl"
    for side in otp ours; do
        python3 "$here/settle.py" "$work/scenarios.jsonl" "$work/$side.raw.jsonl" > "$work/$side.jsonl"
    done
    echo -n "seed $seed: "
    if python3 "$here/compare.py" "$work/scenarios.jsonl" "$work/otp.jsonl" "$work/ours.jsonl"; then
        rm -r "$work"
    else
        failed=1
        echo "  kept in $work"
    fi
done
exit $failed
