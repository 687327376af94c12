"""Writes the Parquet files beside it: `pip install pyarrow`, then run it in this folder."""

import pyarrow
import pyarrow.parquet

rows = [
    {
        "problem": "How many legs have two hens?",
        "steps": ["A hen has 2 legs.", "2*2=4"],
        "reward": {"answer": "4", "style": "rule"},
        "level": 1,
    },
    {
        "problem": "How much is $\\frac{1}{3} + \\frac{1}{3}$?",
        "steps": ["It is $\\frac{2}{3}$."],
        "reward": {"answer": "\\frac{2}{3}", "style": None},
        "level": None,
    },
    {
        "problem": "What is half of 1?",
        "steps": ["0.5"],
        "reward": {"answer": "0.5", "style": "rule"},
        "level": 2,
    },
]
table = pyarrow.Table.from_pylist(rows)
for compression in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    # Two row groups, as large files have many.
    pyarrow.parquet.write_table(
        table, f"{compression}.parquet", compression=compression, row_group_size=2
    )
