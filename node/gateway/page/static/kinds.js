// What each kind does now and did in the last minute; and one kind with its graphs.

import { h, text, attr } from './dom.js'
import { age, bytes, count, plural, quantile, rate, share, unpercent, visible, none } from './format.js'
import { Table, kindLink, link, name, nodeLink, section, fill } from './parts.js'
import { Strip } from './chart.js'
import { tagsOf } from './overview.js'

const columns = [
  { head: 'Kind', node: k => name(k.kind, kindLink(k.kind)), key: k => k.kind, sort: k => k.kind },
  { head: '', text: k => k.strict ? 'strict' : k.serial ? 'serial' : '', sort: k => (k.serial ? 1 : 0) + (k.strict ? 2 : 0) },
  { head: 'Req/s', num: true, text: k => rate(k.rate), sort: k => k.rate, hint: 'Requests per second over the last 5 s' },
  { head: 'Failed', num: true, text: k => share(k.minute?.failed, k.minute?.requests), sort: k => k.minute?.failed / k.minute?.requests || 0, warn: k => k.minute?.failed > 0, title: k => counted(k.minute?.failed, k.minute?.requests, 'request'), hint: 'Requests that failed, last minute' },
  { head: 'Degraded', num: true, text: k => share(k.minute?.degraded, k.minute?.requests), sort: k => k.minute?.degraded / k.minute?.requests || 0, title: k => counted(k.minute?.degraded, k.minute?.requests, 'request'), hint: 'Requests that another node than the owner answered, last minute' },
  { head: 'Stale', num: true, text: k => share(k.minute?.stale, k.minute?.requests), sort: k => k.minute?.stale / k.minute?.requests || 0, title: k => counted(k.minute?.stale, k.minute?.requests, 'request'), hint: 'Requests that got an old value, last minute' },
  { head: 'p50', num: true, text: k => quantile(k.minute?.p50_ms, k.minute?.p50_over), sort: k => k.minute?.p50_ms, hint: 'Half of the requests of the last minute took at most this long' },
  { head: 'p99', num: true, text: k => quantile(k.minute?.p99_ms, k.minute?.p99_over), sort: k => k.minute?.p99_ms, hint: '99 % of the requests of the last minute took at most this long' },
  { head: 'Runs', num: true, text: k => count(k.minute?.runs), sort: k => k.minute?.runs, hint: 'Runs of the source, or of a server, last minute' },
  { head: 'Runs failed', num: true, text: k => share(k.minute?.runs_failed, k.minute?.runs), sort: k => k.minute?.runs_failed / k.minute?.runs || 0, warn: k => k.minute?.runs_failed > 0, title: k => counted(k.minute?.runs_failed, k.minute?.runs, 'run'), hint: 'Runs that failed, last minute' },
  { head: 'Run p50', num: true, text: k => quantile(k.minute?.run_p50_ms, k.minute?.run_p50_over), sort: k => k.minute?.run_p50_ms, hint: 'Half of the runs took at most this long' },
  { head: 'Run p99', num: true, text: k => quantile(k.minute?.run_p99_ms, k.minute?.run_p99_over), sort: k => k.minute?.run_p99_ms, hint: '99 % of the runs took at most this long' },
  { head: 'Running', num: true, text: k => count(k.running) + (k.concurrency ? ` of ${count(k.concurrency)}` : ''), sort: k => k.running, warn: k => k.concurrency && k.running >= k.concurrency, hint: 'Runs that go on, of those that may go on at a time' },
  { head: 'Queued', num: true, text: k => count(k.queued), sort: k => k.queued, warn: k => k.queued > 0, hint: 'Runs that wait for others to end' },
  { head: 'Waiting', num: true, text: k => count(k.waiting), sort: k => k.waiting, hint: 'Calls that wait for a worker' },
  { head: 'Longest', num: true, text: k => count(k.longest), sort: k => k.longest, hint: 'The most calls that wait for one id' },
  { head: 'Stuck', num: true, text: k => k.stuck ? `${count(k.stuck)}, ${age(k.stuck_ms)}` : '0', sort: k => k.stuck, warn: k => k.stuck > 0, hint: 'Runs that go on although their time is up, and for how long' },
  { head: 'Workers', num: true, text: k => count(k.workers), sort: k => k.workers, hint: 'Live workers' },
  { head: 'Values', num: true, text: k => bytes(k.bytes) + (k.max_bytes ? ` of ${bytes(k.max_bytes)}` : ''), sort: k => k.bytes, warn: k => k.max_bytes && k.bytes > 0.95 * k.max_bytes, hint: 'Memory of the values, of what they may take' },
  { head: 'Evicted', num: true, text: k => count(k.minute?.evicted), sort: k => k.minute?.evicted, warn: k => k.minute?.evicted > 0, hint: 'Workers that went before their time for lack of memory, last minute' },
  { head: 'Nodes', num: true, text: k => count(k.nodes), sort: k => k.nodes, warn: k => k.differs?.length, title: k => k.differs?.length ? `differs on ${k.differs.map(visible).join(', ')}` : null, hint: 'Nodes that have the kind' },
]

