"""Golden files of `reprise validate --lint`: NAME.yaml in, NAME.out (the text) expected, and what -o json says agrees.

Run: REPRISE=build/src/cli/reprise python3 -m pytest tests/golden/run_validate.py
After a wanted change: UPDATE=1 in the environment rewrites the files; the diff is then read by a person.
"""
import glob
import json
import os
import subprocess

import pytest

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "validate")
REPRISE = os.path.abspath(os.environ.get("REPRISE", os.path.join(HERE, "../../../build/reprise")))
CASES = sorted(os.path.basename(p)[:-5] for p in glob.glob(os.path.join(HERE, "*.yaml")))


def validate(name, *options):
    return subprocess.run([REPRISE, "validate", "--lint", *options, name + ".yaml"], cwd=HERE, capture_output=True, text=True,
                          timeout=60)


def statuses(text):
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def test_there_are_cases():
    assert len(CASES) >= 10


@pytest.mark.parametrize("name", CASES)
def test_text(name):
    run = validate(name)
    path = os.path.join(HERE, name + ".out")
    if os.environ.get("UPDATE"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(run.stdout)
    with open(path, encoding="utf-8") as f:
        assert run.stdout == f.read()
    bad = [line for line in run.stdout.splitlines() if '": warning: ' not in line and not line.endswith('": valid')]
    assert run.returncode == (2 if bad else 0)
    assert run.stderr == ""


@pytest.mark.parametrize("name", CASES)
def test_json_says_the_same(name):
    run = validate(name, "-o", "json")
    text = validate(name).stdout
    docs = statuses(run.stdout)
    failed = [d for d in docs if d["status"] == "Failure"]
    assert run.returncode == (2 if failed else 0)
    assert len(docs) - len(failed) == sum(line.endswith('": valid') for line in text.splitlines())
    for doc in failed:
        assert doc["kind"] == "Status" and doc["reason"] in ("Invalid", "BadRequest")
        assert doc["code"] == {"Invalid": 422, "BadRequest": 400}[doc["reason"]]
        for cause in doc["details"]["causes"]:
            assert cause["message"] in text
