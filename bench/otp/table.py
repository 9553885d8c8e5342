#!/usr/bin/env python3
"""table.py DIR: the figures of a run beside each other, the targets, and a lean process beside Erlang's; DIR has a file for each kind."""
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
MANY = [
    ("start_child", "start_child, 16,000 are there"),
    ("start_at_once", "the same, 3,000 callers at once"),
    ("terminate_child", "terminate_child"),
    ("delete_child", "delete_child"),
    ("find", "find one by its path"),
    ("timer_start", "start a timer, 40,000 run"),
    ("timer_cancel", "cancel it"),
    ("timer_cancel_all", "cancel all 40,000, each"),
    ("timer_due", "start one, and get its message within a second"),
    ("monitor", "monitor and demonitor, 100,000 others watch it"),
    ("down", "its end told to the 100,000, each"),
    ("register", "register a name and free it, 16,000 are there"),
    ("look_up", "look up a name"),
    ("join", "join a group and leave it, 16,000 are in it"),
    ("call_p50", "call and answer, half of them at most: time"),
    ("call_p99", "the same, 99 of 100"),
    ("call_p999", "the same, 999 of 1000"),
    ("cores_fan_in", "two threads: 1000 senders, one receiver"),
    ("cores_fan_in_rate", "the same, messages in a second: time"),
    ("cores_pairs", "two threads: 100 pairs throw a ball"),
    ("cores_pairs_rate", "the same, messages in a second: time"),
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
    ("start_child", "server", 20_000, "at most 20 us to start one more child, 16,000 there"),
    ("terminate_child", "server", 20_000, "at most 20 us to terminate one"),
    ("delete_child", "server", 20_000, "at most 20 us to delete one"),
    ("find", "server", 1000, "at most 1 us to find one by its path"),
    ("timer_cancel_all", "server", 1000, "at most 1 us to cancel each of 40,000 timers"),
    ("monitor", "server", 1000, "at most 1 us to monitor and demonitor, 100,000 others watch it"),
]
# servers beside ractor itself
BESIDE = ["idle", "spawn", "cast_empty", "cast_full", "call", "fan_in", "fan_out"]
# a lean process beside Erlang's
OTP = ["idle", "spawn", "stop", "cast_empty", "cast_full", "call", "fan_in", "fan_out"]


def main() -> int:
    where = pathlib.Path(sys.argv[1])
    table, units = {}, {}
    for kind in KINDS:
        for line in (where / kind).read_text().splitlines():
            name, value, unit = line.split()
            table[name, kind] = int(value)
            units[name] = unit
    for title, figures in [("", FIGURES), ("With many there, and on two threads", MANY)]:
        print(f"{title:58} {'lean':>9} {'server':>9} {'ractor':>9} | {'Erlang':>9} {'its':>10}")
        print(f"{'':58} {'process':>9} {'':>9} {'itself':>9} | {'process':>9} {'gen_server':>10}")
        for name, words in figures:
            cells = [f"{table[name, kind]:,}" if (name, kind) in table else "-" for kind in KINDS]
            text = f"{words}, {units[name]}"
            print(f"{text:58} {cells[0]:>9} {cells[1]:>9} {cells[2]:>9} | {cells[3]:>9} {cells[4]:>10}")
        print()
    print("Targets")
    for name, kind, limit, words in TARGETS:
        value = table[name, kind]
        reached = value >= -limit if limit < 0 else value <= limit
        print(f"  {'reached' if reached else 'MISSED ':8} {kind}: {words}: {value:,} {units[name]}")
    for name in BESIDE:
        ratio = table[name, "server"] / table[name, "ractor"]
        reached = "reached" if ratio <= 1.2 else "MISSED "
        print(f"  {reached:8} server: at most 1.2 times ractor itself, {name}: {ratio:.2f}")
    ratios = [f"{name} {table[name, 'lean'] / table[name, 'process']:.2f}" for name in OTP]
    print(f"\nA lean process beside Erlang's: {', '.join(ratios)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
