// Asks the page's own server each second what the run is at, and lays out the page anew when a stage is finished.
const live = document.getElementById("live"), EVERY = 1000;
const bar = make("progress", { "aria-label": "of this stage" }), words = make("p", { class: "status", role: "status" }), facts = make("dl", { class: "facts" });
const following = make("input", { type: "checkbox", checked: true }), newest = make("div", {});
live.hidden = false;
live.append(words, bar, facts, make("details", { open: true }, make("summary", {}, "The last finished tree"), make("label", { class: "note" }, following, " follow"), newest));
let seen = { page: null, tree: null };

const clock = (seconds) => [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60].map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
const ask = async (name) => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
};

function tellStatus({ status, silent, age }) {
  if (!status) { words.textContent = "Nothing is known of this run yet."; bar.hidden = true; return; }
  const at = `round ${status.round} of ${status.rounds}, ${status.stage || "before the first stage"}`;
  words.textContent = status.state === "ended" ? `Not running. Its process left it in ${at}.` : silent ? `No word for ${clock(age)}: stopped or killed in ${at}.` : `Running: ${at}.`;
  bar.hidden = !status.total;
  bar.max = status.total || 1;
  bar.value = status.done;
  const net = status.inference, read = net && net.prefix_tokens_computed + net.prefix_tokens_reused;
  const rows = [
    [status.counting || "done", status.total && `${shown(status.done)} of ${shown(status.total)}`], ["in this stage", clock(status.seconds)],
    ["a second", status.per_second && shown(status.per_second)], ["time left", status.seconds_left !== null && status.total && clock(status.seconds_left)],
    ["solved", status.solved !== null && shown(status.solved)], ["full passes", net?.occupancy != null && percent(net.occupancy)],
    ["contexts' tokens kept", read && percent(net.prefix_tokens_reused / read)], ["tokens sampled", net && shown(net.tokens_sampled)],
    ["memory", status.memory_bytes && `${(status.memory_bytes / 2 ** 30).toFixed(2)} GiB`],
  ];
  facts.replaceChildren(...rows.filter(([, text]) => text).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

// The trees of any finished round, twenty at a time, in the place of the probe's.
let source = "", from = 0;
const choice = make("select", { "aria-label": "trees of", onchange: () => { source = choice.value; from = 0; showTrees(); } });
const [back, on] = [["Before", -20], ["Next", 20]].map(([name, by]) => make("button", { type: "button", onclick: () => { from += by; showTrees(); } }, name));
const note = make("span", { class: "note" }), shownTrees = make("div", {});
treesShown = () => { showTrees(); return make("div", { class: "walk-of" }, make("div", { class: "bar" }, make("label", {}, "Trees of ", choice), back, on, note), shownTrees); };

async function showTrees() {
  try {
    const files = await ask("files.json");
    choice.replaceChildren(make("option", { value: "", selected: !source }, "the probe, every round"), ...files.map((file) => make("option", { value: file, selected: file === source }, file)));
    const { trees, more } = source ? await ask(`trees.json?file=${source}&from=${from}`) : { trees: data.trees, more: false };
    back.disabled = from === 0;
    on.disabled = !more;
    note.textContent = source && trees.length ? `trees ${from + 1} to ${from + trees.length}` : "";
    shownTrees.replaceChildren(trees.length ? walk(trees) : make("p", { class: "note" }, "none"));
  } catch (error) {
    note.textContent = String(error.message ?? error);
  }
}

async function poll() {
  try {
    const found = await ask("status.json");
    tellStatus(found);
    if (seen.page !== found.page) {
      if (seen.page !== null) { data = await ask("page.json"); layout(); }
      seen.page = found.page;
    }
    if (following.checked && seen.tree !== found.tree) {
      const tree = await ask("tree.json");
      seen.tree = found.tree;
      if (tree) {
        const of = make("dl", { class: "facts" }), view = new TreeView(tree, (node) => tell(of, view, node));
        newest.replaceChildren(make("p", { class: "note" }, `${tree.question.trim().split("\n")[0]}: ${tree.simulations} simulations (${tree.stop}), ${tree.nodes.depth.length} nodes`), stepper(view), view.view, of);
      }
    }
    document.body.dataset.live = "true";
  } catch (error) {
    words.textContent = `The page's server does not answer (${error.message ?? error}); what is below is what it said last.`;
  }
  setTimeout(poll, EVERY);
}
layout();
poll();
