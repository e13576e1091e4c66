// What needs attention, the members, and what each kind did in the last 15 minutes.

import { h, text, attr, keyed } from './dom.js'
import { age, bytes, count, millis, plural, rate, visible, none } from './format.js'
import { Table, announce, kindLink, levelOf, mark, name, nodeLink, section } from './parts.js'
import { Strip } from './chart.js'

const stripCharts = ['requests', 'latency', 'errors', 'lesser']

export default function overview() {
  const attention = attentionList()
  const members = membersTable()
  const membersHead = section('Members', members.el)
  const kinds = kindStrips()
  const el = h('div', { class: 'overview' }, h('h1', { class: 'vh' }, 'Overview'), attention.el, membersHead, kinds.el)
  return {
    el,
    update(model) {
      attention.update(model.state)
      members.update(model.state.members ?? [])
      text(membersHead.firstChild, membersTitle(model.state.members ?? []))
      kinds.update(model)
    },
    close: kinds.close,
  }
}

function membersTitle(members) {
  const by = {}
  for (const m of members) by[m.state] = (by[m.state] ?? 0) + 1
  const parts = ['failed', 'stuck'].filter(s => by[s]).map(s => `${by[s]} ${s}`)
  return plural(members.length, 'member') + (parts.length ? `, ${parts.join(', ')}` : '')
}

function attentionList() {
  const list = h('ul', { class: 'attention' })
  const well = h('p', { class: 'well' })
  const wellText = h('span')
  well.append(mark('well'), wellText)
  const el = section('Attention', list, well)
  el.classList.add('first')
  let said
  return {
    el,
    update(state) {
      const items = state.attention ?? []
      keyed(list, items, keyOf, a => h('li', { class: a.level }, mark(a.level), h('span', { class: 'vh' }, a.level + ': '), h('span', { class: 'what' })), (li, a) => sentence(li.lastChild, a))
      list.hidden = items.length === 0
      well.hidden = items.length > 0
      text(wellText, `All is well: ${plural(state.members?.length ?? 0, 'member')}, ${plural((state.kinds?.length ?? 0) + (state.kinds_left_out ?? 0), 'kind')}.`)
      const sentences = items.map(keyOf).join('\n')
      if (said !== sentences && (said !== undefined || items.length)) announce(items.length ? items.slice(0, 5).map(a => visible(a.text)).join('. ') : 'All is well.')
      said = sentences
    },
  }
}

// keyOf is the same while only the times and numbers of a sentence change.
const keyOf = a => [a.level, a.node, a.kind, a.text.replace(a.node || '\u0000', '').replace(a.kind || '\u0000', '').replace(/\d+(\.\d+)?/g, '#')].join('\u0001')

// sentence writes a text in which the node and the kind are links.
function sentence(el, a) {
  if (el.sentence === a.text) return
  el.sentence = a.text
  const places = [[a.node, nodeLink], [a.kind, kindLink]]
    .map(([word, to]) => [word ? a.text.indexOf(word) : -1, word, to]).filter(p => p[0] >= 0).sort((x, y) => x[0] - y[0])
  const parts = []
  let at = 0
  for (const [from, word, to] of places) {
    if (from < at) continue
    parts.push(visible(a.text.slice(at, from)), h('a', { href: to(word), title: visible(word) }, h('bdi', { class: 'name' }, visible(word))))
    at = from + word.length
  }
  parts.push(visible(a.text.slice(at)))
  if (el.children.length === parts.filter(p => p instanceof Node).length && el.childNodes.length === parts.length) {
    parts.forEach((p, i) => p instanceof Node ? text(el.childNodes[i].firstChild, p.textContent) : el.childNodes[i].nodeValue !== p && (el.childNodes[i].nodeValue = p)) // a link that has the focus keeps it
  } else {
    el.replaceChildren(...parts.map(p => p instanceof Node ? p : document.createTextNode(p)))
  }
}

function why(m) {
  const parts = [m.problem, m.figures_problem, m.apart && 'was disconnected from its cluster', m.unready, m.no_quorum && `no quorum: ${m.no_quorum}`]
  if (m.stuck) parts.push(plural(m.stuck, 'run') + ' stuck')
  if (m.state === 'failed') parts.push(m.until_ms != null ? `its ids wait ${age(m.until_ms)} more for it` : '')
  if (Math.abs(m.clock_ms) > 2000) parts.push(`its clock is ${millis(Math.abs(m.clock_ms))} ${m.clock_ms > 0 ? 'ahead' : 'behind'}`)
  return [...new Set(parts.filter(Boolean))].map(visible).join('; ')
}

// lease says in a few words how a member stands with the voters.
function lease(m) {
  if (m.lease_ms == null) return ''
  const role = m.leads ? 'leads' : m.voter ? 'votes' : ''
  const left = !m.quorum ? 'no quorum' : m.lease_ms > 0 ? `lease ${millis(Math.max(100, Math.round(m.lease_ms / 100) * 100))}` : 'no lease'
  return [role, left].filter(Boolean).join(', ')
}

const numberOf = s => { const m = /^(\d+)@/.exec(s); return m ? m[1].padStart(12, '0') + s : '~' + s }