const counted = (part, whole, what) => whole ? `${count(part)} of ${plural(whole, what)} in the last minute` : null

export default function kinds(model, route) {
  return route.parts[0] ? one(new TextDecoder().decode(unpercent(route.parts[0]))) : all()
}

function all() {
  const table = new Table({ caption: 'Kinds', columns, keyOf: k => k.kind, sort: [0, false], className: 'dense first-sticks', empty: 'There are no kinds.' })
  const filter = h('input', { type: 'search', id: 'kind-filter', autocomplete: 'off', spellcheck: 'false', oninput: () => update(last) })
  const note = h('span', { class: 'note' })
  const el = h('div', null, h('div', { class: 'head' }, h('h1', null, 'Kinds'),
    h('p', { class: 'filter' }, h('label', { for: 'kind-filter' }, 'Only those with'), ' ', filter, ' ', note)), table.el)
  let last
  function update(model) {
    last = model
    const { state } = model
    const wanted = filter.value.trim().toLowerCase()
    table.update((state.kinds ?? []).filter(k => k.kind.toLowerCase().includes(wanted)))
    text(note, noteOf(state) + (state.kinds_left_out ? ` ${plural(state.kinds_left_out, 'kind is', 'kinds are')} left out.` : ''))
  }
  return { el, update }
}

function noteOf(state) {
  if (state.of_problem) return `There are no figures of ${visible(state.of)}: ${visible(state.of_problem)}`
  return state.of ? `As of ${visible(state.of)} alone.` : 'All nodes together. Shares, times and runs are those of the last minute.'
}

function one(kind) {
  const strips = [new Strip(visible(kind), ['requests', 'latency', 'errors', 'lesser']), new Strip(`${visible(kind)}, source`, ['runs', 'runLatency', 'runErrors', 'evicted'])]
  const note = h('p', { class: 'note' })
  const facts = h('dl', { class: 'facts' })
  const shown = columns.slice(2).map(c => ({ c, dd: h('dd') }))
  for (const { c, dd } of shown) facts.append(h('div', null, h('dt', null, c.head), dd, h('dd', { class: 'hint' }, c.hint)))
  const differs = h('p', { class: 'note' })
  const tags = h('span', { class: 'tags' })
  const el = h('div', { class: 'one-kind' }, h('p', { class: 'up' }, h('a', { href: link('kinds') }, 'All kinds')),
    h('h1', null, name(kind), tags), note, differs,
    section('Last 15 minutes', ...strips.map(s => s.whole)), section('Now', facts))
  return {
    el,
    update({ state, past }) {
      const k = (state.kinds ?? []).find(k => k.kind === kind)
      text(tags, tagsOf(k).filter(t => !t.startsWith('differs')).join(', '))
      text(note, k ? noteOf(state) : `No node has told of this kind${state.kinds_left_out ? ', or it is one of those that are left out' : ''}.`)
      fill(differs, k?.differs?.length ? ['It is not the same on ', ...k.differs.flatMap((n, i) => [i ? ', ' : '', name(n, nodeLink(n))]), '.'].map(x => x instanceof Node ? x : document.createTextNode(x)) : '', k?.differs?.join('\u0000'))
      differs.hidden = !k?.differs?.length
      for (const { c, dd } of shown) {
        text(dd, k ? c.text(k) : none)
        dd.classList.toggle('warned', Boolean(k && c.warn?.(k)))
      }
      if (past?.kinds.has(kind)) for (const s of strips) s.set(past.kinds.get(kind), past)
      for (const s of strips) s.whole.hidden = !past?.kinds.has(kind)
    },
    close: () => strips.forEach(s => s.close()),
  }
}
