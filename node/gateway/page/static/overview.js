// What needs attention, the members, and what each kind did in the last 15 minutes.

import { h, p, text, tell, keyed, div, span } from './dom.js'
import { age, bytes, millis, plural, rate, visible } from './format.js'
import { Table, filterBox, kindLink, mark, name, named, nodeLink, num, ofProblem, section, stateColumn } from './parts.js'
import { Strip } from './chart.js'

export default function overview() {
  const attention = attentionList(), members = membersTable(), kinds = kindStrips()
  const head = section('Members', members.el)
  return {
    el: div('overview', h('h1', { class: 'vh' }, 'Overview'), attention.el, head, kinds.el),
    update(model) {
      const list = model.state.members ?? []
      attention.update(model.state)
      members.update(list)
      const bad = ['failed', 'stuck'].map(s => [list.filter(m => m.state === s).length, s]).filter(b => b[0])
      text(head.firstChild, [plural(list.length, 'member'), ...bad.map(b => b.join(' '))].join(', '))
      kinds.update(model)
    },
    close: kinds.close,
  }
}

function attentionList() {
  const list = h('ul', { class: 'attention' }), words = span(), well = p('all-well', mark('well'), words)
  const el = section('Attention', list, well)
  el.classList.add('first')
  let said
  return {
    el,
    update(state) {
      const items = state.attention ?? []
      keyed(list, items, keyOf, a => h('li', { class: a.level }, mark(a.level), span('vh', a.level + ': '), span()), (li, a) => sentence(li.lastChild, a))
      list.hidden = !items.length
      well.hidden = !list.hidden
      text(words, `All is well: ${plural(state.members?.length ?? 0, 'member')}, ${plural((state.kinds?.length ?? 0) + (state.kinds_left_out ?? 0), 'kind')}.`)
      const now = items.map(keyOf).join()
      if (now !== said && (now || said)) text(document.getElementById('said'), items.slice(0, 5).map(a => visible(a.text)).join('. ') || 'All is well.')
      said = now
    },
  }
}

// keyOf is the same while only the times and numbers of a sentence change.
const keyOf = a => [a.level, a.node, a.kind, a.text.replace(a.node || /^$/, '').replace(a.kind || /^$/, '').replace(/[\d.]+/g, '#')].join('\u0001')

function sentence(el, a) {
  const parts = []
  let at = 0
  const places = [[a.node, nodeLink], [a.kind, kindLink]].map(([word, to]) => [word ? a.text.indexOf(word) : -1, word, to]).sort((x, y) => x[0] - y[0])
  for (const [from, word, to] of places) {
    if (from < at) continue
    parts.push([a.text.slice(at, from)], [word, to])
    at = from + word.length
  }
  parts.push([a.text.slice(at)])
  keyed(el, parts, x => x.join(), ([word, to]) => to ? h('a', { href: to(word) }, h('bdi', { class: 'name' }, visible(word))) : span(null, visible(word))) // a link keeps the focus
}

function why(m) {
  return [...new Set([
    m.problem, m.figures_problem, m.apart && 'was disconnected from its cluster', m.unready, m.no_quorum && `no quorum: ${m.no_quorum}`,
    m.stuck > 0 && plural(m.stuck, 'run') + ' stuck',
    m.state === 'failed' && m.until_ms != null && `its ids wait ${age(m.until_ms)} more for it`,
    Math.abs(m.clock_ms) > 2000 && `its clock is ${millis(Math.abs(m.clock_ms))} ${m.clock_ms > 0 ? 'ahead' : 'behind'}`,
  ])].filter(Boolean).map(visible).join('; ')
}

function lease(m) {
  if (m.lease_ms == null) return ''
  const left = !m.quorum ? 'no quorum' : m.lease_ms > 0 ? `lease ${millis(Math.ceil(m.lease_ms / 1000) * 1000)}` : 'no lease'
  return [m.leads ? 'leads' : m.voter && 'votes', left].filter(Boolean).join(', ')
}

