#!/usr/bin/env python3
"""settle.py SCENARIOS.jsonl TRACES.jsonl: the traces, with one more order that is free in OTP put into one order.

A supervisor that is killed does not stop its children one after the other: all its links are told at once, in the order of a
hash of theirs, while its own supervisor starts it again. The events of such a step are sorted.
"""
import json
import sys


def supervisors(sup, prefix, found):
    found.add(prefix)
    for child in sup["children"]:
        if "supervisor" in child:
            supervisors(child["supervisor"], prefix + (child["id"],), found)
    return found


with open(sys.argv[1]) as scenarios, open(sys.argv[2]) as traces:
    for scenario, trace in zip(map(json.loads, scenarios), map(json.loads, traces)):
        known = supervisors(scenario["supervisor"], (), set())
        for n, step in enumerate(scenario["steps"]):
            if step["op"] == "start_child" and "supervisor" in step.get("child", {}):
                supervisors(step["child"]["supervisor"], (*step["path"], step["child"]["id"]), known)
            if step["op"] == "exit" and step["reason"] == "kill" and tuple(step["path"]) in known:
                trace["steps"][n + 1].sort(key=json.dumps)
        print(json.dumps(trace))
