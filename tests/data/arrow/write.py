"""Writes the files beside it and `../parquet/typed.parquet`: `pip install pyarrow==26.0.1 datasets==5.2.0`, then run it in this folder."""

import datetime

import datasets
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

float16, float32, text = pyarrow.float16(), pyarrow.float32(), pyarrow.string()
schema = pyarrow.schema([
    ("question", text),
    ("answer", float32),
    ("half", float16),
    ("floats", pyarrow.list_(float32)),
    ("deep", pyarrow.struct([("half", float16), ("floats", pyarrow.list_(float32))])),
    ("named", pyarrow.map_(text, float32)),
    # Text without its annotation, as old writers have it, and what is none.
    ("old", pyarrow.binary()),
    ("image", pyarrow.binary()),
    ("at", pyarrow.timestamp("us")),
])
row = {
    "question": "How much is a tenth?",
    "answer": 0.1,
    "half": 0.1,
    "floats": [0.1, None, 3.0],
    "deep": {"half": 0.7, "floats": [1e-7]},
    "named": [("tenth", 0.1)],
    "old": "a ½".encode(),
    "image": b"\x89PNG",
    "at": datetime.datetime(2026, 1, 2),
}
table = pyarrow.Table.from_pylist([row, {"question": "How much is none?", "answer": 0}], schema)
pyarrow.parquet.write_table(table, "../parquet/typed.parquet")
kinds = pyarrow.array(["short", "short"]).dictionary_encode()
table = table.append_column("kind", kinds)
pyarrow.feather.write_feather(table, "lz4.feather", compression="lz4")
pyarrow.feather.write_feather(table, "zstd.feather", compression="zstd")
with pyarrow.ipc.new_file("none.arrow", table.schema) as file:
    file.write_table(table, max_chunksize=1)
with pyarrow.ipc.new_stream("stream.arrow", table.schema) as stream:
    stream.write_table(table)

rows = [{"question": f"How much is {number} + 1?", "answer": str(number + 1)} for number in range(5)]
train, test = datasets.Dataset.from_list(rows[:4]), datasets.Dataset.from_list(rows[4:])
splits = datasets.DatasetDict({"train": train, "test": test})
splits.save_to_disk("saved", num_shards={"train": 2, "test": 1})
