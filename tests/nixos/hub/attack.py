"""What somebody tries who has a host's token: attack.py URL TOKENFILE

Reads every pack, deletes, overwrites and adds wherever the protocol has a way, and asks by other spellings of paths. Prints what went through, as JSON.
"""

import http.client
import json
import sys
from urllib.parse import quote, urlsplit

url = urlsplit(sys.argv[1])
token = open(sys.argv[2]).read().strip()
through = []


def ask(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer


def here(path):
    return f"/v1{url.path}{path}"


def names():
    folders = "checkpoints,commits,condemned,forgotten,index,keys,maps,packs,pins,received,refs,repo,snapshots"
    status, body, _ = ask("GET", here(f"/objects?folders={folders}"))
    assert status == 200, body
    return [line for line in map(json.loads, body.splitlines()) if "object" in line]


before = names()
assert any(entry["object"].startswith("packs/") for entry in before), before

for entry in before:
    name, size = entry["object"], entry["size"]
    place = here(f"/objects/{name}")
    if name.startswith("packs/"):
        for range in [None, "bytes=0-99", f"bytes=100-{size - 1}", f"bytes=-{size - 8}"]:
            status, body, _ = ask("GET", place, **({"Range": range} if range else {}))
            # Of a pack the end may be seen: the list of its blocks. What stands before it is blank.
            if status < 300 and any(body[: len(body) - 65536]):
                through.append(["read", name, range])
    for method in ["DELETE", "PATCH", "POST", "MOVE"]:
        if ask(method, place)[0] < 300:
            through.append([method, name])
    status, body, _ = ask("PUT", place, b"mine")
    if status < 300 and json.loads(body)["created"]:
        through.append(["overwrite", name])
    if ask("POST", here("/delete"), json.dumps([name]))[1].find(b'"error"') < 0:
        through.append(["delete many", name])

ours = next(entry["object"] for entry in before if entry["object"].startswith("snapshots/")).split("/")[1]
for name in [
    f"received/{ours}", f"pins/{ours}", f"forgotten/{ours}", f"condemned/{ours}", f"maps/{ours}", f"keys/{ours}", "repo/1", "repo/2", "repo/0",
    f"commits/{'0' * 64}", f"snapshots/{'0' * 64}", f"index/{'0' * 64}", f"refs/{'0' * 64}", f"packs/00/{'0' * 64}", f"checkpoints/{'0' * 64}",
]:
    if ask("PUT", here(f"/objects/{name}"), b"mine")[0] < 300:
        through.append(["create", name])

for path in [
    "/v1/two", "/v1/two/objects?folders=snapshots", here("/../two"), here("/objects/../../two/repo/0"), here("/objects/repo/../../../tokens.json"),
    here("/objects/") + quote("../../tokens.json", safe=""), here("/objects//etc/passwd"), here("/objects/repo/%00"), "/v1", "/v1/one%2f..%2ftwo",
]:
    for method in ["GET", "PUT", "DELETE"]:
        if ask(method, path, b"mine" if method == "PUT" else None)[0] < 300:
            through.append([method, path])

after = names()
print(json.dumps({"through": through, "tried": len(before), "lost": [entry for entry in before if entry not in after], "new": len(after) - len(before)}))
