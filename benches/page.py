"""How fast a page draws a tree of 10,000 nodes, measured in the page by a real Chromium.

    python3 benches/page.py [--espalier target/release/espalier] [--nodes 10000]

The tree is grown by the program itself with a policy that proposes at random. In the page: the time from the start of its loading to the
first frame that shows the tree; then, folded as it opens and with every node unfolded, the time of each frame while the view is panned
and while it is zoomed.
"""

import argparse
import html
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request

BROWSERS = ["chromium", "chromium-browser", "google-chrome"]

MEASURE = """
const frame = () => new Promise((done) => requestAnimationFrame(done));
const rest = (times) => ({ median: times[times.length >> 1], p95: times[Math.floor(0.95 * times.length)], most: times.at(-1) });
async function frames(work) {
  const times = [];
  let last = await frame();
  for (let index = 0; index < 180; index++) {
    work(index);
    const now = await frame();
    times.push(now - last);
    last = now;
  }
  return rest(times.sort((one, other) => one - other));
}
(async () => {
  // One frame draws the tree, and the next begins when that is on the screen.
  while (!document.querySelector('.view .node')) await frame();
  await frame();
  const drawn = performance.now(), view = document.querySelector('.view'), found = { drawn };
  const [smaller, larger] = ['smaller', 'larger'].map((name) => document.querySelector(`[aria-label="${name}"]`));
  const pan = (index) => { view.scrollTop += index < 90 ? 37 : -37; view.scrollLeft += index % 60 < 30 ? 11 : -11; };
  const zoom = (index) => (index % 20 < 10 ? smaller : larger).click();
  found.nodes = data.trees[0].nodes.depth.length;
  found.folded = { drawn: document.querySelectorAll('.node').length, pan: await frames(pan), zoom: await frames(zoom) };
  const opened = TreeView.last;
  opened.open = new Set(opened.children.keys());
  opened.layout();
  await frame();
  view.scrollTop = view.scrollHeight / 2;
  view.scrollLeft = view.scrollWidth / 2;
  await frame();
  await frame();
  found.unfolded = { drawn: document.querySelectorAll('.node').length, pan: await frames(pan), zoom: await frames(zoom) };
  document.title = 'done ' + JSON.stringify(found);
})();
"""


def browser():
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise SystemExit("no Chromium (Debian's package `chromium`)")


def start(address, folder):
    """A browser at an address, in real time, whose own files are in a folder."""
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000", "--remote-debugging-port=0"]
    return subprocess.Popen(
        [*command, f"--user-data-dir={folder}/profile", address],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def opened(page, folder):
    """Opens a page and waits for what its script says in the title."""
    folder.mkdir()
    process = start(page.as_uri(), folder)
    try:
        port = folder / "profile" / "DevToolsActivePort"
        for _ in range(1200):
            time.sleep(0.1)
            if not port.exists():
                continue
            address = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
            for tab in json.load(urllib.request.urlopen(address)):
                if tab["title"].startswith("done "):
                    return json.loads(html.unescape(tab["title"]).removeprefix("done "))
        raise SystemExit("the page did not come to its end in two minutes")
    finally:
        process.terminate()
        process.wait()


def tree(espalier, nodes, folder):
    """A page of one tree of at least so many nodes."""
    problems, trees, page = folder / "problems.jsonl", folder / "trees.jsonl", folder / "page.html"
    numbers = [2, 3, 5, 7, 11, 13, 17, 19]
    metadata = {"numbers": numbers, "target": 99983}
    question = f"Use each of the numbers {', '.join(map(str, numbers))} once to make 99983."
    problems.write_text(json.dumps({"id": "p", "question": question, "answer": "99983", "metadata": metadata}) + "\n")
    settings = [f"search.simulations={nodes // 5}", "search.samples=6", "search.max_depth=12", "search.keep_order=true"]
    sets = [part for setting in settings for part in ("--set", setting)]
    subprocess.run([espalier, "search", "--config", "configs/countdown-uniform.toml", "--problems", problems, "--out", trees, *sets], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([espalier, "inspect", "tree", trees, "--html", page], check=True)
    return page


def measure(espalier, nodes):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        page = tree(espalier, nodes, folder)
        text = page.read_text()
        hook = "TreeView.count = 0;"
        assert text.count(hook) == 1
        text = text.replace(hook, hook + "\nconst begin = TreeView.prototype.begin; TreeView.prototype.begin = function () { TreeView.last = this; begin.call(this); };")
        before, after = text.rsplit("</body>", 1)
        page.write_text(f"{before}<script>{MEASURE}</script></body>{after}")
        found = [opened(page, folder / str(run)) for run in range(5)]
    print(f"{found[0]['nodes']} nodes, {len(text) / 1e6:.1f} MB, five times opened, medians of each in turn")
    print(f"from the start of loading to the drawn tree: {statistics.median(run['drawn'] for run in found):.0f} ms")
    for state in ("folded", "unfolded"):
        for motion in ("pan", "zoom"):
            times = [run[state][motion] for run in found]
            median, p95, most = (statistics.median(run[key] for run in times) for key in ("median", "p95", "most"))
            print(f"{state}, {found[0][state]['drawn']} nodes in sight, {motion}: a frame takes {median:.1f} ms, 95 % below {p95:.1f}, most {most:.1f} ({1000 / median:.0f} a second)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--espalier", default="target/release/espalier")
    parser.add_argument("--nodes", type=int, default=10_000)
    arguments = parser.parse_args()
    measure(arguments.espalier, arguments.nodes)


if __name__ == "__main__":
    main()
