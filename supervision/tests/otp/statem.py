#!/usr/bin/env python3
"""statem.py FIRST COUNT: random scripts for a state machine, with what `gen_statem` of OTP 25 does with them, JSON Lines on stdout.

A script is a list of rules: at an event (a, b and c come from outside; s, e, x and y are time-outs, n was inserted) the first rule of that
name is taken, once: [event, where to (a state, "keep", "repeat" or "stop"), postponed or not, actions]. An action is [kind, ms, event]: a
time-out of the state (s), of the next event (e), named x or y, cancelled (c), or an inserted event (n). `enters` has what is done when a state
is entered, once each. `batches` come at once, and 400 ms apart. The trace says which event came in which state, and which was entered.

Half of the time-outs are of zero; no two others of a script are the same, and none ends near a batch. A script stays out when OTP does not do
the same with it twice (a busy machine), or shows a time-out of its own (one of zero that is replaced by one that is not: an error of OTP 25,
whose event is then `{timeout, Ref, Kind}`).
"""
import json
import os
import random
import subprocess
import sys
import tempfile

STATES = [0, 1, 2]


def script(seed):
    rng = random.Random(seed)
    times = [4 * n for n in range(6, 95) if n % 25 not in (24, 0, 1)]
    inside = [kind + str(n) for kind in "sexyn" for n in (1, 2, 3)]

    def actions(kinds):
        some = []
        for kind in rng.choices(kinds, k=rng.choice([0, 0, 1, 1, 2, 3])):
            if kind == "c":
                some.append(["c", 0, rng.choice("xy")])
            elif kind == "n":
                some.append(["n", 0, "n" + rng.choice("123")])
            else:
                time = 0 if rng.random() < 0.5 else times.pop(rng.randrange(len(times)))
                some.append([kind, time, kind + rng.choice("123")])
        return some

    rules = []
    for _ in range(rng.randint(3, 9)):
        event = rng.choice(inside if rng.random() < 0.4 else "abc")
        to = rng.choices(["keep", rng.choice(STATES), "repeat", "stop"], [45, 38, 10, 3])[0]
        rules.append([event, to, to != "stop" and rng.random() < 0.3, actions("sexync")])
    enters = [[rng.choice(STATES), actions("sexyc")] for _ in range(rng.randint(0, 4))]
    batches = [rng.choices("abc", k=rng.randint(1, 3)) for _ in range(rng.randint(1, 3))]
    return {"seed": seed, "rules": rules, "enters": enters, "batches": batches}


def term(value):
    """Texts are atoms, a list of a rule, an action or an entry is a tuple."""
    action = {"s": "{state_timeout,%d,%s}", "e": "{timeout,%d,%s}"}

    def act(kind, time, event):
        if kind in action:
            return action[kind] % (time, event)
        if kind == "n":
            return "{next_event,info,%s}" % event
        return "{{timeout,%s},cancel}" % event if kind == "c" else "{{timeout,%s},%d,%s}" % (kind, time, event)

    def acts(some):
        return "[%s]" % ",".join(act(*one) for one in some)

    rules = ("{%s,%s,%s,%s}" % (e, to, str(later).lower(), acts(some)) for e, to, later, some in value["rules"])
    enters = ("{%d,%s}" % (state, acts(some)) for state, some in value["enters"])
    batches = ("[%s]" % ",".join(batch) for batch in value["batches"])
    return "{%d,[%s],[%s],[%s]}.\n" % (value["seed"], ",".join(rules), ",".join(enters), ",".join(batches))


def traces(scripts):
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.NamedTemporaryFile("w", suffix=".eterm") as file:
        file.writelines(map(term, scripts))
        file.flush()
        run = ["escript", os.path.join(here, "statem.escript"), file.name]
        lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    scripts = [script(seed) for seed in range(first, first + count)]
    for at in range(0, count, 50):
        some = scripts[at:at + 50]
        once, again = traces(some), traces(some)
        for one in some:
            trace = once[str(one["seed"])]
            if trace == again[str(one["seed"])] and "#Ref" not in trace:
                print(json.dumps({**one, "trace": trace}, separators=(",", ":")))


main()
