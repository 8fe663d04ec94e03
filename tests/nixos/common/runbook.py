# Does what a runbook says on a machine: its blocks of commands in their order, with what the reader fills in; what is None is left out. What the blocks are is told in
# tests/runbooks/book.rs.
import re as _re
import shlex as _shlex


def follow(machine, runbook, values):
    exports = []
    for indent, about, body in _re.findall(r"^( *)```([^\n]*)\n(.*?)^ *```$", runbook, _re.MULTILINE | _re.DOTALL):
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        if about.startswith("sh fill-in "):
            names = [line.removeprefix("export ").split("=")[0] for line in lines]
            exports += [f"export {name}={_shlex.quote(values[name])}" for name in names if values[name] is not None]
        elif about == "sh" and not lines[0].startswith("# Not run by the test: "):
            machine.succeed("\n".join(exports + lines))
