"use strict";
// The page of `pt2c inspect --html`: phases, modules, a list that draws only the rows in view, and details of one node.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const ROW = 24;
let phase = null, nodes = [], index = new Map(), users = new Map(), shown = [], selected = null, module_ = null;

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

function flatten(list, depth, out) {
  for (const node of list) {
    out.push(Object.assign({ depth, module: "", args: "", operands: [] }, node));
    for (const body of node.bodies || []) flatten(body, depth + 1, out);
  }
  return out;
}

function openPhase(next) {
  phase = next;
  for (const button of byId("phases").children) button.classList.toggle("on", button.textContent === phase.name);
  nodes = phase.graph ? flatten(phase.graph.nodes, 0, []) : [];
  index = new Map(); users = new Map();
  nodes.forEach((node, i) => {
    node.text = [node.name, node.op, node.tensor, node.types.join(" "), node.module, node.class, node.source, node.args].join(" ").toLowerCase();
    if (node.depth === 0) index.set(node.name, i);
    for (const operand of node.operands) {
      if (!users.has(operand)) users.set(operand, []);
      users.get(operand).push(node.name);
    }
  });
  module_ = null; selected = null;
  byId("text").hidden = !phase.text;
  byId("spacer").hidden = !!phase.text;
  byId("text").textContent = phase.text || "";
  drawModules(); filter(); about();
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
    const details = make("details", item.path.split(".").length < 2 ? { open: "" } : {}, summary);
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
  shown = nodes.filter((node) => (weights || node.op !== "tensor") && (!module_ || node.module === module_ || (node.module || "").startsWith(module_ + ".")) && words.every((word) => node.text.includes(word)));
  byId("count").textContent = phase.text ? "" : shown.length === nodes.length ? nodes.length + " nodes" : shown.length + " of " + nodes.length + " nodes";
  byId("spacer").style.height = shown.length * ROW + "px";
  byId("list").scrollTop = 0;
  drawRows();
}

function drawRows() {
  const list = byId("list"), first = Math.max(0, Math.floor(list.scrollTop / ROW) - 10);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 20);
  const operands = new Set(selected ? selected.operands : []), used = new Set(selected ? users.get(selected.name) || [] : []);
  const rows = shown.slice(first, last).map((node) => {
    let how = "row";
    if (node === selected) how += " on";
    else if (operands.has(node.name)) how += " operand";
    else if (used.has(node.name)) how += " user";
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

function link(name) {
  return index.has(name) ? make("a", { onclick: () => select(nodes[index.get(name)], true) }, name) : make("span", {}, name);
}

function links(names) {
  return names.flatMap((name, i) => (i ? [", ", link(name)] : [link(name)]));
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
  if (node.operands.length) parts.push(...entry("operands", ...links(node.operands)));
  const uses = users.get(node.name) || [];
  if (uses.length) parts.push(...entry("used by", ...links([...new Set(uses)])));
  if (node.module) parts.push(...entry("module", node.module + " ", make("span", { class: "quiet" }, node.class || "")));
  if (node.source) parts.push(...entry("source", node.source, make("pre", {}, node.code || "")));
  if (node.bodies) parts.push(...entry("body", node.bodies.map((body) => body.length + " nodes").join(", ")));
  byId("detail").replaceChildren(make("h2", {}, node.name), make("dl", {}, ...parts), picture(node));
}

// The node between what it uses and what uses it.
function picture(node) {
  const before = [...new Set(node.operands)].slice(0, 8), after = [...new Set(users.get(node.name) || [])].slice(0, 8);
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
    put("text", { x: 4, y: y(i, before.length) + 4 }, name).addEventListener("click", () => index.has(name) && select(nodes[index.get(name)], true));
  });
  after.forEach((name, i) => {
    put("path", { d: `M270 ${height / 2} C290 ${height / 2} 270 ${y(i, after.length)} 292 ${y(i, after.length)}`, stroke: "#8c959f", fill: "none" });
    put("text", { x: 296, y: y(i, after.length) + 4 }, name).addEventListener("click", () => index.has(name) && select(nodes[index.get(name)], true));
  });
  put("rect", { x: 150, y: height / 2 - 12, width: 120, height: 24, rx: 5, fill: "#ddf4ff", stroke: "#0969da" });
  put("text", { x: 156, y: height / 2 + 4 }, (node.tensor || node.op).replace(/^aten\./, ""));
  return svg;
}

// What is shown before a node is chosen: signature, dimensions, weights.
function about() {
  const of = data.about, table = (title, rows) => (rows.length ? [make("dt", {}, title), ...rows.map((row) => make("dd", {}, row))] : []);
  const bytes = of.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  byId("detail").replaceChildren(
    make("h2", {}, of.name), make("p", { class: "quiet" }, phase.about),
    make("dl", {},
      ...table("inputs", of.inputs.map((i) => `${i.name}: ${i.type || "constant " + i.constant}`)),
      ...table("outputs", of.outputs.map((o) => `${o.name}: ${o.type}${o.kind === "user" ? "" : " (" + o.kind + ")"}`)),
      ...table("dimensions", of.dimensions.map((d) => `${d.min === null ? "-∞" : d.min} ≤ ${d.name} ≤ ${d.max === null ? "∞" : d.max}`)),
      ...table("checked at every call", of.constraints.map((c) => c.condition)),
      ...table(`tensors, ${(bytes / 1e6).toFixed(2)} MB`, of.tensors.map((t) => `${t.name}: ${t.type}`))));
}

byId("title").textContent = data.about.name;
byId("phases").append(...data.phases.map((p) => make("button", { title: p.about, onclick: () => openPhase(p) }, p.name)));
byId("search").addEventListener("input", filter);
byId("weights").addEventListener("change", filter);
byId("list").addEventListener("scroll", drawRows);
window.addEventListener("resize", drawRows);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== byId("search")) { byId("search").focus(); event.preventDefault(); }
  if (event.key === "Escape") { byId("search").value = ""; module_ = null; mark(); filter(); }
});
openPhase(data.phases[0]);
