// How ids are spread over the members, and what a change would move.

import { h, p, text, tell, div } from './dom.js'
import { count, makeHash, percentage, plural, visible, none } from './format.js'
import { Table, alertBox, ask, field, labelled, meter, named, nodeLink, num, options, section, stateColumn } from './parts.js'

export default function ring(model, route) {
  const add = field('plan-add', { 'aria-describedby': 'plan-hint', placeholder: '4@10.0.0.4' })
  const remove = field('plan-remove', { list: 'plan-members', 'aria-describedby': 'plan-hint' })
  const members = h('datalist', { id: 'plan-members' })
  const form = h('form', { class: 'plan', onsubmit: plan }, p(null, ...labelled('Would join', add)), p(null, ...labelled('Would leave', remove)), members,
    h('button', { class: 'main' }, 'Show what moves'), h('p', { class: 'note', id: 'plan-hint' }, 'Names as NAME@HOST, several with commas between them. Nothing is changed.'))
  const problem = alertBox(), outcome = h('p', { role: 'status' }), note = p('note')
  const shares = new Table({
    caption: 'Share of the ids of each member', cls: 'shares', fixed: true, keyOf: m => m.name, empty: 'The node has not told yet.',
    columns: [
      named('Node', m => m.name, nodeLink), stateColumn,
      num('Share', 'Of all ids', m => m.share, percentage),
      { head: 'Before, after', key: m => [m.share, m.after, m.most].join(), node: m => [meter('', m.share / m.most).el, m.planned && meter('after', m.after / m.most).el] },
      { head: 'After', num: true, text: m => m.planned && (m.after == null ? 'leaves' : percentage(m.after)) },
      num('Workers', 'Live workers', m => m.workers),
    ],
  })
  const plans = new Table({
    caption: 'By way of routing', keyOf: x => x.routing, cls: 'plans', fixed: true,
    columns: [{ head: 'Routing', text: x => x.routing }, num('Ids that move', '', x => x.moved, percentage), num('Largest share after', '', x => x.largest, percentage)],
  })
  const moves = new Table({
    caption: 'What moves', keyOf: x => x.from + '\u0000' + x.to, cls: 'moves', sort: [2, true],
    columns: [named('From', x => x.from), named('To', x => x.to), num('Share', 'Of all ids', x => x.share, percentage)],
  })
  const planned = h('div', { class: 'planned', hidden: true }, section('Ids that move', outcome, plans.el), section('From whom to whom', moves.el))
  let asked = 0, shape, loadedAt

  function plan(e) {
    e.preventDefault()
    const names = box => box.value.split(/[,\s]+/).filter(Boolean).join()
    const hash = makeHash('ring', [], { node: route.query.get('node'), add: names(add), remove: names(remove) })
    if (hash === location.hash) load()
    else location.hash = hash
  }

  async function load() {
    const turn = ++asked
    loadedAt = performance.now()
    const q = new URLSearchParams(['add', 'remove'].map(n => [n, route.query.get(n) ?? '']).filter(x => x[1]))
    let answer, error
    try {
      answer = await ask('page/plan?' + q)
    } catch (e) {
      error = e.message
    }
    if (turn !== asked) return // there is a newer question
    tell(problem, error)
    if (answer) render(answer)
  }

  function render(a) {
    const after = new Map((a.after ?? []).map(m => [m.name, m.share]))
    const names = (a.members ?? []).map(m => m.name)
    const wanted = after.size > 0
    const rows = [...(a.members ?? []), ...(a.after ?? []).filter(m => !names.includes(m.name)).map(m => ({ name: m.name }))]
      .map(m => ({ ...m, planned: wanted, after: after.get(m.name) }))
    const most = Math.max(1e-4, ...rows.flatMap(m => [m.share ?? 0, m.after ?? 0]))
    shares.update(rows.map(m => ({ ...m, most })))
    options(members, names)
    text(note, `${plural(names.length, 'member')}, ${visible(a.routing)} routing. Shares are those of ${count(a.ids)} ids.`)
    planned.hidden = !wanted
    const own = a.plans?.find(x => x.routing === a.routing)
    text(outcome, own ? `${percentage(own.moved)} of the ids would move, with ${visible(a.routing)} routing as now. The largest share would be ${percentage(own.largest)}.` : '')
    plans.update(a.plans ?? [])
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
    el: div(null, h('h1', null, 'Ring'), note, div('two', section('Shares', shares.el), div(null, section('If members join or leave', form, problem), planned))),
    route: setRoute,
    // The shares are asked for again every 30 s, and soon when the members are others.
    update({ state }) {
      const now = JSON.stringify([state.routing, (state.members ?? []).map(m => [m.name, m.state])])
      const since = performance.now() - loadedAt
      if (since < 5000 || (since < 30_000 && now === shape)) return
      shape = now
      load()
    },
  }
}
