#!/usr/bin/env python3
"""Plays docker and podman: state.json holds {"engines": [those that answer], "volumes": [as `volume inspect` shows them],
"containers": [{"id", "name", "state", "volumes"}]}. Formats of Docker 28 and Podman 5."""
import json
import os
import sys

engine, words = os.path.basename(sys.argv[0]), sys.argv[1:]
home = os.environ["STAND_IN"]
with open(f"{home}/asked", "a") as asked:
    asked.write(" ".join([engine] + words) + "\n")
with open(f"{home}/state.json") as file:
    state = json.load(file)
if engine not in state["engines"]:
    sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
volumes, containers = state["volumes"], state["containers"]
filters = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "--filter")


def container():
    found = [one for one in containers if one["id"] == words[-1]]
    return found[0] if found else sys.exit(f"Error response from daemon: No such container: {words[-1]}")


def becomes(before, after):
    one = container()
    if one["state"] not in before:
        sys.exit(f"Error response from daemon: container {one['id']} is {one['state']}")
    one["state"] = after
    print(one["id"])
    with open(f"{home}/state.json", "w") as out:
        json.dump(state, out)


if words[:3] == ["volume", "ls", "--quiet"]:
    print("".join(volume["Name"] + "\n" for volume in volumes), end="")
elif words[:2] == ["volume", "inspect"]:
    print(json.dumps([volume for name in words[2:] for volume in volumes if volume["Name"] == name]))
elif words[:3] == ["ps", "--all", "--no-trunc"]:
    print("".join(one["id"] + "\n" for one in containers), end="")
elif words[0] == "ps":
    for one in containers:
        if filters["volume"] in one["volumes"] and one["state"] == filters["status"]:
            print(one["id"] + "\t" + one["name"])
elif words[0] == "inspect":
    print(container()["state"])
else:
    moves = {"pause": (["running"], "paused"), "unpause": (["paused"], "running"), "stop": (["running", "paused", "exited"], "exited")}
    becomes(*moves.get(words[0], (["exited", "running"], "running")))
