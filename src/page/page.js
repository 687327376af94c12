// Lays out the page from its data, anew when there is more.
let data = JSON.parse(document.getElementById("data").textContent);
const main = document.getElementById("main"), contents = document.getElementById("contents");
// What the reader has chosen outlives a new layout.
const chosen = { problem: undefined, sources: [], hidden: new Map() };

function section(id, title, ...children) {
  contents.append(make("a", { href: `#${id}` }, title));
  main.append(make("section", { "aria-labelledby": id }, make("h2", { id }, title), ...children));
}

// What is known of a node of a view.
function tell(facts, { tree, visits, q }, node) {
  const of = tree.nodes, rows = [
    [node ? "step" : "prompt", of.action[node]], ["observation", of.observation[node]], ["visits N", shown(visits[node])], ["Q", shown(q[node])],
    ["value V", shown(of.value[node])], ["prior P", shown(of.prior[node])], ["tokens", shown(of.tokens[node])], ["ending", of.ending[node]],
  ];
  facts.replaceChildren(...rows.filter(([, text]) => text !== "").flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

// Of a tree: which problems there are, and their trees side by side.
function walk(trees) {
  const problems = [...new Set(trees.map((tree) => tree.problem))];
  const treesOf = (problem) => trees.filter((tree) => tree.problem === problem);
  const last = (problem) => treesOf(problem).at(-1);
  const kinds = {
    all: () => true, solved: (tree) => tree.outcome === "solved", wrong: (tree) => tree.outcome === "wrong",
    "right answer not chosen": (tree) => tree.found && tree.outcome !== "solved", tie: (tree) => tree.tie, "no answer": (tree) => tree.outcome === "none",
  };
  const orders = {
    "as they stand": () => 0,
    "most disagreement of Q and value": (one, other) => (other.disagreement ?? -1) - (one.disagreement ?? -1),
    "most nodes": (one, other) => other.nodes.depth.length - one.nodes.depth.length,
  };
  const options = (names) => names.map((name) => make("option", {}, name));
  const search = make("input", { type: "search", oninput: () => list() }), kind = make("select", { onchange: () => list() }, ...options(Object.keys(kinds)));
  const order = make("select", { onchange: () => list() }, ...options(Object.keys(orders)));
  const names = make("ul", { class: "problems" }), count = make("p", { class: "note", role: "status" });
  const panes = make("div", { class: "panes" });
  let current = problems.includes(chosen.problem) ? chosen.problem : problems[0], { sources } = chosen;

  function list() {
    const words = search.value.toLowerCase();
    const wanted = problems.filter((problem) => kinds[kind.value](last(problem)) && (problem + last(problem).question).toLowerCase().includes(words));
    wanted.sort((one, other) => orders[order.value](last(one), last(other)));
    count.textContent = `${wanted.length} of ${problems.length} problems, by their last tree`;
    names.replaceChildren(...wanted.map((problem) => {
      const tree = last(problem), mark = { solved: "✓", wrong: "✗", undecided: "?", none: "–" }[tree.outcome];
      return make("li", {}, make("button", { type: "button", title: problem, "aria-current": String(problem === current), onclick: () => show(problem) },
        `${mark} ${tree.question.trim().split("\n")[0]}`));
    }));
  }

  function show(problem) {
    current = chosen.problem = problem;
    const trees = treesOf(problem);
    if (!sources.length) sources = chosen.sources = [trees.at(-1).source];
    list();
    const views = [];
    const pane = (wanted, index) => {
      const tree = trees.find((tree) => tree.source === wanted) ?? trees.at(-1), facts = make("dl", { class: "facts", "aria-live": "polite" });
      const view = new TreeView(tree, (node) => {
        tell(facts, view, node);
        views.filter((other) => other !== view).forEach((other) => { other.same = other.find(view.steps(node)); other.soon(); });
      });
      views.push(view);
      tell(facts, view, 0);
      const source = make("select", { "aria-label": "tree", onchange: (event) => { sources[index] = event.target.value; show(problem); } },
        ...trees.map((other) => make("option", { selected: other === tree }, other.source)));
      const beside = index === 0 && trees.length > 1 && make("button", { type: "button", onclick: () => {
        sources = chosen.sources = sources.length > 1 ? [sources[0]] : [trees[0].source, sources[0]];
        show(problem);
      } }, sources.length > 1 ? "One tree" : "Two rounds side by side");
      return make("div", { class: "pane" }, make("div", { class: "bar" }, source, beside || "",
        make("button", { type: "button", "aria-label": "smaller", onclick: () => view.scale(1 / 1.3) }, "−"),
        make("button", { type: "button", "aria-label": "larger", onclick: () => view.scale(1.3) }, "+"),
        make("button", { type: "button", onclick: () => { view.unfold(); view.layout(); } }, "Fold"),
        make("span", {}, `${tree.simulations} simulations (${tree.stop}), ${tree.nodes.depth.length} nodes, answer ${tree.answer ?? "not known"}`),
        make("span", {}, "Q −1 "), make("span", { class: "scale", role: "img", "aria-label": "colours from Q −1 to Q 1" }), make("span", {}, " 1")), stepper(view), view.view, facts);
    };
    panes.replaceChildren(...sources.map(pane));
  }

  show(current);
  const labelled = (name, input) => make("label", {}, name, input);
  return make("div", { class: "walk" }, make("div", { class: "list" }, labelled("Search", search), labelled("Show", kind), labelled("Order", order), count, names), panes);
}

// A served page has more trees than its own data.
let treesShown = () => (data.trees.length ? walk(data.trees) : "");

function layout() {
  document.title = `${data.title} – Espalier`;
  document.getElementById("title").textContent = data.title;
  contents.replaceChildren();
  main.replaceChildren();
  if (data.charts.length) section("charts", "Charts", make("div", { class: "charts" }, ...data.charts.map(chartOf)));
  if (data.trees.length || data.trees_note) {
    section("trees", "Trees", data.trees_note ? make("p", { class: "note" }, data.trees_note) : "", treesShown());
  }
  if (data.sheets.length) {
    section("figures", "Figures", ...data.sheets.map((sheet) => make("div", {}, make("h3", {}, sheet.title),
      sheet.note ? make("p", { class: "note" }, sheet.note) : "", tableOf(sheet.header, sheet.rows))));
  }
  if (data.texts.length) {
    section("recipe", "Recipe and machine", ...data.texts.map(({ title, text }) => make("details", {}, make("summary", {}, title), make("pre", { tabindex: 0 }, text))));
  }
}

layout();
document.body.dataset.ready = "true";