function membersTable() {
  const silent = m => m.rtt_ms == null
  return new Table({
    caption: 'Members of the cluster', className: 'members', cards: true, keyOf: m => m.name, empty: 'No members are known yet.',
    columns: [
      { head: 'Node', node: m => name(m.name, nodeLink(m.name)), key: m => m.name, sort: m => numberOf(m.name) },
      { head: 'State', node: m => [mark(levelOf(m.state)), h('span', { class: 'state ' + levelOf(m.state) }, visible(m.state))], key: m => m.state, sort: m => ({ failed: 0, stuck: 1 })[m.state] ?? 2 },
      { head: 'For', num: true, text: m => age(m.since_ms), sort: m => m.since_ms, hint: 'How long it has been in this state' },
      { head: 'Why', text: why, title: why, hint: 'What is wrong with it' },
      { head: 'Req/s', num: true, text: m => rate(m.requests_per_second), sort: m => m.requests_per_second, hint: 'Requests per second that are made at this node' },
      { head: 'RTT', num: true, text: m => silent(m) ? none : millis(m.rtt_ms), sort: m => m.rtt_ms, hint: 'Round trip from the node that serves this page' },
      { head: 'Workers', num: true, text: m => silent(m) ? none : count(m.workers), sort: m => m.workers, hint: 'Live workers' },
      { head: 'Values', num: true, text: m => m.value_bytes ? bytes(m.value_bytes) : none, title: m => m.max_value_bytes ? `of ${bytes(m.max_value_bytes)} that they may take; ${plural(m.evicted ?? 0, 'worker')} evicted` : null, sort: m => m.value_bytes, hint: 'Memory of the values that the workers keep' },
      { head: 'Memory', num: true, text: m => silent(m) ? none : bytes(m.memory_bytes), sort: m => m.memory_bytes, hint: 'Memory of the whole process' },
      { head: 'Up', num: true, text: m => silent(m) ? none : age(m.uptime_ms), sort: m => m.uptime_ms, hint: 'Time since it started' },
      { head: 'Version', text: m => visible(m.version).replace(/ .*/, ''), title: m => visible(m.version), sort: m => m.version },
      { head: 'Differs', text: m => (m.differs ?? []).map(visible).join(', '), title: m => (m.differs ?? []).map(visible).join(', '), warn: m => m.differs?.length, hint: 'Kinds that are not the same as on the node that serves this page' },
      { head: 'Strict', text: lease, title: m => m.voters ? `voters: ${m.voters.map(visible).join(', ')}; view ${m.view_epoch}` + (m.silent?.length ? `; silent: ${m.silent.map(visible).join(', ')}` : '') : null, warn: m => m.quorum === false, hint: 'Leader and lease for strict kinds' },
    ],
  })
}

function kindStrips() {
  const filter = h('input', { type: 'search', id: 'kind-filter', autocomplete: 'off', spellcheck: 'false', oninput: () => update(last) })
  const note = h('p', { class: 'note' })
  const list = h('div', { class: 'strips' })
  const filterLine = h('p', { class: 'filter' }, h('label', { for: 'kind-filter' }, 'Only kinds with'), ' ', filter)
  const el = section('Kinds', filterLine, note, list)
  let last
  const strips = new Set()

  function make({ kind }) {
    const strip = new Strip(visible(kind), stripCharts)
    strips.add(strip)
    const tags = h('span', { class: 'tags' })
    const box = h('article', { class: 'kind' }, h('h3', null, name(kind, kindLink(kind)), tags), strip.whole)
    return Object.assign(box, { strip, tags })
  }

  function update(model) {
    last = model
    const { state, past } = model
    const now = new Map((state.kinds ?? []).map(k => [k.kind, k]))
    const all = past ? [...past.kinds.keys()].sort() : []
    const wanted = filter.value.trim().toLowerCase()
    const kinds = all.filter(k => k.toLowerCase().includes(wanted)).map(kind => ({ kind, now: now.get(kind), past: past.kinds.get(kind) }))
    keyed(list, kinds, k => k.kind, make, (box, k) => {
      box.strip.set(k.past, past)
      text(box.tags, tagsOf(k.now).join(', '))
    })
    for (const strip of strips) if (!strip.el.isConnected && list.isConnected) {
      strip.close()
      strips.delete(strip)
    }
    filterLine.hidden = all.length < 8
    const of = state.of ? `Figures of ${visible(state.of)}. ` : ''
    const more = (state.kinds?.length ?? 0) + (state.kinds_left_out ?? 0) - all.length
    text(note, state.of_problem ? `There are no figures of ${visible(state.of)}: ${visible(state.of_problem)}` : !past ? 'The node collects its figures.' : of + (all.length === 0 ? 'No kind has had a request in the last 15 minutes.' : more > 0 ? `Those with the most requests; ${plural(more, 'more kind is', 'more kinds are')} under Kinds.` : ''))
    note.hidden = !note.textContent
    text(el.firstChild, 'Kinds, last 15 minutes')
  }
  return {
    el, update,
    close() {
      for (const strip of strips) strip.close()
      strips.clear()
    },
  }
}

// tagsOf says what is special about a kind.
export function tagsOf(k) {
  if (!k) return []
  return [
    k.strict ? 'strict' : k.serial && 'serial',
    k.stuck > 0 && `${plural(k.stuck, 'run')} stuck for ${age(k.stuck_ms)}`,
    k.differs?.length > 0 && `differs on ${k.differs.map(visible).join(', ')}`,
    k.waiting > 0 && `${plural(k.waiting, 'call waits', 'calls wait')}`,
  ].filter(Boolean)
}
