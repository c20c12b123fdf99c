"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const rows = data.rows, columns = data.columns ?? data.rows;
const R = rows.length, C = columns.length, size = R * C;
const [rowSide, columnSide] = data.sides;

const bytes = Uint8Array.from(atob(data.weights), (c) => c.charCodeAt(0));
const view = new DataView(bytes.buffer);
const weights = new Float32Array(bytes.length / 4);
for (let place = 0; place < weights.length; place++) weights[place] = view.getFloat32(4 * place, true);

const L = data.layers.length, H = data.heads.length;
const mapAt = (layer, head) => weights.subarray((layer * H + head) * size, (layer * H + head + 1) * size);
const MEAN = -1;
const state = { layer: L > 1 ? MEAN : 0, head: H > 1 ? MEAN : 0, from: data.from ?? MEAN, scale: "map", cell: 0 };

// The map of a choice; a mean where one is chosen.
const made = new Map();
function mapOf(layer, head) {
  if (layer !== MEAN && head !== MEAN) return mapAt(layer, head);
  const name = `${layer} ${head}`;
  if (!made.has(name)) {
    const sum = new Float64Array(size);
    let count = 0;
    for (let l = 0; l < L; l++) for (let h = 0; h < H; h++) {
      if ((layer !== MEAN && l !== layer) || (head !== MEAN && h !== head)) continue;
      const map = mapAt(l, h);
      for (let place = 0; place < size; place++) sum[place] += map[place];
      count++;
    }
    made.set(name, Float32Array.from(sum, (value) => value / count));
  }
  return made.get(name);
}
const current = () => mapOf(state.layer, state.head);

const layerName = (layer) => layer === MEAN ? "mean of layers" : data.layers[layer] === null ? "" : `layer ${data.layers[layer]}`;
const headName = (head) => head === MEAN ? "mean of heads" : data.heads[head] === null ? data.unnumbered : `head ${data.heads[head]}`;
function nameOf(layer, head) {
  if (layer === MEAN && head === MEAN) return `mean of all ${L * H} heads`;
  return [layerName(layer), headName(head)].filter(Boolean).join(", ");
}
const number = (weight) => Number.isNaN(weight) ? "NaN" : weight === 0 ? "0" : Math.abs(weight) < 1e-4 ? weight.toExponential(3) : weight.toFixed(6);
const short = (weight) => Number.isNaN(weight) ? "NaN" : weight === 0 ? "0" : weight < 0.001 ? weight.toExponential(0) : weight.toFixed(3);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function largest(list) {
  let most = 0;
  for (const weight of list) if (weight > most && weight < Infinity) most = weight;
  return most > 0 ? most : 1;
}
let largestOfAll;
function most(map) {
  switch (state.scale) {
    case "map": return largest(map);
    case "all": return largestOfAll ??= largest(weights);
    default: return Number(state.scale);
  }
}

