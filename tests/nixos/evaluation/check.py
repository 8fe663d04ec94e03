#!/usr/bin/env python3
"""Compares evaluated hosts with what cases.nix expects: check.py EVALUATED.json [--program hearth-backup] [--update]

Every rendered configuration must satisfy docs/config.schema.json, and the program's own check; every service must be confined as well as
its sources allow, judged by `systemd-analyze security`. Whole configurations are kept in expected/; --update writes them anew.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[2] / "docs"
SCHEMA = DOCS / "config.schema.json"
# What a confined service may be judged at most, by systemd-analyze; one that makes filesystem snapshots needs mounts and devices.
# A drill restores files of all users, and makes sandboxes.
EXPOSURE, EXPOSURE_SNAPSHOTS, EXPOSURE_DRILL, EXPOSURE_NONE, EXPOSURE_HUB = 2.5, 4.5, 5.0, 10.0, 1.5

problems = []
done = 0


def expect(case, condition, text):
    global done
    done += 1
    if not condition:
        problems.append(f"{case}: {text}")


def at(settings, path):
    for key in path.split("."):
        if not isinstance(settings, dict) or key not in settings:
            return None
        settings = settings[key]
    return settings


def check_units(case, wanted, units):
    for name, lines in wanted.items():
        text = units.get(name)
        if lines is None:
            expect(case, text is None, f"there is a unit {name}")
            continue
        expect(case, text is not None, f"there is no unit {name}")
        for line in lines if text is not None else []:
            if line.startswith("!"):
                expect(case, line[1:] not in text, f"{name} has {line[1:]!r}")
            elif re.match(r"[A-Za-z-]+=", line):
                expect(case, line in text.splitlines(), f"{name} lacks the line {line!r}")
            else:
                expect(case, line in text, f"{name} lacks {line!r}")


def check_golden(case, settings, update):
    path = HERE / "expected" / f"{case}.json"
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    known = path.read_text() if path.exists() else ""
    expect(case, known == text, f"the configuration is not as in {path.name}; --update if that is meant")


def check_page(page, update):
    path = DOCS / "nixos-options.md"
    if update:
        path.write_text(page)
    known = path.read_text() if path.exists() else ""
    expect("the page of options", known == page, f"{path.name} is not as the module says; --update writes it")
    bare = [name for name, text in re.findall(r"### `(.*?)`\n\n(.*?)\n\n- type", page, re.S) if len(text.split()) < 2]
    expect("the page of options", not bare, f"no description: {bare}")


def check_flake(outputs):
    for system in ["x86_64-linux", "aarch64-linux"]:
        expect("flake", {"default", "static"} <= set(outputs["packages"][system]), f"packages: {outputs['packages']}")
        expect("flake", {"package", "clippy", "module"} <= set(outputs["checks"][system]), f"checks: {outputs['checks']}")
        machines = {path.stem for path in HERE.parent.glob("*.nix")}
        expect("flake", machines <= set(outputs["checks"][system]), f"checks lack {machines - set(outputs['checks'][system])}")
        expect("flake", "default" in outputs["devShells"][system], "no devShell")
        expect("flake", "default" in outputs["apps"][system], "no app")
    expect("flake", outputs["nixosModules"] == ["default"] and outputs["overlays"] == ["default"], "no module or overlay")
    expect("flake", "default" in outputs["templates"], "no template")
    lock = json.loads((HERE.parents[2] / "flake.lock").read_text())
    for name, given in outputs["inputs"].items():
        original = lock["nodes"][lock["nodes"]["root"]["inputs"][name]]["original"]
        url = f"{original['type']}:{original['owner']}/{original['repo']}" + (f"/{original['ref']}" if "ref" in original else "")
        expect("flake", given["url"] == url, f"{name} is locked from {url}, not from {given['url']}")


def check_schema(case, settings):
    try:
        import jsonschema
    except ImportError:
        return False
    errors = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(settings)
    for error in errors:
        expect(case, False, f"the schema says: {'.'.join(map(str, error.path))}: {error.message[:300]}")
    return True


def check_program(case, settings, program):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(settings, file)
        file.flush()
        ran = subprocess.run([program, "config", "check", "--config", file.name], capture_output=True, text=True)
        expect(case, ran.returncode == 0, f"the program refuses it: {ran.stderr.strip()[:400]}")


def exposure(name, text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        ran = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)], capture_output=True, text=True
        )
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", ran.stdout)
    return float(found[1]) if found else None


def check_exposure(case, units):
    judged = {}
    for name, text in units.items():
        if not name.endswith(".service") or text is None:
            continue
        most = EXPOSURE if "ProtectSystem=" in text else EXPOSURE_NONE
        if "CAP_SYS_ADMIN" in text:
            most = EXPOSURE_DRILL if name.startswith("hearth-backup-drill-") else EXPOSURE_SNAPSHOTS
        most = EXPOSURE_HUB if name.startswith(("hearth-backup-hub", "hearth-backup-agent")) else most
        value = exposure(name, text)
        if value is None:
            return None
        judged[name] = value
        expect(case, value <= most, f"{name} is judged {value} by systemd-analyze security, more than {most}")
    return judged


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("evaluated", type=Path)
    arguments.add_argument("--program")
    arguments.add_argument("--update", action="store_true")
    arguments.add_argument("--no-page", action="store_true", help="another release describes types in other words")
    arguments = arguments.parse_args()
    evaluated = json.loads(arguments.evaluated.read_text())
    hosts = evaluated.get("hosts", evaluated)
    if "page" in evaluated:
        if not arguments.no_page:
            check_page(evaluated["page"], arguments.update)
        check_flake(evaluated["flake"])
        expect("cases.nix", not evaluated["unset"], f"no host sets {', '.join(evaluated['unset'])}")
    schema = True
    judged = {}
    for case, host in hosts.items():
        wanted = host["expect"]
        expect(case, sorted(host["assertions"]) == sorted(wanted.get("assertions", [])), "assertions:\n  " + "\n  ".join(host["assertions"]))
        if "assertions" in wanted:
            continue
        if "warnings" in wanted:
            expect(case, sorted(host["warnings"]) == sorted(wanted["warnings"]), "warnings:\n  " + "\n  ".join(host["warnings"]))
        for path, value in wanted.get("settings", {}).items():
            expect(case, at(host["settings"], path) == value, f"settings.{path} is {at(host['settings'], path)!r}, not {value!r}")
        for key in ["coverage", "tmpfiles", "persistence", "stateDir", "persistRoot", "hub", "ports", "prometheus", "node", "dashboards"]:
            if key in wanted:
                expect(case, host[key] == wanted[key], f"{key} is {host[key]!r}, not {wanted[key]!r}")
        if "secretNames" in wanted:
            expect(case, sorted(host["secrets"]) == wanted["secretNames"], f"secrets are {sorted(host['secrets'])}")
            for secret in host["secrets"].values():
                expect(case, (secret["mode"], secret["owner"]) == ("0400", "root"), f"a secret is not root's alone: {secret}")
        check_units(case, wanted.get("units", {}), host["units"])
        for key in ["polkit", "authorized"]:
            check_units(case, {key: wanted[key]} if key in wanted else {}, host)
        if "nginx" in wanted:
            answers = list(host["nginx"].values())
            expect(case, len(answers) == 1 and wanted["nginx"].items() <= answers[0].items(), f"nginx is to {answers}")
        if wanted.get("golden"):
            check_golden(case, host["hub" if wanted["golden"] == "hub" else "settings"], arguments.update)
        if host["units"]:
            for settings in [settings for settings in (host["settings"], host["hub"]) if settings]:
                schema = check_schema(case, settings) and schema
                if arguments.program:
                    check_program(case, settings, arguments.program)
            judged[case] = check_exposure(case, host["units"])
    if not schema:
        print("the schema was not checked: no python3-jsonschema")
    if any(values is None for values in judged.values()):
        print("confinement was not judged: no systemd-analyze security --offline")
    for case in ["every-option-of-a-job-reaches-the-engine", "every-option-of-a-hub-reaches-the-engine", "runs-are-reported-and-started-at-a-hub"]:
        for name, value in (judged.get(case) or {}).items():
            print(f"exposure {value}  {name}")
    for problem in problems:
        print(f"FAILED {problem}")
    print(f"{len(hosts)} hosts, {done} comparisons, {len(problems)} failed")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