function membersTable() {
  const list = names => (names ?? []).map(visible).join(', ')
  return new Table({
    caption: 'Members of the cluster', cls: 'members', cards: true, keyOf: m => m.name, empty: 'No members are known yet.',
    columns: [
      named('Node', m => m.name, nodeLink),
      stateColumn,
      num('For', 'How long it has been in this state', m => m.since_ms, age, { title: m => m.uptime_ms != null && `started ${age(m.uptime_ms)} ago` }),
      { head: 'Why', text: why, title: why, hint: 'What is wrong with it' },
      num('Req/s', 'Requests per second that are made at this node', m => m.requests_per_second, rate),
      num('RTT', 'Round trip from the node that serves this page', m => m.rtt_ms, millis),
      num('Workers', 'Live workers', m => m.workers),
      num('Values', 'Memory of the values that the workers keep', m => m.value_bytes || NaN, bytes),
      num('Memory', 'Memory of the whole process', m => m.memory_bytes, bytes),
      { head: 'Version', text: m => visible(m.version).replace(/ .*/, ''), title: m => visible(m.version), sort: m => m.version },
      { head: 'Differs', text: m => list(m.differs), title: m => list(m.differs), warn: m => m.differs?.length, hint: 'Kinds that are not the same as on the node that serves this page' },
      { head: 'Strict', text: lease, title: m => m.voters && `voters: ${list(m.voters)}; view ${m.view_epoch}` + (m.silent?.length ? `; silent: ${list(m.silent)}` : ''), warn: m => m.quorum === false, hint: 'Leader and lease for strict kinds' },
    ],
  })
}

function kindStrips() {
  const filter = filterBox('Only kinds with', () => update(last)), note = p('note'), list = div('strips')
  const strips = new Map()
  let last

  function make({ kind }) {
    const strip = new Strip(visible(kind), ['requests', 'latency', 'errors', 'lesser'])
    strip.tags = span('tags')
    strips.set(kind, strip)
    return h('article', { class: 'kind' }, h('h3', null, name(kind, kindLink(kind)), strip.tags), strip.whole)
  }

  function update(model) {
    last = model
    const { state, past } = model
    const now = new Map((state.kinds ?? []).map(k => [k.kind, k]))
    const all = [...past?.kinds.keys() ?? []].sort()
    keyed(list, all.filter(filter.has).map(kind => ({ kind })), k => k.kind, make, (_, { kind }) => {
      strips.get(kind).set(past.kinds.get(kind), past)
      text(strips.get(kind).tags, tagsOf(now.get(kind)).join(', '))
    })
    for (const [kind, strip] of strips) if (list.isConnected && !strip.el.isConnected) {
      strip.close()
      strips.delete(kind)
    }
    filter.el.hidden = all.length < 8
    const more = now.size + (state.kinds_left_out ?? 0) - all.length
    tell(note, ofProblem(state) || (!past ? 'The node collects its figures.' : (state.of && `Figures of ${visible(state.of)}. `) +
      (!all.length ? 'No kind has had a request in the last 15 minutes.' : more > 0 ? `Those with the most requests; ${plural(more, 'more kind is', 'more kinds are')} under Kinds.` : '')))
  }
  return { el: section('Kinds, last 15 minutes', filter.el, note, list), update, close: () => strips.forEach(s => s.close()) }
}

export function tagsOf(k) {
  return !k ? [] : [
    k.strict ? 'strict' : k.serial && 'serial',
    k.stuck > 0 && `${plural(k.stuck, 'run')} stuck for ${age(k.stuck_ms)}`,
    k.differs?.length > 0 && `differs on ${k.differs.map(visible).join(', ')}`,
    k.waiting > 0 && plural(k.waiting, 'call waits', 'calls wait'),
  ].filter(Boolean)
}
