#!/usr/bin/env python3
"""generate.py SEED COUNT: random supervision scenarios, JSON Lines on stdout (the form of README.md).

Wilder than the samples: trees of three levels, templates of every restart type whose starts fail, supervisors that are
killed, children that hang with every kind of shutdown that ends, duplicate ids, invalid specifications, calls on what is not
there. The same seed gives the same scenarios.

Left out is what the oracle cannot see the end of: a supervisor is not killed when one below it would then have to wait for a
child that hangs. `settle.py` sorts what OTP does in no order.
"""
import json
import random
import sys

STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
RESTARTS = ["permanent", "transient", "temporary"]
REASONS = ["normal", "shutdown", "shutdown_with", "error", "error", "error", "kill", "kill"]


class Scenario:
    def __init__(self, rng):
        self.rng = rng
        self.count = 0
        self.paths = []  # of children that were ever named
        self.supervisors = [[]]
        self.templates = []
        self.hanging = []  # paths

    def plan(self):
        rng = self.rng
        if rng.random() < 0.7:
            return None
        plan = [rng.choice(["ok", "ok", "ok", "ignore", "error", "error"]) for _ in range(rng.randint(1, 6))]
        if rng.random() < 0.8:
            plan[0] = "ok"
        if rng.random() < 0.7:
            plan[-1] = "ok"
        return plan

    def child(self, path, depth, auto, strategy, dynamic=False):
        rng = self.rng
        self.count += 1
        nested = depth < 3 and rng.random() < (0.32, 0.3, 0.22)[depth] and strategy != "simple_one_for_one"
        child = {"id": f"{'s' if nested else 'w'}{self.count}"}
        if strategy == "simple_one_for_one":
            child["id"] = "t"
        elif rng.random() < 0.01 and self.paths and not dynamic:
            child["id"] = rng.choice(self.paths)[-1]
        if nested:
            child["type"] = "supervisor"
        child["restart"] = rng.choice(RESTARTS)
        here = path + [child["id"]]
        if nested:
            child["supervisor"] = self.supervisor(here, depth + 1)
            if rng.random() < 0.3:
                # less than what the children below may take would be a race
                child["shutdown"] = rng.choice(["infinity", 2000])
        elif rng.random() < 0.4:
            child["shutdown"] = rng.choice(["brutal_kill", "infinity", 10, 20, 40, 0])
            if child["shutdown"] == 0:
                child["stop"] = "hang"  # prompt ones would race with the kill
            elif child["shutdown"] not in ("infinity", "brutal_kill") and rng.random() < 0.6:
                child["stop"] = "hang"
            elif child["shutdown"] == "brutal_kill" and rng.random() < 0.4:
                child["stop"] = "hang"
        if not nested:
            plan = self.plan()
            if plan:
                child["start"] = plan
        odds = 0.4 if auto != "never" and child["restart"] != "permanent" else 0.01
        if rng.random() < odds:
            child["significant"] = True
        self.paths.append(here)
        if "stop" in child:
            self.hanging.append(here)
        return child

    def supervisor(self, path, depth):
        rng = self.rng
        if depth and path not in self.supervisors:
            self.supervisors.append(path)
        auto = rng.choice(["never", "never", "any_significant", "all_significant", "all_significant"])
        strategy = rng.choices(STRATEGIES, [3, 3, 3, 2])[0]
        count = 1 if strategy == "simple_one_for_one" else rng.choice([0, 1, 2, 3, 3, 4, 5][: 7 - depth])
        if rng.random() < 0.005:
            count = 2 if strategy == "simple_one_for_one" else count
        sup = {
            "strategy": strategy,
            "intensity": rng.choice([0, 0, 1, 1, 2, 3, 4, 5, 8]),
            "period_s": 0 if rng.random() < 0.004 else 1000,
            "auto_shutdown": auto,
            "children": [],
        }
        sup["children"] = [self.child(path, depth, auto, strategy) for _ in range(count)]
        if strategy == "simple_one_for_one":
            self.templates.append(path)
        return sup

    def target(self):
        rng = self.rng
        if self.templates and rng.random() < 0.35:
            return rng.choice(self.templates) + [f"t#{rng.randint(1, 5)}"]
        if not self.paths or rng.random() < 0.02:
            return ["nobody"]
        return rng.choice(self.paths)

    def step(self):
        rng = self.rng
        if self.templates and rng.random() < 0.15:
            return {"op": "start_child", "path": rng.choice(self.templates)}
        kind = rng.choices(
            ["exit", "start_child", "terminate_child", "restart_child", "delete_child", "which_children", "count_children", "stop"],
            [45, 12, 11, 9, 7, 6, 6, 1],
        )[0]
        if kind == "exit":
            target = self.target() if rng.random() < 0.98 else []
            reason = rng.choice(REASONS)
            if self.is_supervisor(target):
                depth = len(target)
                waits = any(h[:depth] == target and len(h) > depth + 1 for h in self.hanging)
                reason = "kill" if rng.random() < 0.95 and not waits else "error"
            return {"op": "exit", "path": target, "reason": reason}
        if kind == "stop":
            return {"op": "stop"}
        path = rng.choice(self.supervisors) if rng.random() < 0.93 else self.target()
        if kind in ("which_children", "count_children"):
            return {"op": kind, "path": path}
        if kind == "start_child":
            step = {"op": kind, "path": path}
            if path in self.templates:
                return step
            if rng.random() < 0.98:
                auto = rng.choice(["never", "any_significant"])
                child = self.child(path, 3 if rng.random() < 0.7 else 2, auto, "one_for_one", dynamic=True)
                mine = [p[-1] for p in self.paths if p[:-1] == path]
                if rng.random() < 0.2 and mine and "supervisor" not in child:
                    child["id"] = rng.choice(mine)
                step["child"] = child
            return step
        target = self.target()
        if rng.random() < 0.8:
            path, id = target[:-1], target[-1]
        else:
            id = target[-1]
        return {"op": kind, "path": path, "id": id}

    def is_supervisor(self, path):
        return path in self.supervisors


def main(seed, count):
    for n in range(count):
        rng = random.Random(f"{seed}/{n}")
        made = Scenario(rng)
        sup = made.supervisor([], 0)
        steps = [made.step() for _ in range(rng.randint(4, 20))]
        print(json.dumps({"name": f"r{seed}-{n}", "supervisor": sup, "steps": steps}))


main(sys.argv[1], int(sys.argv[2]))
