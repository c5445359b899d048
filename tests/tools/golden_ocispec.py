#!/usr/bin/python3
"""golden_ocispec.py OCISPEC_MAKE DIR [--update]: each DIR/NAME.in.json (tests/tools/specinput.h) through oci_spec_make(),
compared with DIR/NAME.out.json, or with {"error": "REASON: text"} when it is refused. "@DIR@" stands for DIR. Members of the
input beside those of specinput.h: "ignore": paths that depend on the machine; "machine": the only one it is compared on."""
import difflib
import json
import os
import platform
import subprocess
import sys


def drop(config, path):
    *parents, last = path.split(".")
    for key in parents:
        config = config.get(key, {})
    config.pop(last, None)


def made(tool, folder, doc):
    text = json.dumps(doc).replace("@DIR@", folder)
    r = subprocess.run([tool], input=text, capture_output=True, text=True)
    if r.returncode == 1:
        return {"error": r.stderr.strip().replace(folder, "@DIR@")}
    if r.returncode:
        return {"crash": r.returncode, "stderr": r.stderr}
    config = json.loads(r.stdout.replace(folder, "@DIR@"))
    for path in doc.get("ignore", []):
        drop(config, path)
    return config


def main():
    tool, folder = sys.argv[1], os.path.abspath(sys.argv[2])
    update = "--update" in sys.argv
    names = sorted(n[:-len(".in.json")] for n in os.listdir(folder) if n.endswith(".in.json"))
    print(f"1..{len(names)}")
    failed = not names
    for i, name in enumerate(names, 1):
        doc = json.load(open(os.path.join(folder, name + ".in.json"), encoding="utf-8"))
        path = os.path.join(folder, name + ".out.json")
        if doc.get("machine", platform.machine()) != platform.machine():
            print(f"ok {i} - {name} # compared on {doc['machine']} only")
            continue
        got = json.dumps(made(tool, folder, doc), indent=1) + "\n"
        if update:
            open(path, "w", encoding="utf-8").write(got)
        want = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        if got != want:
            failed = True
            for line in difflib.unified_diff(want.splitlines(), got.splitlines(), name + ".out.json", "made", lineterm="", n=2):
                print("# " + line)
        print(f"{'ok' if got == want else 'not ok'} {i} - {name}")
    return 1 if failed else 0


sys.exit(main())
