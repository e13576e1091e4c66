// Parts that the views share: tables, names, marks and links.

import { h, s, text, attr, keyed } from './dom.js'
import { visible, percentText, percent, idBytes, idText, makeHash, parseHash } from './format.js'

// link returns the address of a view, with the node that is chosen.
export function link(view, parts = [], query = {}) {
  const of = parseHash(location.hash).query.get('node')
  return makeHash(view, parts, { node: of, ...query })
}
export const kindLink = kind => link('kinds', [percentText(kind)])
export const idLink = x => link('id', [percentText(x.kind), percent(idBytes(x))])
export const nodeLink = name => makeHash('overview', [], { node: name })

// name shows the name of a node, a kind or an id: alone as far as its direction goes, and
// clipped, with the whole in its title.
export function name(value, href) {
  const shown = visible(value)
  return h(href ? 'a' : 'span', { class: 'clip', title: shown, href }, h('bdi', { class: 'name' }, shown || '""'))
}
export const idName = x => name(idText(x), idLink(x))

const shapes = {
  error: 'M6 1 11.5 11H.5Z', // a triangle
  warn: 'M6 .8 11.2 6 6 11.2.8 6Z', // a diamond
  info: 'M6 1.5a4.5 4.5 0 1 0 .01 0Z', // a disc
  well: 'M6 1.5a4.5 4.5 0 1 0 .01 0Z', // a ring
}

// mark is a shape that tells a level also without colour.
export const mark = level => s('svg', { class: 'mark ' + level, viewBox: '0 0 12 12', 'aria-hidden': 'true' }, s('path', { d: shapes[level] ?? shapes.info }))

export const levelOf = state => ({ alive: 'well', stuck: 'warn', failed: 'error' })[state] ?? 'info'

// fill puts a node or text into an element if its key has changed, or the text.
export function fill(el, what, key) {
  if (what instanceof Node || Array.isArray(what)) {
    if (el.fillKey === key && key !== undefined) return
    el.fillKey = key
    el.replaceChildren(...[what].flat().filter(Boolean))
  } else {
    el.fillKey = undefined
    text(el, what ?? '')
  }
}

// A Table shows items. A column has head, and a function of an item: text (a string),
// or node (a node, made anew when key changes); and maybe title, num, sort, warn, hint.
export class Table {
  constructor({ caption, columns, keyOf, empty, sort, cards, className = '', showCaption }) {
    Object.assign(this, { columns, keyOf, sort, empty })
    this.items = []
    const heads = columns.map((c, i) => {
      const label = c.sort ? h('button', { type: 'button', title: c.hint, onclick: () => this.sortBy(i) }, c.head) : h('span', { title: c.hint }, c.head)
      return h('th', { scope: 'col', role: 'columnheader', class: c.num && 'num' }, label)
    })
    this.heads = heads
    this.body = h('tbody', { role: 'rowgroup' })
    this.table = h('table', { role: 'table', class: className + (cards ? ' cards' : '') },
      h('caption', { class: showCaption ? null : 'vh' }, caption), h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...heads)), this.body)
    this.note = h('p', { class: 'note', hidden: true })
    this.el = h('div', null, h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, this.table), this.note)
  }

  sortBy(i) {
    const down = this.sort?.[0] === i ? !this.sort[1] : Boolean(this.columns[i].num)
    this.sort = [i, down]
    this.update(this.items)
  }

  update(items) {
    this.items = items
    let shown = items
    this.heads.forEach((th, i) => attr(th, 'aria-sort', this.sort?.[0] === i ? this.sort[1] ? 'descending' : 'ascending' : null))
    if (this.sort) {
      const of = this.columns[this.sort[0]].sort
      const sign = this.sort[1] ? -1 : 1
      const least = v => v === null || v === undefined || Number.isNaN(v)
      shown = [...items].sort((x, y) => {
        const [a, b] = [of(x), of(y)]
        if (least(a) || least(b)) return least(a) - least(b)
        return sign * (a < b ? -1 : a > b ? 1 : 0)
      })
    }
    keyed(this.body, shown, this.keyOf, () => this.row(), (tr, item) => this.updateRow(tr, item))
    text(this.note, this.empty ?? '')
    this.note.hidden = items.length > 0 || !this.empty
    this.el.firstChild.hidden = items.length === 0 && Boolean(this.empty)
  }

  row() {
    return h('tr', { role: 'row' }, ...this.columns.map((c, i) =>
      h(i === 0 ? 'th' : 'td', i === 0 ? { scope: 'row', role: 'rowheader' } : { role: 'cell', class: c.num && 'num', 'data-label': c.head })))
  }

  updateRow(tr, item) {
    this.columns.forEach((c, i) => {
      const td = tr.children[i]
      if (c.node) fill(td, c.node(item), c.key(item))
      else fill(td, c.text(item))
      if (c.title) attr(td, 'title', c.title(item))
      if (c.warn) td.classList.toggle('warned', Boolean(c.warn(item)))
      td.classList.toggle('nothing', td.textContent === '' || td.textContent === '–')
    })
  }
}

// section is a part of a view with its heading.
export function section(title, ...children) {
  const id = 'h' + ++sections
  return h('section', { 'aria-labelledby': id }, h('h2', { id }, title), ...children)
}
let sections = 0

// meter is a bar that shows a part of a whole beside its number.
export function meter(cls = '') {
  const bar = h('span', { class: 'bar-fill' })
  const el = h('span', { class: 'bar-track ' + cls, 'aria-hidden': 'true' }, bar)
  return { el, set: x => { bar.style.inlineSize = (100 * Math.min(1, Math.max(0, x || 0))).toFixed(2) + '%' } }
}

// announce says a text to screen readers, once.
export function announce(message) {
  const region = document.getElementById('said') ?? document.body.appendChild(h('p', { id: 'said', class: 'vh', role: 'status' }))
  text(region, message)
}
