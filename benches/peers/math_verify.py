#!/usr/bin/env python3
"""Compares the verdicts of `espalier grade` with those of the library math-verify.

    python3 -m venv mv && mv/bin/pip install math-verify==0.9.0 pytest
    benches/peers/math_verify.py compare PAIRS.jsonl --python mv/bin/python
    benches/peers/math_verify.py math FOLDER --out PAIRS.jsonl        # answers of MATH against themselves, changed ones and others
    mv/bin/python benches/peers/math_verify.py collect SDIST --out PAIRS.jsonl   # pairs of its own tests, from its source distribution

A row is {gold, pred} and may have `kind` and `expected` (true or false), what is known to be right. `compare` prints both programs'
verdicts by kind, their false accepts and rejects, and how often they agree.
"""

import argparse
import collections
import glob
import importlib
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write(path, rows):
    count = 0
    with open(path, "w", encoding="utf-8") as out:
        for count, row in enumerate(rows, start=1):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{count} pairs in {path}")


def math(folder, out, seed, every):
    """Answers against themselves as they are, written otherwise, with one digit changed, and against other answers."""
    answers = set()
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
        answers.update(row["answer"] for row in read(path))
    answers = sorted(answer for answer in answers if answer.strip())
    if every:
        write(out, ({"kind": "other", "gold": gold, "pred": other} for gold, other in itertools.combinations(answers, 2)))
        return
    draw = random.Random(seed)
    rows = [{"kind": "itself", "gold": answer, "pred": answer, "expected": True} for answer in answers]
    for answer in answers:
        other = rewritten(answer)
        if other != answer:
            rows.append({"kind": "rewritten", "gold": answer, "pred": other, "expected": True})
    for answer in answers:
        places = [index for index, character in enumerate(answer) if character in "0123456789"]
        if places:
            at = draw.choice(places)
            digit = draw.choice([digit for digit in "0123456789" if digit != answer[at]])
            rows.append({"kind": "changed", "gold": answer, "pred": answer[:at] + digit + answer[at + 1 :], "expected": False})
    for _ in range(len(answers)):
        gold, prediction = draw.sample(answers, 2)
        rows.append({"kind": "other", "gold": gold, "pred": prediction})
    write(out, rows)


def rewritten(answer):
    """The same answer in other LaTeX."""
    forms = [(",\\!", ","), ("\\text{", "\\mbox{"), ("^\\circ", "^{\\circ}")]
    if not any(form in answer for form in ("\\left", "\\text", "\\mbox", "[", "]")):
        forms += [("(", "\\left("), (")", "\\right)")]
    forms.append(("\\dfrac", "\\tfrac") if "\\dfrac" in answer else ("\\frac", "\\dfrac"))
    for form, other in forms:
        answer = answer.replace(form, other)
    return answer


def collect(sdist, out):
    """The pairs that the library's tests are parametrised with; nothing of them is kept here."""
    # The folder of this program would hide the library, whose name it has.
    sys.path[0] = sdist
    rows = []
    modules = ["all", "numina_cases", "strict", "boxed", "open_thoughts", "yujianll"]
    for module in [importlib.import_module(f"tests.test_{name}") for name in modules]:
        for name, test in vars(module).items():
            if not name.startswith("test_") or test.__module__ != module.__name__:
                continue
            for mark in getattr(test, "pytestmark", []):
                if mark.name != "parametrize":
                    continue
                names = mark.args[0]
                names = [each.strip() for each in names.split(",")] if isinstance(names, str) else names
                for values in mark.args[1]:
                    row = dict(zip(names, getattr(values, "values", values)))
                    expected = row.get("expected", row.get("result"))
                    if "gold" not in row or "pred" not in row or expected is None:
                        continue
                    if any("\n" in text and marked(text) != text for text in (row["gold"], row["pred"])):
                        continue  # what is expected turns on its line breaks
                    kind = f"{module.__name__}:{name}"
                    row = {"kind": kind, "gold": marked(row["gold"]), "pred": marked(row["pred"]), "expected": bool(expected)}
                    rows.append(row)
    # Where a setting of the library decides, and where a pair stands twice, it says nothing more.
    expected = collections.defaultdict(set)
    for row in rows:
        expected[row["gold"], row["pred"]].add(row["expected"])
    distinct = {(row["gold"], row["pred"]): row for row in rows}
    kept = [row for pair, row in distinct.items() if len(expected[pair]) == 1]
    print(f"of {len(rows)} pairs {len(rows) - len(distinct)} stand twice, and of {len(distinct) - len(kept)} the expected verdict depends on a setting")
    write(out, kept)


def marked(text):
    """A bare answer, marked as `espalier grade --extract` wants it."""
    if "\\boxed" in text or "####" in text or "final answer:" in text.lower():
        return text
    return "#### " + " ".join(text.split())