// Colours.
const dark = matchMedia("(prefers-color-scheme: dark)");
let palette;
function takeTheme() {
  const chosen = document.querySelector("#theme input:checked").value || (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = chosen;
  const digits = data.palettes[chosen];
  palette = Array.from({ length: digits.length / 6 }, (_, step) => [0, 2, 4].map((at) => parseInt(digits.substr(6 * step + at, 2), 16)));
  const nan = getComputedStyle(document.documentElement).getPropertyValue("--nan").trim();
  palette.nan = [1, 3, 5].map((at) => parseInt(nan.substr(at, 2), 16));
}
function color(weight, end) {
  if (Number.isNaN(weight)) return palette.nan;
  const share = weight === 0 ? 0 : Math.min(1, Math.max(0, weight / end));
  return palette[Math.round(share * (palette.length - 1))];
}
const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
function ink(rgb) {
  const [r, g, b] = rgb.map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}
function paint(canvas, map, [height, width], end) {
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  const image = new ImageData(canvas.width, canvas.height);
  for (let place = 0; place < width * height; place++) {
    const [r, g, b] = color(map[place], end);
    image.data.set([r, g, b, 255], 4 * place);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Tokens, each isolated from the direction of what stands around it.
const token = (of) => make("bdi", { dir: "auto", title: of.whole, textContent: of.label });

// What is under the pointer, or at the keyboard's cell.
const tip = element("tip");
function tell(row, column, { x, y }, aloud) {
  const map = current();
  tip.replaceChildren(make("div", {}, token(rows[row]), " → ", token(columns[column])),
    make("div", {}, make("b", { textContent: number(map[row * C + column]) })),
    make("div", { className: "faint", textContent: nameOf(state.layer, state.head) }));
  for (const [at, of] of [[0, rows[row]], [1, columns[column]]]) tip.querySelectorAll("bdi")[at].textContent = of.whole;
  place(x, y);
  if (aloud) element("said").textContent = `${rows[row].whole} to ${columns[column].whole}: ${number(map[row * C + column])}`;
}
function place(x, y) {
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
  tip.style.top = `${Math.max(4, y + 18 + height > innerHeight ? y - height - 10 : y + 18)}px`;
}
const hush = () => { tip.hidden = true; element("map-cell").hidden = true; };

// The map.
const map = element("map"), cellBox = element("map-cell"), rowBox = element("map-row");
let cursor = [0, 0];
function fit() {
  const room = element("map-scroll").clientWidth - 150;
  return Math.max(12, Math.min(36, Math.floor(room / Math.max(1, C))));
}
function drawMap() {
  const c = state.cell || (state.cell = fit());
  const values = current(), end = most(values);
  element("map-about").textContent = `${capital(nameOf(state.layer, state.head)) || "Weights"}; rows: ${rowSide}, columns: ${columnSide}. A row can be chosen.`;
  paint(element("map-canvas"), values, [R, C], end);
  Object.assign(element("map-canvas").style, { width: `${C * c}px`, height: `${R * c}px` });
  const lines = element("map-lines").style;
  lines.background = c < 8 ? "none" : ["right", "bottom"].map((side) => `repeating-linear-gradient(to ${side}, transparent 0 ${c - 1}px, var(--background) ${c - 1}px ${c}px)`).join(",");
  const font = Math.min(13, Math.max(9, c * 0.62)), every = Math.max(1, Math.ceil((font + 1) / c));
  const named = (tokens, style) => tokens.map((of, place) => {
    const name = place % every ? make("bdi") : token(of);
    name.style.fontSize = `${font}px`;
    style(name, place);
    return name;
  });
  element("map-rows").replaceChildren(...named(rows, (name, place) => {
    name.style.height = name.style.lineHeight = `${c}px`;
    name.dataset.row = place;
    if (place === state.from) name.dataset.chosen = "";
  }));
  const top = element("map-columns");
  top.replaceChildren(...named(columns, (name, place) => { name.style.left = `${(place + 0.5) * c + font * 0.45}px`; }));
  // Slanted by 45°, so that so much of their length is height.
  const long = [...top.children].reduce((most, name) => Math.max(most, name.offsetWidth), 0);
  top.style.height = `${Math.ceil((long + font) * Math.SQRT1_2 + 6)}px`;
  rowBox.hidden = state.from === MEAN;
  Object.assign(rowBox.style, { top: `${state.from * c}px`, height: `${c - 1}px` });
}
function mark(row, column) {
  const c = state.cell;
  cursor = [row, column];
  cellBox.hidden = false;
  Object.assign(cellBox.style, { left: `${column * c}px`, top: `${row * c}px`, width: `${c - 1}px`, height: `${c - 1}px` });
}
function under(event) {
  const box = element("map-canvas").getBoundingClientRect();
  const [row, column] = [Math.floor((event.clientY - box.top) / state.cell), Math.floor((event.clientX - box.left) / state.cell)];
  return row >= 0 && row < R && column >= 0 && column < C ? [row, column] : null;
}
map.addEventListener("pointermove", (event) => {
  const at = under(event);
  if (!at) return hush();
  mark(...at);
  tell(...at, { x: event.clientX, y: event.clientY }, false);
});
map.addEventListener("pointerleave", hush);
map.addEventListener("blur", hush);
map.addEventListener("click", (event) => { const at = under(event); if (at) choose({ from: at[0] }); });
const showCursor = () => {
  if (!size) return;
  mark(...cursor);
  cellBox.scrollIntoView({ block: "nearest", inline: "nearest" });
  const box = cellBox.getBoundingClientRect();
  tell(...cursor, { x: box.right, y: box.bottom }, true);
};
map.addEventListener("focus", () => { if (map.matches(":focus-visible")) showCursor(); });
map.addEventListener("keydown", (event) => {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -C], End: [0, C] };
  if (event.key === "Enter" || event.key === " ") choose({ from: cursor[0] });
  else if (event.key === "Escape") return hush();
  else if (!steps[event.key]) return;
  else cursor = cursor.map((at, axis) => Math.max(0, Math.min([R, C][axis] - 1, at + steps[event.key][axis])));
  event.preventDefault();
  showCursor();
});
element("map-rows").addEventListener("click", (event) => { const row = event.target.closest("[data-row]"); if (row) choose({ from: Number(row.dataset.row) }); });
for (const [id, factor] of [["smaller", 1 / 1.3], ["larger", 1.3]]) {
  element(id).addEventListener("click", () => { state.cell = Math.round(Math.max(2, Math.min(64, state.cell * factor + (factor > 1 ? 0.5 : 0)))); hush(); drawMap(); });
}

// From one token.
function drawFrom() {
  const chosen = state.from === MEAN ? 0 : state.from;
  const values = current().subarray(chosen * C, (chosen + 1) * C), end = most(state.scale === "map" ? values : current());
  element("from-title").replaceChildren(`${capital(rowSide)} “`, R ? token(rows[chosen]) : "", `”: ${nameOf(state.layer, state.head) || "weights"}`);
  const self = data.columns === null;
  const chips = columns.map((of, place) => {
    const fill = color(values[place], end);
    const chip = make(self ? "button" : "span", { title: `${of.whole}: ${number(values[place])}` }, make("bdi", { dir: "auto", textContent: of.label }));
    Object.assign(chip.style, { background: css(fill), color: ink(fill) });
    if (self) {
      chip.type = "button";
      chip.setAttribute("aria-pressed", place === chosen);
      chip.addEventListener("click", () => { choose({ from: place }); element("sentence").children[place].focus(); });
    }
    return chip;
  });
  const turned = columns.filter((of) => of.right_to_left).length * 2 > columns.filter((of) => of.part !== 2).length;
  element("sentence").dir = turned ? "rtl" : "ltr";
  element("sentence").replaceChildren(...chips);
  const order = columns.map((_, place) => place);
  if (element("sorted").checked) order.sort((a, b) => values[b] - values[a]);
  element("bars").replaceChildren(...order.map((place) => {
    const share = Math.max(0, Math.min(1, values[place] / end)) || 0;
    const bar = make("div", { className: "bar" });
    bar.style.width = `${100 * share}%`;
    return make("li", {}, token(columns[place]), make("div", { className: "track" }, bar), make("span", { className: "number", textContent: number(values[place]) }));
  }));
}
element("sorted").addEventListener("change", drawFrom);

// All heads, small: so many weights on a side are one point, the largest of them.
const SMALL = 96;
function pooled(values) {
  const side = Math.max(1, Math.ceil(Math.max(R, C) / SMALL));
  const down = Math.ceil(R / side), across = Math.ceil(C / side);
  const points = new Float32Array(down * across);
  for (let place = 0; place < size; place++) {
    const point = Math.floor(Math.floor(place / C) / side) * across + Math.floor(place % C / side);
    if (values[place] > points[point] || Number.isNaN(values[place])) points[point] = values[place];
  }
  return [points, [down, across]];
}
let small;
function drawHeads() {
  element("heads-part").hidden = L * H < 2;
  if (L * H < 2) return;
  const withMean = (count) => [...Array(count).keys(), ...(count > 1 ? [MEAN] : [])];
  const layers = withMean(L), heads = withMean(H);
  small ??= new Map(layers.flatMap((layer) => heads.map((head) => [`${layer} ${head}`, pooled(mapOf(layer, head))])));
  const shown = Math.max(40, Math.min(96, Math.floor((element("heads-part").clientWidth - 100) / heads.length) - 8));
  const top = make("tr", {}, make("th"), ...heads.map((head) => make("th", { textContent: head === MEAN ? "mean" : headName(head), scope: "col" })));
  const lines = layers.map((layer) => make("tr", {}, make("th", { textContent: layer === MEAN ? "mean" : layerName(layer), scope: "row" }), ...heads.map((head) => {
    const canvas = make("canvas");
    const [points, sides] = small.get(`${layer} ${head}`);
    paint(canvas, points, sides, most(points));
    Object.assign(canvas.style, { width: `${shown * Math.min(1, C / R)}px`, height: `${shown * Math.min(1, R / C)}px` });
    const button = make("button", { type: "button", title: nameOf(layer, head) }, canvas);
    button.setAttribute("aria-label", nameOf(layer, head));
    button.setAttribute("aria-pressed", layer === state.layer && head === state.head);
    button.dataset.map = `${layer} ${head}`;
    button.addEventListener("click", () => { choose({ layer, head }); document.querySelector(`#heads [data-map="${layer} ${head}"]`).focus(); });
    return make("td", {}, button);
  })));
  element("heads").replaceChildren(make("thead", {}, top), make("tbody", {}, ...lines));
}

// Between the texts of a pair.
function drawPair() {
  element("pair-part").hidden = !data.pair;
  if (!data.pair) return;
  const values = current();
  const shares = [[0, 0, 0], [0, 0, 0]], counts = [0, 0];
  rows.forEach((of, row) => {
    if (of.part === 2) return;
    counts[of.part]++;
    columns.forEach((to, column) => { shares[of.part][to.part] += values[row * C + column]; });
  });
  const names = ["A", "B", "special tokens"];
  const lines = [0, 1].map((from) => {
    const blocks = shares[from].map((share, part) => {
      const part_share = share / Math.max(1, counts[from]);
      const block = make("div", { textContent: part_share >= 0.06 ? `${(100 * part_share).toFixed(1)}%` : "", title: `from ${names[from]} to ${names[part]}: ${number(part_share)}` });
      Object.assign(block.style, { width: `${100 * part_share}%`, background: `var(--part-${part})` });
      return block;
    });
    return make("div", { className: "split" }, make("span", { textContent: `from ${names[from]}` }), make("div", { className: "blocks" }, ...blocks));
  });
  const key = make("div", { className: "faint" });
  names.forEach((name, part) => {
    const box = make("span", { className: "key" });
    box.style.background = `var(--part-${part})`;
    key.append(box, `to ${name}`);
  });
  element("pair").replaceChildren(...lines, key);
}

// Links between two columns of tokens.
const HIGH = 24, MOST_LINKS = 3000;
let looked = null;
function drawLinks() {
  const side = (tokens, row) => tokens.map((of, place) => {
    const number = make("span", { className: "number" });
    const button = make("button", { type: "button" }, ...(row ? [number, token(of)] : [token(of), number]));
    const look = () => { looked = [row, place]; shadeLinks(); };
    const leave = () => { looked = null; shadeLinks(); };
    for (const [event, act] of [["pointerenter", look], ["focus", look], ["pointerleave", leave], ["blur", leave]]) button.addEventListener(event, act);
    if (row) button.addEventListener("click", () => { choose({ from: place }); element("links-rows").children[place].focus(); });
    if (row && place === state.from) button.dataset.chosen = "";
    return button;
  });
  element("links-rows").replaceChildren(...side(rows, true));
  element("links-columns").replaceChildren(...side(columns, false));
  element("links-about").textContent = `${capital(nameOf(state.layer, state.head)) || "Weights"}: ${rowSide} on the left, ${columnSide} on the right. Point at a token to see its links alone.`;
  shadeLinks();
}
function shadeLinks() {
  const values = current();
  const [isRow, place] = looked ?? (state.from === MEAN ? [null, 0] : [true, state.from]);
  const wanted = (row, column) => isRow === null || (isRow ? row === place : column === place);
  let end = 0;
  const links = [];
  for (let row = 0; row < R; row++) for (let column = 0; column < C; column++) if (wanted(row, column)) {
    const weight = values[row * C + column];
    if (weight > end && weight < Infinity) end = weight;
    links.push([weight, row, column]);
  }
  if (state.scale !== "map") end = most(values);
  end ||= 1;
  const seen = links.filter(([weight]) => weight / end >= 0.02).sort((a, b) => a[0] - b[0]).slice(-MOST_LINKS);
  const lines = element("links-lines");
  lines.setAttribute("height", HIGH * Math.max(R, C));
  lines.setAttribute("viewBox", `0 0 224 ${HIGH * Math.max(R, C)}`);
  lines.replaceChildren(...seen.map(([weight, row, column]) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const share = Math.min(1, weight / end), y = HIGH * (row + 0.5), to = HIGH * (column + 0.5);
    path.setAttribute("d", `M0 ${y}C112 ${y} 112 ${to} 224 ${to}`);
    path.setAttribute("style", `fill: none; stroke: var(--accent); stroke-width: ${0.5 + 5 * share}; stroke-opacity: ${0.12 + 0.78 * share}`);
    return path;
  }));
  const shade = (id, weightOf) => [...element(id).children].forEach((button, at) => {
    const weight = weightOf(at);
    const fill = weight === null ? null : color(weight, end);
    Object.assign(button.style, { background: fill ? css(fill) : "", color: fill ? ink(fill) : "" });
    button.querySelector(".number").textContent = weight === null ? "" : short(weight);
  });
  shade("links-columns", (column) => isRow === true ? values[place * C + column] : null);
  shade("links-rows", (row) => isRow === false ? values[row * C + place] : null);
}

