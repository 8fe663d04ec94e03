#!/usr/bin/env python3
"""Plays systemctl (format of systemd 252): state.json holds {"units": {name: state}, "broken": [units that do not start],
"timers": {name: {property: value}}}."""
import json
import os
import sys

home = os.environ["STAND_IN"]
with open(f"{home}/asked", "a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\n")
with open(f"{home}/state.json") as file:
    state = json.load(file)
verb, unit = sys.argv[1], sys.argv[-1]
known = unit in state["units"]
if verb == "show":
    wanted = [word.split("=")[1] for word in sys.argv if word.startswith("--property=")]
    values = {"LoadState": "loaded" if known else "not-found", "ActiveState": state["units"].get(unit, "inactive")} | state.get("timers", {}).get(unit, {})
    print("".join(f"{name}={values[name]}\n" for name in wanted if name in values), end="")
    sys.exit(0)
if not known:
    sys.exit(f"Failed to {verb} {unit}: Unit {unit} not loaded.")
if verb == "start" and unit in state.get("broken", []):
    sys.exit(f"Job for {unit} failed because the control process exited with error code.")
state["units"][unit] = {"start": "active", "stop": "inactive"}[verb]
with open(f"{home}/state.json", "w") as file:
    json.dump(state, file)