def compare(path, program, python, extract, show):
    rows = read(path)
    command = [program, "--quiet", "grade", path, "--json"] + ["--extract"] * extract
    ours = [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    if extract:
        rows = [{**row, "gold": grade["gold"], "pred": grade["pred"]} for row, grade in zip(rows, ours)]
    theirs = library(rows, python)
    names = {True: "equal", False: "different", None: "undecided"}
    verdicts = [(grade["verdict"], names[their]) for grade, their in zip(ours, theirs)]
    groups = collections.defaultdict(list)
    for row, both in zip(rows, verdicts):
        expected = names[row["expected"]] if "expected" in row else "?"
        groups[row.get("kind", "").split(":")[0], expected].append(both)
    print(f"{'':26}{'':12}{'':6}  {'espalier':29}{'math-verify':29}")
    print(f"{'kind':26}{'expected':12}{'pairs':>6}" + f"{'equal':>8}{'different':>11}{'undecided':>11}" * 2)
    for (kind, expected), both in sorted(groups.items()):
        counts = [collections.Counter(each) for each in zip(*both)]
        cells = "".join(f"{count['equal']:8}{count['different']:11}{count['undecided']:11}" for count in counts)
        print(f"{kind:26}{expected:12}{len(both):6}{cells}")
    known = [(both, expected) for (_, expected), group in groups.items() if expected != "?" for both in group]
    if known:
        print(f"\n{f'against what is expected, {len(known)} pairs':40}{'right':>7}{'false accepts':>15}{'false rejects':>15}{'undecided':>11}")
        for index, name in enumerate(["espalier", "math-verify"]):
            right = sum(both[index] == expected for both, expected in known)
            wrong = collections.Counter(both[index] for both, expected in known if both[index] != expected)
            print(f"{name:40}{right:7}{wrong['equal']:15}{wrong['different']:15}{wrong['undecided']:11}")
    decided = [both for both in verdicts if "undecided" not in both]
    if decided:
        same = sum(our == their for our, their in decided)
        print(f"agreement where both decide: {same} of {len(decided)} ({100 * same / len(decided):.2f} %)")
    if show:
        for row, grade, their in zip(rows, ours, theirs):
            if grade["verdict"] != names[their]:
                kept = {key: str(row[key])[-120:] for key in ("gold", "pred", "expected") if key in row}
                print(json.dumps({"espalier": grade["verdict"], "rule": grade["rule"], "math_verify": names[their], **kept}))


def library(rows, python):
    """The library's verdicts, from the same worker that `espalier grade --math-verify` asks."""
    worker = ROOT / "src" / "grading" / "worker.py"
    verdicts, process, began = [], None, time.monotonic()
    for row in rows:
        if process is None:
            process = subprocess.Popen([python, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
            hello = json.loads(process.stdout.readline() or "{}")
            if "version" not in hello:
                sys.exit(f"{python} cannot import math-verify: {hello.get('error', 'it says nothing')}")
            if not verdicts:
                print(f"math-verify {hello['version']}")
        process.stdin.write(json.dumps({"gold": row["gold"], "pred": row["pred"]}) + "\n")
        reply = answer(process, seconds=15)
        if reply is None:
            process.kill()
            process.wait()
            process = None
        verdicts.append(reply.get("equal") if reply else None)
    if process:
        process.stdin.close()
        process.wait()
    print(f"{len(rows) / (time.monotonic() - began):.0f} pairs/s by math-verify, both ways round\n")
    return verdicts


def answer(process, seconds):
    """One line of the worker; None when it takes too long or is gone."""
    import select

    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline() if ready else ""
    return json.loads(line) if line else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("compare")
    one.add_argument("pairs")
    one.add_argument("--espalier", default=str(ROOT / "target" / "release" / "espalier"))
    one.add_argument("--python", default=sys.executable, help="an interpreter that has math-verify")
    one.add_argument("--extract", action="store_true", help="take the answers out of solutions")
    one.add_argument("--show", action="store_true", help="print every pair on which both differ")
    two = commands.add_parser("math")
    two.add_argument("folder")
    two.add_argument("--out", required=True)
    two.add_argument("--seed", type=int, default=1)
    two.add_argument("--every", action="store_true", help="every two different answers, and nothing else")
    three = commands.add_parser("collect")
    three.add_argument("sdist", help="the unpacked source distribution of math-verify")
    three.add_argument("--out", required=True)
    arguments = parser.parse_args()
    if arguments.command == "compare":
        compare(arguments.pairs, arguments.espalier, arguments.python, arguments.extract, arguments.show)
    elif arguments.command == "math":
        math(arguments.folder, arguments.out, arguments.seed, arguments.every)
    else:
        collect(arguments.sdist, arguments.out)


if __name__ == "__main__":
    main()
