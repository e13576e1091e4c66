// Small helpers that build and update the document. All text goes through textContent, so
// nothing in it is ever markup.

const svgNS = 'http://www.w3.org/2000/svg'

// h returns a new element. Names of attributes that begin with "on" are listeners. An
// attribute that is null or false is left out. Children are nodes or texts.
export function h(tag, attrs, ...children) {
  return build(document.createElement(tag), attrs, children)
}

// s is h for SVG.
export function s(tag, attrs, ...children) {
  return build(document.createElementNS(svgNS, tag), attrs, children)
}

function build(el, attrs, children) {
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value == null || value === false) continue
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value)
    else el.setAttribute(name, value === true ? '' : value)
  }
  el.append(...children.filter(c => c != null && c !== false))
  return el
}

// text sets the text of an element unless it has it already: a selection survives, and
// nothing is laid out again.
export function text(el, value) {
  if (el.textContent !== value) el.textContent = value
}

// attr sets an attribute, or removes it if the value is null, unless it is as wanted.
export function attr(el, name, value) {
  if (value == null || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name)
  } else if (el.getAttribute(name) !== String(value)) {
    el.setAttribute(name, value)
  }
}

// keyed makes the children of parent those of items, in their order. An item keeps its
// element as long as its key is there. Elements that are in place do not move.
export function keyed(parent, items, keyOf, make, update) {
  const old = parent.keyedChildren ?? new Map()
  const now = new Map()
  let at = parent.firstChild
  for (const item of items) {
    let key = keyOf(item)
    while (now.has(key)) key += '\u0000' // a key that comes twice
    const el = old.get(key) ?? make(item)
    old.delete(key)
    now.set(key, el)
    if (el === at) at = at.nextSibling
    else parent.insertBefore(el, at)
    update?.(el, item)
  }
  for (const el of old.values()) {
    if (el === at) at = at.nextSibling
    el.remove()
  }
  parent.keyedChildren = now
}
