"""Runs a command that tells a trackio server, and holds what the server shows against metrics.jsonl:
trackio_server.py RUN COMMAND..., in which URL stands for the server's address"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

# The server may still write when this program ends.
FOLDER = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
os.environ["TRACKIO_DIR"] = FOLDER.name

import trackio
from trackio.sqlite_storage import SQLiteStorage

from written import written


def main():
    run, command = Path(sys.argv[1]), sys.argv[2:]
    _, url, _, write_url = trackio.show(open_browser=False, block_thread=False)
    (os.environ["TRACKIO_WRITE_TOKEN"],) = parse_qs(urlsplit(write_url).query)["write_token"]
    subprocess.run([word.replace("URL", url.rstrip("/")) for word in command], check=True)
    (project,) = SQLiteStorage.get_projects()
    rows = SQLiteStorage.get_logs(project, run.name)
    found = {}
    for row in rows:
        step = row["step"]
        for tag, value in row.items():
            if tag not in ("step", "timestamp"):
                found.setdefault(tag, []).append((step, value))
    wanted = written(run, narrow=False)
    differ = [tag for tag in wanted.keys() | found.keys() if wanted.get(tag) != found.get(tag)]
    for tag in sorted(differ):
        print(f"{tag}: {wanted.get(tag)} written, {found.get(tag)} shown")
    print(f"{project}: {sum(map(len, found.values()))} numbers of {len(found)} tags, {len(differ)} differ")
    sys.exit(bool(differ))


main()
