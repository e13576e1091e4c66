// What happened on a node, the newest first, as it happens.

import { h, text, keyed } from './dom.js'
import { clock, count, makeHash, plural, visible } from './format.js'
import { Table, kindLink, mark, name, nodeLink } from './parts.js'
import { subscribe } from './stream.js'

const kept = 2000
const pageSize = 100 // rows in the document
const levels = { info: 0, warn: 1, error: 2 }

export default function events(model, route) {
  const q = n => route.query.get(n) ?? ''
  const level = h('select', { id: 'ev-level', onchange: filtered }, ...[['', 'all'], ['warn', 'warn and error'], ['error', 'error']].map(([v, t]) => h('option', { value: v }, t)))
  const box = (id, label, list) => h('input', { id, type: 'search', list, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', oninput: filtered, 'aria-label': label })
  const node = box('ev-node', 'Node', 'ev-nodes'), kind = box('ev-kind', 'Kind', 'ev-kinds'), words = box('ev-text', 'Text')
  const nodes = h('datalist', { id: 'ev-nodes' }), kinds = h('datalist', { id: 'ev-kinds' })
  const filters = { level, about: node, kind, text: words }
  for (const [n, el] of Object.entries(filters)) el.value = q(n)
  const state = h('p', { class: 'note', role: 'status' })
  const trouble = h('p', { class: 'problem', role: 'alert', hidden: true })
  const fresh = h('button', { type: 'button', class: 'fresh', hidden: true, onclick: () => { page = 0; live(); scrollTo(0, 0) } })
  const older = h('button', { type: 'button', onclick: () => turn(1) }, 'Older')
  const newer = h('button', { type: 'button', onclick: () => turn(-1) }, 'Newer')
  const where = h('span', { class: 'note' })
  const pager = h('p', { class: 'pager' }, newer, ' ', older, ' ', where)
  const table = new Table({
    caption: 'Events', className: 'events', cards: true, keyOf: e => e.mark, empty: 'No event is like that.',
    columns: [
      { head: 'When', text: e => clock(Date.parse(e.time)), title: e => visible(e.time) },
      { head: 'Level', node: e => [mark(e.level === 'info' ? 'well' : e.level), h('span', { class: 'state ' + e.level }, visible(e.level))], key: e => e.level },
      { head: 'Event', text: e => visible(e.event) },
      { head: 'Node', node: e => e.node ? name(e.node, nodeLink(e.node)) : document.createTextNode(''), key: e => e.node ?? '' },
      { head: 'Kind', node: e => e.kind ? name(e.kind, kindLink(e.kind)) : document.createTextNode(''), key: e => e.kind ?? '' },
      { head: 'Why', text: e => visible(e.why) },
      { head: 'More', text: e => visible(e.more) },
    ],
  })
  const el = h('div', null, h('div', { class: 'head' }, h('h1', null, 'Events'),
    h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter of events', onsubmit: e => e.preventDefault() },
      h('label', { for: 'ev-level' }, 'Level'), level, h('label', { for: 'ev-node' }, 'Node'), node, nodes, h('label', { for: 'ev-kind' }, 'Kind'), kind, kinds, h('label', { for: 'ev-text' }, 'Text'), words)),
    state, trouble, fresh, table.el, pager)

  let all = [] // the oldest first
  let shown = null // what the reader looks at while the list waits; null: live
  let page = 0
  let closed = false

  function match(e) {
    const has = (s, box) => !box.value.trim() || (s ?? '').toLowerCase().includes(box.value.trim().toLowerCase())
    return (levels[e.level] ?? 0) >= (levels[level.value] ?? 0) && has(e.node, node) && has(e.kind, kind) && has([e.event, e.node, e.kind, e.why, e.more].join(' '), words)
  }

  const away = () => page > 0 || scrollY > table.el.getBoundingClientRect().top + scrollY + 40

  function live() {
    shown = null
    render()
  }

  function render() {
    if (closed) return
    if (!shown && away()) shown = all
    if (shown && !away()) shown = null
    const list = (shown ?? all).filter(match).reverse()
    page = Math.max(0, Math.min(page, Math.ceil(list.length / pageSize) - 1))
    table.update(list.slice(page * pageSize, (page + 1) * pageSize))
    const last = shown?.at(-1)
    const added = shown ? all.slice(all.lastIndexOf(last) + 1).filter(match).length : 0
    fresh.hidden = !added
    text(fresh, `${plural(added, 'new event')}: show`)
    const of = route.query.get('node') || model.state?.node || ''
    text(state, `What ${visible(of) || 'the node'} has seen. ${shown ? 'The list waits while you read.' : 'New events come on top.'}`)
    pager.hidden = list.length <= pageSize
    newer.disabled = page === 0
    older.disabled = (page + 1) * pageSize >= list.length
    text(where, list.length ? `${count(page * pageSize + 1)}–${count(Math.min(list.length, (page + 1) * pageSize))} of ${count(list.length)}${all.length >= kept ? `; the page keeps the newest ${count(kept)}` : ''}` : '')
  }

  function turn(by) {
    page += by
    shown ??= all
    render()
    scrollTo(0, 0)
    table.el.firstChild.focus({ preventScroll: true })
  }

  function filtered() {
    page = 0
    shown = null
    const r = { node: route.query.get('node') }
    for (const [n, el] of Object.entries(filters)) r[n] = el.value.trim()
    history.replaceState(null, '', makeHash('events', [], r))
    render()
  }

  let due = 0
  function soon() {
    due ||= setTimeout(() => {
      due = 0
      render()
    }, 100)
  }

  function take(name, data) {
    if (name === 'events') {
      const seen = new Set(all.slice(-kept).map(e => e.mark))
      all = [...all, ...data.filter(e => !seen.has(e.mark))].slice(-kept)
      trouble.hidden = true
      soon()
    } else if (name === 'trouble' || (name === 'down' && data?.detail)) {
      trouble.hidden = false
      text(trouble, visible(data.detail))
    } else if (name === 'missed') {
      all = [...all, { mark: 'missed ' + all.length + ' ' + performance.now(), time: model.state?.time, level: 'warn', event: data.restarted ? 'the node has started anew: its last events before that may be missing' : `${plural(data.missed, 'event')} left out: the node has dropped them before they were read` }].slice(-kept)
      soon()
    } else if (name === 'up') {
      trouble.hidden = true
    }
  }

  let stop, from
  function listen() {
    const of = route.query.get('node') ?? ''
    if (of === from) return
    from = of
    stop?.()
    all = []
    shown = null
    stop = subscribe('v1/events?' + new URLSearchParams({ limit: 1000, ...of && { node: of } }), take)
  }
  listen()
  addEventListener('scroll', soon, { passive: true })
  render()

  return {
    el,
    route(r) {
      route = r
      for (const [n, el] of Object.entries(filters)) if (document.activeElement !== el) el.value = q(n)
      listen()
      render()
    },
    update({ state: s }) {
      keyed(nodes, (s.members ?? []).map(m => m.name), n => n, n => h('option', { value: n }))
      keyed(kinds, (s.kinds ?? []).map(k => k.kind), n => n, n => h('option', { value: n }))
    },
    close() {
      closed = true
      stop?.()
      removeEventListener('scroll', soon)
      clearTimeout(due)
    },
  }
}
