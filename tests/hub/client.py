"""Pushes a folder with Hugging Face's own client, and reads the cards of the repositories that were pushed:
client.py FOLDER OWNER/NAME CARD..., at HF_ENDPOINT with HF_TOKEN"""

import os
import sys

# Their other way to the storage needs a server of its own.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

from huggingface_hub import CommitOperationAdd, HfApi, metadata_load

folder, name, *cards = sys.argv[1:]
api = HfApi()
api.create_repo(name, private=True)
files = [CommitOperationAdd(file, os.path.join(folder, file)) for file in sorted(os.listdir(folder))]
commit = api.create_commit(name, files, commit_message="A folder")
assert commit.oid == "c", commit
for card in cards:
    about = metadata_load(card)
    assert about["license"] == "unknown" and "espalier" in about["tags"], about
    for config in about.get("configs", []):
        columns = [info for info in about["dataset_info"] if info["config_name"] == config["config_name"]]
        assert len(columns) == 1 and columns[0]["features"], about
