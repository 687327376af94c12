"""Answers pairs of answers with the library math-verify: one JSON object a line, in and out."""

import json
import os
import re
import sys

# What the library prints must not mix with the answers.
replies = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

# A file of the library's name in the folder where this is run is not the library.
sys.path = [folder for folder in sys.path if folder]

try:
    from importlib.metadata import version

    from math_verify import parse, verify
except ImportError as error:
    replies.write(json.dumps({"error": str(error)}) + "\n")
    sys.exit(1)

replies.write(json.dumps({"version": version("math-verify")}) + "\n")


def read(text):
    # Without delimiters it looks for numerals alone, and finds some in nearly everything.
    return parse(text if "\\boxed" in text else "\\boxed{" + re.sub(r"(?<!\\)\$", "", text) + "}")


for line in sys.stdin:
    try:
        row = json.loads(line)
        gold, prediction = read(row["gold"]), read(row["pred"])
        if gold and prediction:
            # It is not symmetric: what holds one way alone is not counted.
            equal = verify(gold, prediction) and verify(prediction, gold)
        else:
            equal = None
        reply = {"equal": equal}
    except Exception as error:  # noqa: BLE001: the next pair is another matter
        reply = {"equal": None, "error": f"{type(error).__name__}: {error}"}
    replies.write(json.dumps(reply) + "\n")
