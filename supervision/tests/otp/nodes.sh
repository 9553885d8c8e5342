#!/usr/bin/env bash
# What two nodes of OTP do with one another: `nodes.sh > nodes.expected.txt`. Needs erlc and erl (Debian: erlang-base, OTP 25).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
erlc -o "$out" "$here/nodes.erl"
cd "$out"
epmd -daemon
erl -noshell -sname "judge$$" -setcookie "judge$$" -connect_all false -kernel logger_level none -s nodes main
