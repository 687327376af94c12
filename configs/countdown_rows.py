"""Generates the problems of countdown-reasoning-gym.toml.

    python3 -m venv venv && venv/bin/pip install reasoning-gym==0.1.25
    mkdir -p data/reasoning_gym
    venv/bin/python configs/countdown_rows.py >data/reasoning_gym/countdown.jsonl
"""

import json

import reasoning_gym

SEED, ROWS = 20260101, 2000

settings = dict(min_numbers=3, max_numbers=5, min_target=10, max_target=300)
for index, row in enumerate(reasoning_gym.create_dataset("countdown", size=ROWS, seed=SEED, **settings)):
    name = f"countdown-{SEED}-{index}"
    fields = {key: row[key] for key in ("question", "answer", "metadata")}
    print(json.dumps({"id": name, "family": "countdown", **fields}))
