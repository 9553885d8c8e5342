#!/usr/bin/env python3
"""table.py DIR: the figures of a run beside each other, and the targets; DIR has a file for each kind."""
import pathlib
import sys

KINDS = ["lean", "server", "ractor", "process", "gen_server"]
FIGURES = [
    ("idle", "memory of an idle one under its supervisor"),
    ("lean_idle", "the same, of a server that is lean"),
    ("spawn", "start under a supervisor (lean: its pool)"),
    ("stop", "stop with its supervisor"),
    ("cast_empty", "cast, the inbox is empty"),
    ("cast_full", "cast, the inbox is never empty"),
    ("call", "call and answer"),
    ("fan_in", "1000 senders, one receiver; a message each a round"),
    ("fan_in_flood", "the same, as fast as they can; refused: again"),
    ("flood_memory", "memory it takes on top"),
    ("fan_out", "one sender, 1000 receivers"),
    ("restart_reported", "crash to restarted, median, each report on disk"),
    ("restart_storm", "crash to restarted, median, in a storm"),
    ("restart_cpu", "crash to restarted, CPU, in a storm"),
    ("restarts", "restarts in a row"),
]
# figure, kind, most (or least), in words
TARGETS = [
    ("idle", "lean", 1024, "at most 1 KiB idle"),
    ("spawn", "lean", 2000, "at most 2 us to start under its pool"),
    ("cast_full", "lean", 100, "at most 100 ns a cast, the inbox never empty"),
    ("cast_empty", "lean", 200, "at most 200 ns a cast, the inbox empty"),
    ("flood_memory", "lean", 1024, "memory flat (1 MiB) while 1000 flood one"),
    ("flood_memory", "server", 1024, "memory flat (1 MiB) while 1000 flood one"),
    ("restart_reported", "lean", 50_000, "at most 50 us from crash to restarted, report written"),
    ("restart_reported", "server", 50_000, "at most 50 us from crash to restarted, report written"),
    ("restarts", "lean", -20_000, "at least 20,000 restarts a second"),
    ("restarts", "server", -20_000, "at least 20,000 restarts a second"),
]
# servers beside ractor itself
BESIDE = ["idle", "spawn", "cast_empty", "cast_full", "call", "fan_in", "fan_out"]


def main() -> int:
    where = pathlib.Path(sys.argv[1])
    table, units = {}, {}
    for kind in KINDS:
        for line in (where / kind).read_text().splitlines():
            name, value, unit = line.split()
            table[name, kind] = int(value)
            units[name] = unit
    print(f"{'':58} {'lean':>9} {'server':>9} {'ractor':>9} | {'Erlang':>9} {'its':>10}")
    print(f"{'':58} {'process':>9} {'':>9} {'itself':>9} | {'process':>9} {'gen_server':>10}")
    for name, words in FIGURES:
        cells = [f"{table[name, kind]:,}" if (name, kind) in table else "-" for kind in KINDS]
        text = f"{words}, {units[name]}"
        print(f"{text:58} {cells[0]:>9} {cells[1]:>9} {cells[2]:>9} | {cells[3]:>9} {cells[4]:>10}")
    print("\nTargets")
    for name, kind, limit, words in TARGETS:
        value = table[name, kind]
        reached = value >= -limit if limit < 0 else value <= limit
        print(f"  {'reached' if reached else 'MISSED ':8} {kind}: {words}: {value:,} {units[name]}")
    for name in BESIDE:
        ratio = table[name, "server"] / table[name, "ractor"]
        reached = "reached" if ratio <= 1.2 else "MISSED "
        print(f"  {reached:8} server: at most 1.2 times ractor itself, {name}: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
