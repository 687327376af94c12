// One tree, drawn from left to right. Subtrees fold; only what is in sight is drawn.
const ROW = 24, COLUMN = 230, OPEN_AT_FIRST = 40, MARGIN = 24, TALLEST = 33000000;

// The colour of Q in [-1, 1].
const colourOf = (q) => `color-mix(in oklab, var(${q < 0 ? "--bad" : "--good"}) ${Math.round(100 * Math.min(1, Math.abs(q)))}%, var(--sheet))`;

class TreeView {
  constructor(tree, choose) {
    this.tree = tree;
    this.choose = choose;
    this.zoom = 1;
    this.chosen = 0;
    this.same = -1;
    const { depth } = tree.nodes, open = [];
    this.parent = depth.map((own, node) => { open[own] = node; return own ? open[own - 1] : -1; });
    this.children = depth.map(() => []);
    this.parent.forEach((parent, node) => parent >= 0 && this.children[parent].push(node));
    this.whole = this.children;
    this.visits = tree.nodes.visits;
    this.q = tree.nodes.q;
    this.unfold();
    this.svg = draw("svg", { role: "tree", tabindex: 0, "aria-label": `Tree of problem ${tree.problem}, ${tree.source}` });
    this.room = make("div", {}, this.svg);
    this.view = make("div", { class: "view" }, this.room);
    this.view.addEventListener("scroll", () => this.soon());
    this.view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.scale(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    }, { passive: false });
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.begun ? this.soon() : this.begin()).observe(this.view);
    this.layout();
  }

  // The root is in sight as soon as there is a place to look at.
  begin() {
    if (!this.view.clientHeight) return;
    this.begun = true;
    this.view.scrollTop = this.y(0) - this.view.clientHeight / 2;
    this.soon();
  }

  // The best path, and then the most visited nodes.
  unfold() {
    const { visits } = this, { best } = this.tree.nodes, byVisits = visits.map((_, node) => node);
    byVisits.sort((one, other) => best[other] - best[one] || visits[other] - visits[one] || one - other);
    this.open = new Set([0]);
    let shown = 1;
    for (const node of byVisits) {
      if (shown > OPEN_AT_FIRST && !best[node]) break;
      for (let above = this.children[node].length ? node : this.parent[node]; above >= 0 && !this.open.has(above); above = this.parent[above]) {
        this.open.add(above);
        shown += this.children[above].length;
      }
    }
  }

  // Goes back to how the tree was after its first simulations; its last one leads to what it is.
  after(count) {
    const { order, nodes } = this.tree;
    this.history ??= new TreeHistory(this.tree, this.parent, this.whole);
    const last = count === order.length, { visits, q } = last ? nodes : this.history.after(count);
    Object.assign(this, { visits, q });
    this.children = last ? this.whole : this.whole.map((all) => all.filter((node) => this.history.born[node] <= count));
    this.now = new Set();
    const leaf = count ? order[count - 1][0] : 0;
    for (let node = leaf; node >= 0; node = this.parent[node]) this.now.add(node);
    if (!last) this.open.add(leaf);
    this.layout();
    this.select(leaf);
  }

  // Places: a leaf a row, a node beside the middle of its children.
  layout() {
    this.rows = [];
    const place = new Map(), stack = [[0, false]];
    let leaf = 0;
    while (stack.length) {
      const [node, done] = stack.pop(), below = this.open.has(node) ? this.children[node] : [];
      if (!below.length) place.set(node, leaf++);
      else if (done) place.set(node, (place.get(below[0]) + place.get(below.at(-1))) / 2);
      else {
        stack.push([node, true]);
        for (let index = below.length - 1; index >= 0; index--) stack.push([below[index], false]);
        continue;
      }
      this.rows.push(node);
    }
    this.place = place;
    this.leaves = leaf;
    this.deepest = this.rows.reduce((most, node) => Math.max(most, this.tree.nodes.depth[node]), 0);
    this.rows.sort((one, other) => place.get(one) - place.get(other));
    this.room.style.height = `${Math.min(TALLEST, this.leaves * ROW * this.zoom + 2 * MARGIN)}px`;
    this.room.style.width = `${(this.deepest + 1) * COLUMN * this.zoom + 2 * MARGIN}px`;
    this.soon();
  }

  x(node) { return MARGIN + this.tree.nodes.depth[node] * COLUMN * this.zoom; }
  y(node) { return MARGIN + this.place.get(node) * ROW * this.zoom; }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.redraw(); });
  }

  redraw() {
    const { view, svg } = this, { scrollLeft, scrollTop, clientWidth, clientHeight } = view;
    if (!clientWidth) return;
    fill(svg, { width: clientWidth, height: clientHeight, viewBox: `${scrollLeft} ${scrollTop} ${clientWidth} ${clientHeight}` }, []);
    const first = (scrollTop - MARGIN) / (ROW * this.zoom) - 2, last = first + clientHeight / (ROW * this.zoom) + 4;
    const left = (scrollLeft - MARGIN) / (COLUMN * this.zoom) - 1, right = left + clientWidth / (COLUMN * this.zoom) + 2;
    const seen = (node) => this.place.get(node) >= first && this.place.get(node) <= last && depth[node] >= left && depth[node] <= right;
    const edges = [], nodes = [], { depth } = this.tree.nodes;
    for (const node of this.rows) {
      const parent = this.parent[node];
      if (parent >= 0) {
        const [from, to] = [this.place.get(parent), this.place.get(node)];
        if (Math.max(from, to) >= first && Math.min(from, to) <= last && depth[node] >= left && depth[parent] <= right) edges.push(this.edge(parent, node));
      }
      if (seen(node)) nodes.push(this.node(node));
    }
    svg.replaceChildren(...edges, ...nodes);
    svg.setAttribute("aria-activedescendant", this.id(this.chosen));
  }

  id(node) { return `${this.name ??= "t" + TreeView.count++}-${node}`; }

  edge(parent, node) {
    const { visits } = this, { best } = this.tree.nodes, share = Math.sqrt(visits[node] / Math.max(1, visits[0]));
    const [x, y, right, down] = [this.x(parent), this.y(parent), this.x(node), this.y(node)], bend = Math.min(60, (right - x) / 3);
    const start = right - Math.min(70, (right - x) * 0.4);
    return draw("path", { class: this.now?.has(node) ? "edge now" : best[node] && best[parent] ? "edge best" : "edge", "stroke-width": 0.8 + 7 * share,
      d: `M${x} ${y}H${start - bend / 2}C${start + bend / 3} ${y} ${start - bend / 3} ${down} ${right} ${down}` });
  }

  node(node) {
    const { q, visits } = this, { action, best, verdict, ending } = this.tree.nodes, folded = this.children[node].length && !this.open.has(node);
    const text = (node ? action[node] : this.tree.question).trim().replace(/\s+/g, " "), mark = ["✗ ", "", "✓ "][verdict[node] + 1];
    const room = Math.max(6, Math.floor((COLUMN * this.zoom - 40) / 6.6)), short = text.length > room ? text.slice(0, room - 1) + "…" : text;
    const classes = ["node", best[node] && "best", this.chosen === node && "chosen", this.same === node && "same"];
    const group = draw("g", { class: classes.filter(Boolean).join(" "), id: this.id(node), role: "treeitem", transform: `translate(${this.x(node)} ${this.y(node)})`,
      "aria-level": this.tree.nodes.depth[node] + 1, "aria-selected": String(this.chosen === node), "aria-expanded": this.children[node].length ? String(!folded) : undefined,
      "aria-label": `${mark}${text}, visits ${visits[node]}, Q ${shown(q[node])}${ending[node] ? ", " + ending[node] : ""}`,
      onclick: () => { if (this.chosen === node) this.toggle(node); else this.select(node); } },
      draw("title", {}, `${text}\nP ${shown(this.tree.nodes.prior[node])}  N ${visits[node]}  Q ${shown(q[node])}  V ${shown(this.tree.nodes.value[node])}\n${ending[node]}`),
      draw("circle", { r: 5 + Math.min(4, Math.log10(1 + visits[node])), style: `fill: ${colourOf(q[node])}` }),
      draw("text", { x: 12, y: -4 }, `${best[node] ? "★ " : ""}${mark}${short}`));
    if (folded) group.append(draw("text", { class: "fold", x: 12, y: 9 }, `+${this.below(node)}`));
    return group;
  }

  // How many nodes are below one.
  below(node) {
    const { depth } = this.tree.nodes;
    let after = node + 1;
    while (after < depth.length && depth[after] > depth[node]) after++;
    return after - node - 1;
  }

  toggle(node) {
    if (!this.open.delete(node)) this.open.add(node);
    this.layout();
  }

  // Shows a node and all above it.
  select(node) {
    this.chosen = node;
    let changed = false;
    for (let above = this.parent[node]; above >= 0; above = this.parent[above]) {
      if (!this.open.has(above)) { this.open.add(above); changed = true; }
    }
    if (changed) this.layout();
    const { view } = this, y = this.y(node), x = this.x(node);
    if (y < view.scrollTop + ROW || y > view.scrollTop + view.clientHeight - ROW) view.scrollTop = y - view.clientHeight / 2;
    if (x < view.scrollLeft || x > view.scrollLeft + view.clientWidth - COLUMN * this.zoom) view.scrollLeft = x - MARGIN;
    this.soon();
    this.choose(node);
  }

  key(event) {
    const node = this.chosen, row = this.rows.indexOf(node), open = this.open.has(node) && this.children[node].length;
    const moves = {
      ArrowDown: () => this.rows[row + 1], ArrowUp: () => this.rows[row - 1], Home: () => 0,
      ArrowLeft: () => this.parent[node], ArrowRight: () => (open ? this.children[node][0] : void (this.children[node].length && this.toggle(node))),
      Enter: () => void (this.children[node].length && this.toggle(node)), " ": () => void (this.children[node].length && this.toggle(node)),
      "+": () => void this.scale(1.15), "-": () => void this.scale(1 / 1.15),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    const next = moves[event.key]();
    if (next !== undefined && next >= 0) this.select(next);
  }

  scale(by) {
    const { view } = this, before = this.zoom, middle = view.scrollTop + view.clientHeight / 2;
    this.zoom = Math.min(2.5, Math.max(0.35, before * by));
    this.layout();
    view.scrollTop = (middle * this.zoom) / before - view.clientHeight / 2;
  }

  // The node whose steps from the root are the same as those of another tree's node; -1 where there is none.
  find(steps) {
    let node = 0;
    for (const step of steps) {
      node = this.children[node].find((child) => this.tree.nodes.action[child].trim() === step) ?? -1;
      if (node < 0) return -1;
    }
    return node;
  }

  steps(node) {
    const steps = [];
    for (; node > 0; node = this.parent[node]) steps.unshift(this.tree.nodes.action[node].trim());
    return steps;
  }
}
TreeView.count = 0;
