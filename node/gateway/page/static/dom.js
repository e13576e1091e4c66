// Building and updating the document. All text goes in as text, so none of it is markup.

// h returns a new element. Attributes with names "on…" are listeners; those that are null or
// false are left out.
export const h = (tag, attrs, ...children) => build(document.createElement(tag), attrs, children)

export const s = (tag, attrs, ...children) => build(document.createElementNS('http://www.w3.org/2000/svg', tag), attrs, children)

function build(el, attrs, children) {
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value)
    else attr(el, name, value === true ? '' : value)
  }
  el.append(...children.filter(c => c != null && c !== false))
  return el
}

const tagged = tag => (cls, ...children) => h(tag, { class: cls }, ...children)
export const p = tagged('p'), div = tagged('div'), span = tagged('span')
export const path = (cls, d) => s('path', { class: cls, d })
export const label = (x, y, anchor, words) => s('text', { x, y, 'text-anchor': anchor }, words)

// text sets the text of an element. What is as wanted is not touched: a selection stays.
export function text(el, value) {
  if (el.textContent !== value) el.textContent = value
}

// tell shows a text, or hides its element if there is none.
export function tell(el, value) {
  text(el, value || '')
  el.hidden = !value
}

// attr sets an attribute, or removes it if the value is null or false.
export function attr(el, name, value) {
  if (value == null || value === false) el.removeAttribute(name)
  else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, value)
}

// keyed makes the children of parent those of items, in their order. An item keeps its
// element as long as its key is there, and elements in place do not move.
export function keyed(parent, items, keyOf, make, update) {
  const old = parent.byKey ?? new Map(), now = parent.byKey = new Map()
  for (const item of items) {
    let key = keyOf(item)
    while (now.has(key)) key += '\u0000' // it comes twice
    now.set(key, old.get(key) ?? make(item))
  }
  for (const [key, el] of old) if (!now.has(key)) el.remove()
  let at = parent.firstChild, i = 0
  for (const el of now.values()) {
    if (el === at) at = at.nextSibling
    else parent.insertBefore(el, at)
    update?.(el, items[i++])
  }
}
