#!/bin/sh
# reasoning-gym 0.1.25, countdown: the example solution of a row (`metadata.expression`), read from left to right as steps, goes below zero on
# its way in about one row of six, and three rows of four need neither * nor /.
#
# Who trains on these expressions as worked steps under the game's usual rule (every result a positive whole number) teaches steps that the
# rule refuses; and search on these rows is for the most part search over signs. Fractions never occur in them, though the checker allows them.
#
# Seen on 1,000 rows (seed 42, 3 to 5 numbers, targets 10 to 300): the counts that the script compares with at its end.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check reasoning-gym==0.1.25
"$folder/venv/bin/python" - <<'PY' | tee "$folder/seen"
import ast
from fractions import Fraction

import reasoning_gym

STEPS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: Fraction(a, b),
}


def results(node):
    """The value of a node and the results of all steps up to it, in the order in which Python computes them."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value), []
    if isinstance(node, ast.UnaryOp):  # a number with a minus sign of its own
        value, before = results(node.operand)
        return -value, before + [-value]
    left, before = results(node.left)
    right, then = results(node.right)
    value = STEPS[type(node.op)](left, right)
    return value, before + then + [value]


rows = reasoning_gym.create_dataset("countdown", size=1000, seed=42, min_numbers=3, max_numbers=5, min_target=10, max_target=300)
below, fractions, signs, wrong = 0, 0, 0, 0
for row in rows:
    expression = row["metadata"]["expression"]
    value, steps = results(ast.parse(expression, mode="eval").body)
    wrong += value != row["metadata"]["target"]
    below += any(step < 0 for step in steps)
    fractions += any(step.denominator != 1 for step in steps)
    signs += not set(expression) & set("*/")
print(f"rows 1000, wrong {wrong}, below zero {below}, fractions {fractions}, only + and - {signs}")
PY
grep -qx "rows 1000, wrong 0, below zero 160, fractions 0, only + and - 747" "$folder/seen" || { echo "it behaves otherwise now" >&2; exit 1; }
