// A chart of lines with intervals: hover or focus a point to read it, press a name to hide its line; a table says the same.
const COLOURS = 8, DASHES = ["", "6 3", "2 3", "9 3 2 3"];
const MARKS = [
  (x, y) => draw("circle", { cx: x, cy: y, r: 4 }),
  (x, y) => draw("rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7 }),
  (x, y) => draw("path", { d: `M${x} ${y - 5}l5 9h-10z` }),
  (x, y) => draw("path", { d: `M${x} ${y - 5}l5 5l-5 5l-5 -5z` }),
];

// Round numbers that span a range.
function ticksOf(low, high, count, whole) {
  const raw = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
  if (whole) step = Math.max(1, Math.ceil(step));
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) ticks.push(+tick.toPrecision(12));
  return ticks;
}

function rangeOf(values, padding) {
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * padding;
  return [low - room, high + room];
}

function chartOf(chart, index) {
  const width = 620, height = 330, left = 64, right = 14, top = 12, bottom = 46;
  if (!chosen.hidden.has(chart.title)) chosen.hidden.set(chart.title, new Set());
  const hidden = chosen.hidden.get(chart.title), y = chart.share ? percent : shown, id = `chart-${index}`;
  const plot = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-labelledby": id });
  const tip = make("output", { class: "tip", hidden: true });
  const words = (line, [x, value, low, high]) =>
    `${line.label}: ${y(value)}${low === null ? "" : ` [${y(low)}, ${y(high)}]`} at ${chart.x_label} ${shown(x)}`;

  function redraw() {
    plot.replaceChildren();
    const points = chart.lines.filter((line) => !hidden.has(line.label)).flatMap((line) => line.points);
    const wide = rangeOf(points.length ? points.map((point) => point[0]) : [0, 1], 0.04);
    const values = points.flatMap((point) => [point[1], point[2] ?? point[1], point[3] ?? point[1]]);
    let tall = rangeOf(values.length ? values : [0, 1], 0.06);
    if (chart.share) tall = [Math.max(0, tall[0]), Math.min(1, tall[1])];
    if (chart.diagonal) { wide[0] = tall[0] = 0; wide[1] = tall[1] = 1; }
    const across = (x) => left + ((x - wide[0]) / (wide[1] - wide[0])) * (width - left - right);
    const up = (value) => height - bottom - ((value - tall[0]) / (tall[1] - tall[0])) * (height - top - bottom);
    for (const tick of ticksOf(...tall, 5, false)) {
      plot.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: up(tick), y2: up(tick) }),
        draw("text", { class: "tick", x: left - 8, y: up(tick) + 4, "text-anchor": "end" }, chart.share ? String(+(100 * tick).toFixed(1)) + " %" : shown(tick)));
    }
    for (const tick of ticksOf(...wide, 7, chart.whole)) {
      plot.append(draw("text", { class: "tick", x: across(tick), y: height - bottom + 18, "text-anchor": "middle" }, shown(tick)));
    }
    plot.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
      draw("text", { class: "name", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, chart.x_label),
      draw("text", { class: "name", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, chart.y_label));
    if (chart.diagonal) plot.append(draw("line", { class: "diagonal", x1: across(0), y1: up(0), x2: across(1), y2: up(1) }));
    chart.lines.forEach((line, number) => {
      if (hidden.has(line.label)) return;
      const group = draw("g", { class: `line c${number % COLOURS}` });
      group.append(draw("polyline", {
        points: line.points.map(([x, value]) => `${across(x)},${up(value)}`).join(" "),
        "stroke-dasharray": DASHES[Math.floor(number / COLOURS) % DASHES.length],
      }));
      line.points.forEach((point) => {
        const [x, value, low, high] = point;
        if (low !== null) group.append(draw("path", { class: "interval", d: `M${across(x)} ${up(low)}V${up(high)}m-3 0h6M${across(x) - 3} ${up(low)}h6` }));
        // Of a long line only the ends are marked.
        if (line.points.length > 60 && point !== line.points[0] && point !== line.points.at(-1)) return;
        const say = () => { tip.hidden = false; tip.value = words(line, point); };
        const mark = MARKS[number % MARKS.length](across(x), up(value));
        fill(mark, { class: "mark", tabindex: 0, role: "img", "aria-label": words(line, point), onmouseenter: say, onfocus: say,
          onmouseleave: () => (tip.hidden = true), onblur: () => (tip.hidden = true) }, []);
        group.append(mark);
      });
      plot.append(group);
    });
  }

  const names = chart.lines.map((line, number) =>
    make("button", { type: "button", class: `key c${number % COLOURS}`, "aria-pressed": String(!hidden.has(line.label)), onclick: (event) => {
      if (!hidden.delete(line.label)) hidden.add(line.label);
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(line.label)));
      redraw();
    } }, draw("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" },
      draw("line", { x1: 0, x2: 26, y1: 6, y2: 6, "stroke-dasharray": DASHES[Math.floor(number / COLOURS) % DASHES.length] }),
      MARKS[number % MARKS.length](13, 6)), line.label));
  redraw();
  const rows = chart.lines.flatMap((line) => line.points.map(([x, value, low, high]) => [line.label, shown(x), y(value), y(low), y(high)]));
  return make("figure", {}, make("figcaption", { id }, chart.title),
    make("div", { class: "plot" }, plot, tip), make("div", { class: "keys" }, ...names),
    chart.note ? make("p", { class: "note" }, chart.note) : "",
    make("details", {}, make("summary", {}, "Table"), tableOf(["line", chart.x_label, chart.y_label, "lower end", "upper end"], rows)));
}
