"use strict";
// The page of `pt2c inspect --html`: phases, modules, a list that draws only the rows in view, and details of one node.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const ROW = 24;
let phase = null, nodes = [], blocks = [], shown = [], selected = null, module_ = null;
const opened = new Map();
// A phase that changed nothing has no graph of its own.
data.phases.forEach((p, i) => { if (p.same) p.graph = data.phases[i - 1].graph; });

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Nodes in order, bodies behind their node. Names are unique within a graph only: every graph has its own scope.
function flatten(list, depth, out) {
  const scope = { nodes: new Map(), users: new Map() };
  for (const plain of list) {
    const node = Object.assign({ depth, scope, module: "", args: "", operands: [] }, plain);
    node.text = [node.name, node.op, node.tensor, node.types.join(" "), node.module, node.class, node.source, node.args].join(" ").toLowerCase();
    scope.nodes.set(node.name, node);
    for (const operand of new Set(node.operands)) {
      if (!scope.users.has(operand)) scope.users.set(operand, []);
      scope.users.get(operand).push(node.name);
    }
    out.push(node);
    for (const body of node.bodies || []) flatten(body, depth + 1, out);
  }
  return out;
}

function within(node, path) {
  return node.module === path || (node.module || "").startsWith(path + ".");
}

function usersOf(node) {
  return node.scope.users.get(node.name) || [];
}

// The module and the node that were chosen stay, where the phase has them.
function openPhase(next) {
  phase = next;
  for (const button of byId("phases").children) button.classList.toggle("on", button.textContent === phase.name);
  nodes = phase.graph ? flatten(phase.graph.nodes, 0, []) : [];
  blocks = (phase.text || "").split("\n\n");
  byId("text").hidden = !phase.text;
  byId("spacer").hidden = !!phase.text;
  byId("list").scrollTop = 0;
  if (module_ && !phase.text && !nodes.some((node) => within(node, module_))) module_ = null;
  if (phase.text) drawKernels(); else { drawModules(); mark(); }
  filter();
  const before = selected;
  selected = before && nodes.find((node) => node.name === before.name && node.depth === before.depth) || null;
  if (selected) select(selected, shown.includes(selected));
  else about();
  if (phase.text && before) {
    // The kernel whose call writes the node.
    const writes = new RegExp("^call ([^(]+)\\(.*\\b" + before.name.replace(/[^\w]/g, "\\$&") + "(\\.\\d+)?\\)$", "m");
    const call = writes.exec(phase.text);
    selected = before;
    if (call) toKernel(call[1]);
  }
}

