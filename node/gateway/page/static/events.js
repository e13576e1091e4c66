// What happened on a node, the newest first, as it happens.

import { h, p, text, tell, div, span } from './dom.js'
import { clock, count, plural, visible } from './format.js'
import { Table, alertBox, field, kindLink, labelled, link, marked, named, nodeLink, options } from './parts.js'
import { subscribe } from './stream.js'

const kept = 2000
const pageSize = 100 // rows in the document
const levels = { info: 0, warn: 1, error: 2 }

export default function events(model, route) {
  const level = h('select', { id: 'ev-level', onchange: filtered }, ...[['', 'all'], ['warn', 'warn and error'], ['error', 'error']].map(([value, words]) => h('option', { value }, words)))
  const box = (id, list) => field('ev-' + id, { type: 'search', list, oninput: filtered })
  const nodes = h('datalist', { id: 'ev-nodes' }), kinds = h('datalist', { id: 'ev-kinds' })
  const filters = { level, about: box('node', 'ev-nodes'), kind: box('kind', 'ev-kinds'), text: box('text') }
  const state = p('note'), trouble = alertBox()
  const fresh = h('button', { type: 'button', class: 'fresh main', onclick: () => turn(-Infinity) })
  const older = h('button', { type: 'button', onclick: () => turn(1) }, 'Older'), newer = h('button', { type: 'button', onclick: () => turn(-1) }, 'Newer')
  const where = span('note'), pager = p('pager', newer, ' ', older, ' ', where)
  const table = new Table({
    caption: 'Events', cls: 'events', cards: true, fixed: true, keyOf: e => e.mark, empty: 'No event is like that.',
    columns: [
      { head: 'When', text: e => clock(Date.parse(e.time)), title: e => visible(e.time) },
      { head: 'Level', node: e => marked(e.level === 'info' ? 'well' : e.level, e.level), key: e => e.level },
      { head: 'Event', text: e => visible(e.event) },
      named('Node', e => e.node, nodeLink),
      named('Kind', e => e.kind, kindLink),
      { head: 'Why', text: e => visible(e.why) },
      { head: 'More', text: e => visible(e.more) },
    ],
  })
  const el = div(null, div('head', h('h1', null, 'Events'), h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter of events', onsubmit: e => e.preventDefault() },
    ...labelled('Level', level), ...labelled('Node', filters.about), nodes, ...labelled('Kind', filters.kind), kinds, ...labelled('Text', filters.text))), state, trouble, fresh, table.el, pager)

  let all = [] // the oldest first
  let shown = null // what the reader looks at while the list waits; null: all, live
  let page = 0, due = 0, stop, from

  function match(e) {
    const has = (s, box) => (s ?? '').toLowerCase().includes(box.value.trim().toLowerCase())
    return (levels[e.level] ?? 0) >= (levels[level.value] ?? 0) && has(e.node, filters.about) && has(e.kind, filters.kind) && has([e.event, e.node, e.kind, e.why, e.more].join(' '), filters.text)
  }

  function render() {
    due = 0
    const away = page > 0 || (el.isConnected && table.el.getBoundingClientRect().top < -40)
    shown = away ? shown ?? all : null
    const list = (shown ?? all).filter(match).reverse()
    page = Math.max(0, Math.min(page, Math.ceil(list.length / pageSize) - 1))
    const first = page * pageSize, rows = list.slice(first, first + pageSize)
    table.update(rows)
    const added = shown ? all.slice(all.lastIndexOf(shown.at(-1)) + 1).filter(match).length : 0
    tell(fresh, added && `${plural(added, 'new event')}: show`)
    text(state, `What ${visible(from || model.state?.node || 'the node')} has seen. ${shown ? 'The list waits while you read.' : 'New events come on top.'}`)
    pager.hidden = list.length <= pageSize
    newer.disabled = !page
    older.disabled = first + pageSize >= list.length
    text(where, `${count(first + 1)}–${count(first + rows.length)} of ${count(list.length)}` + (all.length < kept ? '' : `; the page keeps the newest ${count(kept)}`))
  }

  function turn(by) {
    page = Math.max(0, page + by)
    if (by === -Infinity) shown = null
    scrollTo(0, 0)
    render()
    table.box.focus({ preventScroll: true })
  }

  function filtered() {
    page = 0
    shown = null
    const query = {}
    for (const [n, box] of Object.entries(filters)) query[n] = box.value.trim()
    history.replaceState(null, '', link('events', [], query))
    render()
  }

  const soon = () => { due ||= setTimeout(render, 100) }
  function add(list) {
    const have = new Set(all.map(e => e.mark))
    all = [...all, ...list.filter(e => !have.has(e.mark))].slice(-kept)
    soon()
  }

  function take(name, data) {
    if (name === 'events' || name === 'up') trouble.hidden = true
    if (name === 'events') add(data)
    if (name === 'trouble' || name === 'down') tell(trouble, data.detail && visible(data.detail))
    if (name === 'missed') add([{
      mark: 'missed ' + performance.now(), time: model.state?.time, level: 'warn',
      event: data.restarted ? 'the node has started anew: its last events before that may be missing' : `${plural(data.missed, 'event')} left out: the node had dropped them before they were read`,
    }])
  }

  function setRoute(r) {
    for (const [n, box] of Object.entries(filters)) box.value = r.query.get(n) ?? ''
    const of = r.query.get('node') ?? ''
    if (of !== from) {
      from = of
      stop?.()
      all = []
      stop = subscribe('v1/events?' + new URLSearchParams({ limit: 1000, ...of && { node: of } }), take)
    }
    render()
  }
  setRoute(route)
  addEventListener('scroll', soon, { passive: true })
  return {
    el, route: setRoute,
    update({ state: s }) {
      options(nodes, (s.members ?? []).map(m => m.name))
      options(kinds, (s.kinds ?? []).map(k => k.kind))
    },
    close() {
      stop()
      removeEventListener('scroll', soon)
      clearTimeout(due)
    },
  }
}
