// A tree as it was after each of its simulations, where their order was kept.
class TreeHistory {
  constructor(tree, parent, children) {
    const { order, nodes } = tree;
    Object.assign(this, { order, parent });
    // The simulation that made a node.
    this.born = nodes.depth.map(() => 0);
    const known = this.born.map(() => 0);
    order.forEach(([node, after], index) => {
      for (; known[node] < after; known[node]++) this.born[children[node][known[node]]] = index + 1;
    });
    // A node has from the beginning what did not go through it later: an end its own value.
    const through = this.through(order.length);
    this.first = nodes.visits.map((visits, node) => visits - through.visits[node]);
    this.firstSum = this.first.map((visits, node) => visits && visits * (nodes.value[node] ?? nodes.q[node]));
  }

  // What went up through each node in the first simulations.
  through(count) {
    const visits = this.born.map(() => 0), sums = this.born.map(() => 0);
    for (const [leaf, , values, sum] of this.order.slice(0, count)) {
      for (let node = leaf; node >= 0; node = this.parent[node]) {
        visits[node] += values;
        sums[node] += sum;
      }
    }
    return { visits, sums };
  }

  // N and Q of each node after the first simulations; of those that are not there yet 0.
  after(count) {
    const { visits, sums } = this.through(count);
    this.born.forEach((born, node) => {
      if (born > count) return;
      visits[node] += this.first[node];
      sums[node] += this.firstSum[node];
    });
    return { visits, q: sums.map((sum, node) => (visits[node] ? sum / visits[node] : 0)) };
  }
}

// The controls of a view whose tree kept its order; empty where it did not.
function stepper(view) {
  const { order, nodes } = view.tree;
  if (!order) return "";
  const words = make("span", { role: "status" });
  const slider = make("input", { type: "range", min: 0, max: order.length, value: order.length, "aria-label": "simulations", oninput: () => go(+slider.value) });
  let timer;
  const stop = () => { clearInterval(timer); timer = undefined; play.textContent = "Play"; };
  function go(count) {
    slider.value = count;
    view.after(count);
    if (count === order.length) stop();
    if (!count) { words.textContent = "before the first simulation"; return; }
    const [node, children, values, sum] = order[count - 1], before = order.slice(0, count - 1).findLast(([other]) => other === node)?.[1] ?? 0;
    const fresh = children - before, step = node ? `“${nodes.action[node].trim().replace(/\s+/g, " ").slice(0, 60)}”` : "the root";
    words.textContent = `simulation ${count} of ${order.length} ${before ? "widens" : "expands"} ${step}: ${fresh} new ${fresh === 1 ? "step" : "steps"}, ${values} ${values === 1 ? "value" : "values"} up, mean ${values ? shown(sum / values) : "–"}`;
  }
  const by = (name, label, step) => make("button", { type: "button", "aria-label": label, onclick: () => { stop(); go(Math.min(order.length, Math.max(0, +slider.value + step))); } }, name);
  const play = make("button", { type: "button", onclick: () => {
    if (timer) return stop();
    if (+slider.value === order.length) go(0);
    play.textContent = "Pause";
    timer = setInterval(() => (slider.isConnected ? go(+slider.value + 1) : stop()), 400);
  } }, "Play");
  words.textContent = `${order.length} simulations, in the order in which they happened`;
  return make("div", { class: "bar steps" }, by("◂", "one simulation back", -1), slider, by("▸", "one simulation on", 1), play, words);
}
