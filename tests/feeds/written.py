"""The numbers of a run's metrics.jsonl, by where they stand."""

import json
import struct

NAMES = ("decoding", "name", "kind", "k")


def single(value):
    """The number as 32 bits hold it."""
    return struct.unpack("f", struct.pack("f", value))[0]


def numbers(tag, step, value):
    """The numbers below a value, by where they stand."""
    if isinstance(value, bool):
        return
    if isinstance(value, (int, float)):
        yield tag, (step, value)
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from numbers(f"{tag}/{key}", step, below)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            named = [below[key] for key in NAMES if isinstance(below, dict) and key in below]
            named = [name for name in named if isinstance(name, (str, int, float))]
            yield from numbers(f"{tag}/{named[0] if named else index}", step, below)


def written(run, narrow):
    """All numbers of metrics.jsonl, as 32 bits hold them or whole."""
    found, ended = {}, {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        summary = json.loads(line)
        stage, before = summary["stage"], ended.get(summary["stage"], 0)
        told = []
        for key, value in summary.items():
            if key == "curve":
                for point in value:
                    ended[stage] = before + point.pop("step")
                    told += numbers(stage, ended[stage], point)
            elif key not in ("round", "stage", "schema"):
                told += numbers(f"{stage}/{key}", summary["round"], value)
        for tag, (step, value) in told:
            found.setdefault(tag, []).append((step, single(value) if narrow else value))
    return found
