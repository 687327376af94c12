// Elements with attributes and children; texts are texts, whatever they hold.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// A number with the digits that a reader can use.
function shown(number) {
  if (number === null || number === undefined) return "–";
  if (Number.isInteger(number)) return number.toLocaleString("en");
  const size = Math.abs(number);
  return size >= 1000 ? Math.round(number).toLocaleString("en") : size >= 0.01 ? String(+number.toPrecision(4)) : number.toExponential(2);
}

const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1) + " %");

function tableOf(header, rows) {
  const head = make("tr", {}, ...header.map((cell) => make("th", { scope: "col" }, cell)));
  const row = (cells) => make("tr", {}, ...cells.map((cell, index) => (index ? make("td", {}, cell) : make("th", { scope: "row" }, cell))));
  return make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "table" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map(row))));
}