function kernelOf(block) {
  const name = /^kernel ([^(]+)\(/.exec(block);
  return name ? name[1] : null;
}

// In place of the modules: the kernels, each with how often it is called.
function drawKernels() {
  const calls = new Map();
  for (const call of phase.text.matchAll(/^call ([^(]+)\(/gm)) calls.set(call[1], (calls.get(call[1]) || 0) + 1);
  const kernels = blocks.map(kernelOf).filter(Boolean);
  const times = (n) => make("small", {}, n === 1 ? "" : n + " calls");
  byId("modules").replaceChildren(make("div", { class: "leaf" }, kernels.length + " kernels"), ...kernels.map((name) =>
    make("div", { class: "leaf", "data-kernel": name, title: name, onclick: () => toKernel(name) }, name + " ", times(calls.get(name) || 0))));
}

function toKernel(name) {
  for (const element of byId("modules").children) element.classList.toggle("on", element.dataset.kernel === name);
  const find = () => [...byId("text").children].find((element) => element.dataset.kernel === name);
  if (!find()) { byId("search").value = ""; filter(); }
  if (find()) find().scrollIntoView({ block: "start" });
}

// A block with all the words as a whole; of lists of buffers and calls the lines that have them.
function filterText(words) {
  const has = (text) => words.every((word) => text.toLowerCase().includes(word));
  const kept = blocks.map((block) => kernelOf(block) ? (has(block) ? block : "") : block.split("\n").filter(has).join("\n"));
  byId("text").replaceChildren(...kept.filter(Boolean).map((block) => make("pre", kernelOf(block) ? { "data-kernel": kernelOf(block) } : {}, block)));
  const count = (list) => list.filter(kernelOf).length;
  if (count(blocks)) byId("count").textContent = (words.length ? count(kept) + " of " : "") + count(blocks) + " kernels";
  else byId("count").textContent = "";
}

function drawModules() {
  const root = { children: new Map(), count: 0, path: "", name: "all modules", class: "" };
  for (const node of nodes) {
    if (node.op === "tensor" || node.op === "input") continue;
    let at = root; root.count++;
    for (const part of (node.module || "").split(".").filter(Boolean)) {
      if (!at.children.has(part)) at.children.set(part, { children: new Map(), count: 0, path: at.path ? at.path + "." + part : part, name: part, class: "" });
      at = at.children.get(part); at.count++;
    }
    if (at.path === node.module && node.class) at.class = node.class.split(".").pop();
  }
  const draw = (item) => {
    const label = [item.name + " ", make("small", {}, (item.class ? item.class + " " : "") + item.count)];
    const pick = (event) => { event.stopPropagation(); module_ = item.path || null; mark(); filter(); };
    if (item.children.size === 0) return make("div", { class: "leaf", "data-path": item.path, onclick: pick }, ...label);
    const summary = make("summary", { "data-path": item.path, onclick: pick }, ...label);
    const open = opened.has(item.path) ? opened.get(item.path) : item.path.split(".").length < 2;
    const details = make("details", { ontoggle: () => opened.set(item.path, details.open), ...(open ? { open: "" } : {}) }, summary);
    details.append(...[...item.children.values()].map(draw));
    return details;
  };
  byId("modules").replaceChildren(draw(root));
}

function mark() {
  for (const element of byId("modules").querySelectorAll("[data-path]")) element.classList.toggle("on", (element.dataset.path || null) === module_);
}

function filter() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  // Weights are rows only if they are wanted: there are hundreds, before everything else.
  const weights = byId("weights").checked || words.length > 0;
  if (phase.text) return filterText(words);
  shown = nodes.filter((node) => (weights || node.op !== "tensor") && (!module_ || within(node, module_)) && words.every((word) => node.text.includes(word)));
  const tensors = nodes.filter((node) => node.op === "tensor").length, all = nodes.length - (weights ? 0 : tensors);
  byId("count").textContent = (shown.length === all ? "" : shown.length + " of ") + all + " nodes";
  byId("tensors").textContent = tensors ? tensors + " weights" : "weights";
  byId("nothing").hidden = shown.length > 0;
  byId("spacer").style.height = Math.max(1, shown.length) * ROW + "px";
  byId("list").scrollTop = 0;
  drawRows();
}

function drawRows() {
  const list = byId("list"), first = Math.max(0, Math.floor(list.scrollTop / ROW) - 10);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 20);
  const operands = new Set(selected ? selected.operands : []), used = new Set(selected ? usersOf(selected) : []);
  const near = (node) => selected && node.scope === selected.scope;
  const rows = shown.slice(first, last).map((node) => {
    let how = "row";
    if (node === selected) how += " on";
    else if (near(node) && operands.has(node.name)) how += " operand";
    else if (near(node) && used.has(node.name)) how += " user";
    const indent = "padding-left:" + (0.8 + node.depth * 1.4) + "em";
    return make("div", { class: how, style: indent, onclick: () => select(node, false) },
      make("span", { title: node.name }, node.name),
      make("span", { class: "op " + (node.op === "input" || node.op === "tensor" ? node.op : ""), title: node.op }, node.tensor || node.op),
      make("span", { title: node.args }, node.args),
      make("span", { class: "type", title: node.types.join(", ") }, node.types.join(", ")));
  });
  byId("rows").style.top = first * ROW + "px";
  byId("rows").replaceChildren(...rows);
}

function link(name, scope) {
  const node = scope.nodes.get(name);
  return node ? make("a", { onclick: () => select(node, true) }, name) : make("span", {}, name);
}

function links(names, scope) {
  return names.flatMap((name, i) => (i ? [", ", link(name, scope)] : [link(name, scope)]));
}

function select(node, scroll) {
  selected = node;
  if (scroll) {
    if (!shown.includes(node)) { byId("search").value = ""; module_ = null; if (node.op === "tensor") byId("weights").checked = true; mark(); filter(); }
    const at = shown.indexOf(node) * ROW, list = byId("list");
    if (at < list.scrollTop || at > list.scrollTop + list.clientHeight - 2 * ROW) list.scrollTop = Math.max(0, at - list.clientHeight / 2);
  }
  drawRows();
  const entry = (name, ...value) => [make("dt", {}, name), make("dd", {}, ...value)];
  const parts = [...entry("operator", node.op), ...entry("type", node.types.join(", "))];
  if (node.tensor) parts.push(...entry("tensor", node.tensor));
  if (node.args) parts.push(...entry("arguments", node.args));
  if (node.operands.length) parts.push(...entry("operands", ...links(node.operands, node.scope)));
  const uses = usersOf(node);
  if (uses.length) parts.push(...entry("used by", ...links(uses, node.scope)));
  if (node.module) parts.push(...entry("module", node.module + " ", make("span", { class: "quiet" }, node.class || "")));
  if (node.source) parts.push(...entry("source", node.source, make("pre", {}, node.code || "")));
  if (node.bodies) parts.push(...entry("body", node.bodies.map((body) => body.length + " nodes").join(", ")));
  byId("detail").replaceChildren(make("h2", {}, node.name), make("dl", {}, ...parts), picture(node));
}

// The node between what it uses and what uses it.
function picture(node) {
  const before = [...new Set(node.operands)].slice(0, 8), after = usersOf(node).slice(0, 8);
  const open = (name) => () => { const other = node.scope.nodes.get(name); if (other) select(other, true); };
  const height = 26 * Math.max(before.length, after.length, 1) + 14, ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 420 " + height);
  const put = (name, attributes, text) => {
    const element = document.createElementNS(ns, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text.length > 19 ? text.slice(0, 18) + "…" : text;
    svg.append(element);
    return element;
  };
  const y = (i, n) => height / 2 + (i - (n - 1) / 2) * 26;
  before.forEach((name, i) => {
    put("path", { d: `M125 ${y(i, before.length)} C150 ${y(i, before.length)} 130 ${height / 2} 150 ${height / 2}`, stroke: "#8c959f", fill: "none" });
    put("text", { x: 4, y: y(i, before.length) + 4 }, name).addEventListener("click", open(name));
  });
  after.forEach((name, i) => {
    put("path", { d: `M270 ${height / 2} C290 ${height / 2} 270 ${y(i, after.length)} 292 ${y(i, after.length)}`, stroke: "#8c959f", fill: "none" });
    put("text", { x: 296, y: y(i, after.length) + 4 }, name).addEventListener("click", open(name));
  });
  put("rect", { x: 150, y: height / 2 - 12, width: 120, height: 24, rx: 5, fill: "#ddf4ff", stroke: "#0969da" });
  put("text", { x: 156, y: height / 2 + 4 }, (node.tensor || node.op).replace(/^aten\./, ""));
  return svg;
}

// What is shown before a node is chosen: signature, dimensions, weights.
function about() {
  const of = data.about, table = (title, rows) => (rows.length ? [make("dt", {}, title), ...rows.map((row) => make("dd", {}, row))] : []);
  const bytes = of.tensors.reduce((sum, tensor) => sum + (tensor.same_as ? 0 : tensor.bytes), 0);
  byId("detail").replaceChildren(
    make("h2", {}, of.name), make("p", { class: "quiet" }, phase.about),
    make("dl", {},
      ...table("inputs", of.inputs.map((i) => `${i.name}: ${i.type || "constant " + i.constant}`)),
      ...table("outputs", of.outputs.map((o) => `${o.name}: ${o.type}${o.kind === "user" ? "" : " (" + o.kind + ")"}`)),
      ...table("dimensions", of.dimensions.map((d) => `${d.min === null ? "-∞" : d.min} ≤ ${d.name} ≤ ${d.max === null ? "∞" : d.max}`)),
      ...table("checked at every call", of.constraints.map((c) => c.condition)),
      ...table(`tensors, ${(bytes / 1e6).toFixed(2)} MB`, of.tensors.map((t) => `${t.name}: ${t.type}` + (t.same_as ? `, the same as ${t.same_as}` : "")))));
}

function overview() {
  byId("search").value = ""; module_ = null; selected = null;
  mark(); filter(); about();
}

byId("title").textContent = data.about.name;
byId("title").addEventListener("click", overview);
byId("phases").append(...data.phases.map((p) => make("button", { title: p.about + (p.same ? " (nothing to do in this program)" : ""), class: p.same ? "same" : "", onclick: () => openPhase(p) }, p.name)));
byId("search").addEventListener("input", filter);
byId("weights").addEventListener("change", filter);
byId("list").addEventListener("scroll", drawRows);
window.addEventListener("resize", drawRows);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== byId("search")) { byId("search").focus(); event.preventDefault(); }
  if (event.key === "Escape") overview();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && selected && !phase.text) {
    const next = shown[shown.indexOf(selected) + step];
    if (next) select(next, true);
    event.preventDefault();
  }
});
openPhase(data.phases[0]);