// The legend and the choices.
function drawLegend() {
  const end = most(current());
  const ramp = make("div", { className: "ramp" });
  ramp.style.background = `linear-gradient(to right, ${Array.from({ length: 33 }, (_, step) => css(color(end * step / 32, end))).join(",")})`;
  const ticks = make("div", { className: "ticks" }, ...[0, 0.25, 0.5, 0.75, 1].map((share) => make("span", { textContent: short(end * share) })));
  element("legend").replaceChildren(ramp, ticks);
  if (current().some(Number.isNaN)) element("legend").append(make("span", { className: "nan" }), "NaN");
}
function drawAll() {
  for (const draw of [drawLegend, drawMap, drawFrom, drawHeads, drawPair, drawLinks]) draw();
}
function choose(choice) {
  Object.assign(state, choice);
  element("layer").value = state.layer;
  element("head").value = state.head;
  element("from").value = state.from;
  drawAll();
}
function options(id, list) {
  element(id).replaceChildren(...list.map(([value, name]) => make("option", { value, textContent: name })));
  element(id).addEventListener("change", () => choose({ [id]: id === "scale" ? element(id).value : Number(element(id).value) }));
}
const numbered = (count, name, mean) => [...(count > 1 ? [[MEAN, mean]] : []), ...Array.from({ length: count }, (_, place) => [place, name(place) || "the only one"])];
options("layer", numbered(L, layerName, "mean of layers"));
options("head", numbered(H, headName, "mean of heads"));
options("from", [[MEAN, "all tokens"], ...rows.map((of, place) => [place, `${place}: ${of.label}`])]);
options("scale", [...(data.most ? [[String(data.most), String(data.most)]] : []), ["map", "each picture's largest"], ["all", "the largest of all"], ...["1", "0.5", "0.2", "0.1"].map((end) => [end, end])]);
if (data.most) state.scale = String(data.most);
element("sums").textContent = data.sums;
takeTheme();
for (const input of document.querySelectorAll("#theme input")) input.addEventListener("change", () => { takeTheme(); drawAll(); });
dark.addEventListener("change", () => { takeTheme(); drawAll(); });
addEventListener("scroll", () => { if (document.activeElement !== map) hush(); }, { passive: true });
choose({});
hush();
document.documentElement.dataset.ready = "";
