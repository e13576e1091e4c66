// How ids are spread over the members, and what a change would move.

import { h, text, attr, keyed } from './dom.js'
import { count, makeHash, percentage, plural, visible, none } from './format.js'
import { Table, levelOf, mark, meter, name, nodeLink, section } from './parts.js'

export default function ring(model, route) {
  const add = h('input', { id: 'plan-add', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', 'aria-describedby': 'plan-hint', placeholder: '4@10.0.0.4' })
  const remove = h('input', { id: 'plan-remove', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', list: 'plan-members', 'aria-describedby': 'plan-hint' })
  const members = h('datalist', { id: 'plan-members' })
  const form = h('form', { class: 'plan', onsubmit: plan },
    h('p', null, h('label', { for: 'plan-add' }, 'Would join'), add), h('p', null, h('label', { for: 'plan-remove' }, 'Would leave'), remove), members,
    h('button', { class: 'main' }, 'Show what moves'), h('p', { class: 'note', id: 'plan-hint' }, 'Names as NAME@HOST, several with commas between them. Nothing is changed.'))
  const problem = h('p', { class: 'problem', role: 'alert', hidden: true })
  const note = h('p', { class: 'note' })
  const outcome = h('p', { class: 'sentence', role: 'status' })
  const shares = new Table({
    caption: 'Share of the ids of each member', className: 'shares', keyOf: m => m.name, empty: 'The node has not told yet.',
    columns: [
      { head: 'Node', node: m => name(m.name, nodeLink(m.name)), key: m => m.name },
      { head: 'State', node: m => m.state ? [mark(levelOf(m.state)), h('span', { class: 'state ' + levelOf(m.state) }, visible(m.state))] : h('span', null, 'would join'), key: m => m.state ?? '' },
      { head: 'Share', num: true, text: m => m.share == null ? none : percentage(m.share) },
      { head: '', node: m => bars(m), key: m => [m.share, m.after, m.most].join() },
      { head: 'After', num: true, text: m => m.planned ? m.after == null ? 'leaves' : percentage(m.after) : '' },
      { head: 'Workers', num: true, text: m => m.workers == null ? none : count(m.workers) },
    ],
  })
  const plans = new Table({
    caption: 'By way of routing', keyOf: p => p.routing, className: 'plans', empty: ' ',
    columns: [
      { head: 'Routing', text: p => p.routing + (p.own ? ' (this cluster)' : '') },
      { head: 'Ids that move', num: true, text: p => percentage(p.moved) },
      { head: 'Largest share after', num: true, text: p => percentage(p.largest) },
    ],
  })
  const moves = new Table({
    caption: 'What moves', keyOf: m => m.from + '\u0000' + m.to, className: 'moves', empty: ' ', sort: [2, true],
    columns: [
      { head: 'From', node: m => name(m.from), key: m => m.from, sort: m => m.from },
      { head: 'To', node: m => name(m.to), key: m => m.to, sort: m => m.to },
      { head: 'Share', num: true, text: m => percentage(m.share), sort: m => m.share },
    ],
  })
  const planned = h('div', { class: 'planned', hidden: true }, section('Ids that move', outcome, plans.el), section('From whom to whom', moves.el))
  const el = h('div', null, h('h1', null, 'Ring'), note, h('div', { class: 'two' },
    section('Shares', shares.el), h('div', null, section('If members join or leave', form, problem), planned)))

  const names = box => box.value.split(/[,\s]+/).filter(Boolean)
  let asked = 0, shape, loadedAt = -Infinity, closed = false

  function plan(e) {
    e.preventDefault()
    location.hash = makeHash('ring', [], { node: route.query.get('node'), add: names(add).join(','), remove: names(remove).join(',') })
    load()
  }

  async function load() {
    const turn = ++asked
    loadedAt = performance.now()
    const q = new URLSearchParams(Object.entries({ add: route.query.get('add'), remove: route.query.get('remove') }).filter(([, v]) => v))
    try {
      const r = await fetch('page/plan' + (q.size ? '?' + q : ''), { signal: AbortSignal.timeout(10_000) })
      if (r.status === 401) location.reload()
      const answer = await r.json().catch(() => ({}))
      if (turn !== asked || closed) return
      problem.hidden = r.ok
      text(problem, r.ok ? '' : visible(answer.detail ?? answer.title ?? `The node answered ${r.status}.`))
      if (r.ok) render(answer)
    } catch {
      if (turn !== asked || closed) return
      problem.hidden = false
      text(problem, 'The node did not answer.')
    }
  }

  function render(a) {
    const after = new Map((a.after ?? []).map(m => [m.name, m.share]))
    const is = new Set((a.members ?? []).map(m => m.name))
    const wanted = after.size > 0 || a.plans?.length > 0
    const rows = (a.members ?? []).map(m => ({ ...m, planned: wanted, after: wanted ? after.get(m.name) : undefined }))
    for (const m of a.after ?? []) if (!is.has(m.name)) rows.push({ name: m.name, planned: true, after: m.share })
    const most = Math.max(0.0001, ...rows.flatMap(m => [m.share ?? 0, m.after ?? 0]))
    shares.update(rows.map(m => ({ ...m, most })))
    keyed(members, [...is], n => n, n => h('option', { value: n }))
    text(note, `${plural(is.size, 'member')}, ${visible(a.routing)} routing. Shares are those of ${count(a.ids)} ids.`)
    planned.hidden = !wanted
    if (!wanted) return
    const own = (a.plans ?? []).find(p => p.routing === a.routing)
    text(outcome, own ? `${percentage(own.moved)} of the ids would move. The largest share would be ${percentage(own.largest)}.` : '')
    plans.update((a.plans ?? []).map(p => ({ ...p, own: p.routing === a.routing })))
    moves.update(a.moves ?? [])
  }

  function setRoute(r) {
    route = r
    add.value = r.query.get('add') ?? ''
    remove.value = r.query.get('remove') ?? ''
    load()
  }
  setRoute(route)
  return {
    el,
    route: setRoute,
    // The shares are asked for again when the members are others, at most every 5 s.
    update({ state }) {
      const now = (state.members ?? []).map(m => m.name + m.state).join() + state.routing
      if (shape !== undefined && now === shape && performance.now() - loadedAt < 30_000) return
      if (performance.now() - loadedAt < 5000) return
      shape = now
      load()
    },
    close: () => { closed = true },
  }
}

function bars(m) {
  const before = meter(), after = meter('after')
  before.set((m.share ?? 0) / m.most)
  after.set((m.after ?? 0) / m.most)
  return [before.el, m.planned ? after.el : null]
}
