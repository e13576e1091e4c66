// Parts that the views share.

import { h, s, p, path, text, attr, keyed, div, span } from './dom.js'
import { count, visible, percentText, percent, idBytes, idText, makeHash, parseHash } from './format.js'

// link returns the address of a view, with the node that is chosen.
export const link = (view, parts = [], query = {}) => makeHash(view, parts, { node: parseHash(location.hash).query.get('node'), ...query })
export const kindLink = kind => link('kinds', [percentText(kind)])
export const nodeLink = name => makeHash('overview', [], { node: name })

// name shows the name of a node, a kind or an id: alone as far as its direction goes, and
// clipped, with the whole in its title.
export function name(value, href) {
  const shown = visible(value)
  return h(href ? 'a' : 'span', { class: 'clip', title: shown, href }, h('bdi', { class: 'name' }, shown || '""'))
}
export const idName = x => name(idText(x), link('id', [percentText(x.kind), percent(idBytes(x))]))

// A mark is a shape that tells a level also without colour.
const shapes = { error: 'M6 1 11.5 11H.5Z', warn: 'M6 .8 11.2 6 6 11.2.8 6Z' }
export const mark = level => s('svg', { class: 'mark ' + level, viewBox: '0 0 12 12', 'aria-hidden': 'true' }, path(null, shapes[level] ?? 'M6 1.5a4.5 4.5 0 1 0 .01 0Z'))
export const marked = (level, word) => [mark(level), span('state ' + level, visible(word))]
export const levelOf = state => ({ alive: 'well', stuck: 'warn', failed: 'error' })[state] ?? 'info'

// fill puts nodes into an element if they have another key than those in it.
export function fill(el, nodes, key) {
  if (el.fillKey === key) return
  el.fillKey = key
  el.replaceChildren(...[nodes].flat().filter(Boolean))
}

const order = new Intl.Collator('en', { numeric: true }).compare

// A Table shows items in rows. A column has a head, and functions of an item: text, or node
// and key (a node is made anew if its key has changed); maybe sort, title and warn. Cards
// makes each row a card where there is little room; fixed keeps the items in their order.
export class Table {
  constructor({ caption, columns, keyOf, empty = '', sort, fixed, cards, cls }) {
    Object.assign(this, { columns, keyOf, sort })
    this.heads = columns.map((c, i) => h('th', { scope: 'col', class: c.num && 'num' },
      c.sort && !fixed ? h('button', { type: 'button', title: c.hint, onclick: () => this.sortBy(i) }, c.head) : h('span', { title: c.hint }, c.head)))
    this.body = h('tbody')
    this.box = h('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption },
      h('table', { class: cls + (cards ? ' cards' : '') }, h('caption', { class: 'vh' }, caption), h('thead', null, h('tr', null, ...this.heads)), this.body))
    this.empty = p('note', empty)
    this.el = div(null, this.box, this.empty)
  }

  sortBy(i) {
    this.sort = [i, this.sort?.[0] === i ? !this.sort[1] : Boolean(this.columns[i].num)]
    this.update(this.items)
  }

  update(items) {
    this.items = items
    const [by, down] = this.sort ?? []
    this.heads.forEach((th, i) => attr(th, 'aria-sort', i === by && (down ? 'descending' : 'ascending')))
    if (this.sort) {
      const of = this.columns[by].sort, last = v => v == null || v !== v
      items = [...items].sort((x, y) => {
        const [a, b] = [of(x), of(y)]
        if (last(a) || last(b)) return last(a) - last(b)
        return (typeof a === 'string' ? order(a, b) : a - b) * (down ? -1 : 1)
      })
    }
    keyed(this.body, items, this.keyOf, () => h('tr', null, ...this.columns.map((c, i) =>
      h(i ? 'td' : 'th', { scope: i ? null : 'row', class: c.num && 'num', 'data-label': c.head }))), (tr, item) => this.updateRow(tr, item))
    this.box.hidden = !items.length
    this.empty.hidden = items.length > 0
  }

  updateRow(tr, item) {
    this.columns.forEach((c, i) => {
      const td = tr.children[i]
      if (c.node) fill(td, c.node(item), c.key(item))
      else text(td, c.text(item) || '')
      if (c.title) attr(td, 'title', c.title(item))
      if (c.warn) td.classList.toggle('warned', Boolean(c.warn(item)))
      td.classList.toggle('nothing', !td.textContent || td.textContent === '–')
    })
  }
}

// num is a column of numbers: of returns one of an item, and write its text.
export const num = (head, hint, of, write = count, more) => ({ head, hint, num: true, sort: of, text: x => write(of(x)), ...more })

// named is a column of names: of returns one of an item, and href where it leads.
export const named = (head, of, href, more) => ({ head, key: of, sort: of, ...more, node: x => of(x) && name(of(x), href?.(of(x))) })

// stateColumn is the state of a member; one that has none is only planned.
export const stateColumn = { head: 'State', key: m => m.state ?? '', sort: m => ['failed', 'stuck'].indexOf(m.state) + 3, node: m => marked(levelOf(m.state), m.state ?? 'would join') }

export const field = (id, attrs) => h('input', { id, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', ...attrs })
export const alertBox = () => h('p', { class: 'problem', role: 'alert', hidden: true })
export const labelled = (words, input) => [h('label', { for: input.id }, words), input]

export function filterBox(words, changed) {
  const input = field('filter', { type: 'search', oninput: changed })
  return { el: p('filter', ...labelled(words, input)), has: s => s.toLowerCase().includes(input.value.trim().toLowerCase()) }
}

export const options = (list, names) => keyed(list, names, n => n, n => h('option', { value: n }))

export function section(title, ...children) {
  const id = 'h' + ++sections
  return h('section', { 'aria-labelledby': id }, h('h2', { id }, title), ...children)
}
let sections = 0

// meter is a bar that shows a part of a whole beside its number.
export function meter(cls, part) {
  const bar = h('i')
  const set = x => { bar.style.inlineSize = 100 * Math.min(1, Math.max(0, x || 0)) + '%' }
  set(part)
  return { el: h('span', { class: 'bars ' + cls, 'aria-hidden': 'true' }, bar), set }
}

// ofProblem says why there are no figures of the node that is chosen, if so.
export const ofProblem = state => state.of_problem && `There are no figures of ${visible(state.of)}: ${visible(state.of_problem)}`

// ask returns the JSON that the node answers. An error has a text to show. If the session
// has ended, it leads to the form of the token.
export async function ask(url, options, unsure = '') {
  let r
  try {
    r = await fetch(url, { signal: AbortSignal.timeout(65_000), ...options })
  } catch {
    throw Error('The node does not answer' + unsure + '.')
  }
  if (r.status === 401) location.reload()
  const answer = await r.json().catch(() => ({}))
  if (!r.ok) throw Error(visible(answer.detail ?? answer.title ?? `The node answered ${r.status}.`))
  return answer
}
