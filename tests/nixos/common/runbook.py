# Does what a runbook says: its blocks of commands in their order, at the machines that it names, with what the reader fills in there; what is None
# is left out. What the blocks are is told in tests/runbooks/book.rs.
import re as _re
import shlex as _shlex


def follow(machines, runbook, values):
    exports = {name: [] for name in machines}
    at = None
    for indent, about, body in _re.findall(r"^( *)```([^\n]*)\n(.*?)^ *```$", runbook, _re.MULTILINE | _re.DOTALL):
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        kind, *rest = about.split(" ")
        if kind != "sh" or lines[0].startswith("# Not run by the test: "):
            continue
        at = rest[-1] if rest else at
        if rest[:1] == ["fill-in"]:
            names = [line.removeprefix("export ").split("=")[0] for line in lines]
            exports[at] += [f"export {name}={_shlex.quote(values[name])}" for name in names if values[name] is not None]
        else:
            machines[at].succeed("\n".join(exports[at] + lines))
