// What each kind does now and did in the last minute; and one kind with its graphs.

import { h, p, text, div, span } from './dom.js'
import { age, bytes, count, plural, quantile, rate, share, unpercent, visible, none } from './format.js'
import { Table, filterBox, kindLink, link, name, named, num, ofProblem, section } from './parts.js'
import { Strip } from './chart.js'
import { tagsOf } from './overview.js'

// minute is a column of what is counted in the last minute, portion one of a part of it.
const minute = (head, name, hint, more) => num(head, hint + ', last minute', k => k.minute?.[name], count, more)
const portion = (head, part, whole, hint, alarm) => minute(head, part, hint, {
  sort: k => k.minute?.[part] / k.minute?.[whole] || 0,
  text: k => share(k.minute?.[part], k.minute?.[whole]),
  title: k => k.minute?.[whole] > 0 && `${count(k.minute[part])} of ${count(k.minute[whole])} in the last minute`,
  warn: k => alarm && k.minute?.[part] > 0,
})
const bound = (head, name, hint) => minute(head, name + '_ms', hint, { text: k => quantile(k.minute?.[name + '_ms'], k.minute?.[name + '_over']) })

const columns = [
  named('Kind', k => k.kind, kindLink),
  { head: 'Type', text: k => [k.strict ? 'strict' : k.serial && 'serial', k.differs?.length > 0 && 'differs'].filter(Boolean).join(', '), title: k => k.differs?.length > 0 && `on ${k.differs.map(visible).join(', ')}`, warn: k => k.differs?.length, hint: 'Serial kinds take calls; one that differs is not the same on all nodes' },
  num('Req/s', 'Requests per second over the last 5 s', k => k.rate, rate),
  portion('Failed', 'failed', 'requests', 'Requests that failed', true),
  portion('Degraded', 'degraded', 'requests', 'Requests that another node than the owner answered'),
  portion('Stale', 'stale', 'requests', 'Requests that got an old value'),
  bound('p50', 'p50', 'Half of the requests took at most this long'),
  bound('p99', 'p99', '99 % of the requests took at most this long'),
  minute('Runs', 'runs', 'Runs of the source, or of a server'),
  portion('Runs failed', 'runs_failed', 'runs', 'Runs that failed', true),
  bound('Run p50', 'run_p50', 'Half of the runs took at most this long'),
  bound('Run p99', 'run_p99', '99 % of the runs took at most this long'),
  num('Running', 'Runs that go on, of those that may go on at a time', k => k.running, count, { text: k => count(k.running) + (k.concurrency ? ` of ${count(k.concurrency)}` : ''), warn: k => k.concurrency && k.running >= k.concurrency }),
  num('Queued', 'Runs that wait for others to end', k => k.queued, count, { warn: k => k.queued > 0 }),
  num('Waiting', 'Calls that wait for a worker', k => k.waiting),
  num('Longest', 'The most calls that wait for one id', k => k.longest),
  num('Stuck', 'Runs that go on although their time is up', k => k.stuck, count, { title: k => k.stuck > 0 && `for ${age(k.stuck_ms)}`, warn: k => k.stuck > 0 }),
  num('Workers', 'Live workers', k => k.workers),
  num('Values', 'Memory of the values, and its share of what they may take', k => k.bytes, bytes, { text: k => bytes(k.bytes) + (k.max_bytes ? `, ${share(k.bytes, k.max_bytes)}` : ''), title: k => k.max_bytes > 0 && `of ${bytes(k.max_bytes)}`, warn: k => k.max_bytes && k.bytes > 0.95 * k.max_bytes }),
  minute('Evicted', 'evicted', 'Workers that went before their time for lack of memory', { warn: k => k.minute?.evicted > 0 }),
  num('Nodes', 'Nodes that have the kind', k => k.nodes),
]

export default function kinds(model, route) {
  return route.parts[0] ? one(new TextDecoder().decode(unpercent(route.parts[0]))) : all()
}

function all() {
  const table = new Table({ caption: 'Kinds', columns, keyOf: k => k.kind, sort: [0, false], cls: 'dense', empty: 'There are no kinds.' })
  const filter = filterBox('Only those with', () => update(last))
  const note = p('note')
  let last
  function update(model) {
    last = model
    const { state } = model
    table.update((state.kinds ?? []).filter(k => filter.has(k.kind)))
    text(note, noteOf(state) + (state.kinds_left_out ? ` ${plural(state.kinds_left_out, 'kind is', 'kinds are')} left out.` : ''))
  }
  return { el: div(null, div('head', h('h1', null, 'Kinds'), filter.el, note), table.el), update }
}

function noteOf(state) {
  return ofProblem(state) || (state.of ? `Of ${visible(state.of)} alone.` : 'All nodes together.') + ' Shares, times and runs are those of the last minute.'
}

function one(kind) {
  const strips = [new Strip(visible(kind), ['requests', 'latency', 'errors', 'lesser']), new Strip(`${visible(kind)}, source`, ['runs', 'runLatency', 'runErrors', 'evicted'])]
  const note = p('note'), tags = span('tags')
  const shown = columns.slice(2).map(c => ({ c, dd: h('dd') }))
  const facts = h('dl', { class: 'facts' }, ...shown.map(({ c, dd }) => div(null, h('dt', null, c.head), dd, h('dd', { class: 'hint' }, c.hint))))
  const el = div('one-kind', p('up', h('a', { href: link('kinds') }, 'All kinds')),
    h('h1', null, name(kind), tags), note,
    section('Last 15 minutes', ...strips.map(s => s.whole)), section('Now', facts))
  return {
    el,
    update({ state, past }) {
      const k = (state.kinds ?? []).find(k => k.kind === kind)
      text(tags, tagsOf(k).join(', '))
      text(note, k ? noteOf(state) : 'No node has told of this kind, or it is left out.')
      for (const { c, dd } of shown) {
        text(dd, k ? c.text(k) : none)
        dd.classList.toggle('warned', Boolean(k && c.warn?.(k)))
      }
      for (const s of strips) {
        s.whole.hidden = !past?.kinds.has(kind)
        if (past?.kinds.has(kind)) s.set(past.kinds.get(kind), past)
      }
    },
    close: () => strips.forEach(s => s.close()),
  }
}
