// A description of the document, and the document made to be like it. Whatever is shown becomes text or an attribute,
// never markup: there is no way to write HTML here.

const SVG = "http://www.w3.org/2000/svg";
const KEY = Symbol("key");
const PROPS = Symbol("props");
const LIVE = new Set(["value", "checked", "selected"]);

/** An element: h("p", {class: "dim"}, "text", other elements, arrays of them, or nothing). */
export function h(tag, props, ...children) {
  return { tag, props: props || {}, children: flat(children, []) };
}

function flat(found, into) {
  for (const each of found) {
    if (Array.isArray(each)) flat(each, into);
    else if (each !== null && each !== undefined && each !== false && each !== true) {
      into.push(typeof each === "object" ? each : String(each));
    }
  }
  return into;
}

/** Makes what is inside `parent` like `children`. Elements with a key keep their identity wherever they move. */
export function render(parent, ...children) {
  const focused = document.activeElement;
  reconcile(parent, flat(children, []));
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function reconcile(parent, wanted) {
  const keyed = new Map();
  const free = [];
  for (const node of parent.childNodes) {
    if (node[KEY] === undefined) free.push(node);
    else keyed.set(node[KEY], node);
  }
  let unused = 0;
  let at = parent.firstChild;
  const kept = new Set();
  for (const want of wanted) {
    let node;
    if (typeof want === "object" && want.props.key !== undefined) {
      node = keyed.get(want.props.key);
    } else {
      while (unused < free.length && free[unused].parentNode !== parent) unused += 1;
      node = free[unused];
      if (node) unused += 1;
    }
    node = fits(node, want) ? updated(node, want) : made(want, parent);
    kept.add(node);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  for (let node = parent.firstChild; node;) {
    const next = node.nextSibling;
    if (!kept.has(node)) node.remove();
    node = next;
  }
}

function fits(node, want) {
  if (!node) return false;
  if (typeof want === "string") return node.nodeType === Node.TEXT_NODE;
  return node.nodeType === Node.ELEMENT_NODE && node.localName === want.tag.toLowerCase();
}

function made(want, parent) {
  if (typeof want === "string") return document.createTextNode(want);
  const inSvg = want.tag === "svg" || (parent.namespaceURI === SVG && parent.localName !== "foreignObject");
  const node = inSvg ? document.createElementNS(SVG, want.tag) : document.createElement(want.tag);
  if (want.props.key !== undefined) node[KEY] = want.props.key;
  return updated(node, want);
}

function updated(node, want) {
  if (typeof want === "string") {
    if (node.data !== want) node.data = want;
    return node;
  }
  const before = node[PROPS] || {};
  for (const name of Object.keys(before)) if (!(name in want.props)) put(node, name, null, before[name]);
  for (const [name, value] of Object.entries(want.props)) if (value !== before[name] || LIVE.has(name)) put(node, name, value, before[name]);
  node[PROPS] = want.props;
  reconcile(node, want.children);
  return node;
}

function put(node, name, value, before) {
  if (name === "key") return;
  if (name.startsWith("on")) node[name] = value;
  else if (name === "style") restyle(node, value || {}, before || {});
  else if (LIVE.has(name)) {
    if (node[name] !== value && document.activeElement !== node) node[name] = value ?? "";
  } else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

function restyle(node, style, before) {
  for (const name of Object.keys(before)) if (!(name in style)) node.style.removeProperty(name);
  for (const [name, value] of Object.entries(style)) if (before[name] !== value) node.style.setProperty(name, value);
}
