// Small multiples: charts of one kind side by side, with one cursor for all on the page.

import { h, s, text, attr } from './dom.js'
import { clock, percentage, rate, millis, none, age } from './format.js'
import { perSecond, ratio } from './history.js'
import * as scale from './scale.js'

const height = 92, top = 8, bottom = height - 17, left = 46, right = 58
const minute = 60_000

// A chart has lines; an odd one is dashed. Values of a share are from 0 to 1.
export const charts = {
  requests: { title: 'Requests per second', write: rate, lines: [{ name: '', of: (k, ms) => perSecond(k.requests, ms) }], area: true },
  latency: { title: 'Answer time', write: millis, log: true, lines: [{ name: 'p99', of: k => k.p99_ms }, { name: 'p50', of: k => k.p50_ms }] },
  errors: { title: 'Errors', write: percentage, alarm: true, area: true, least: 0.01, lines: [{ name: '', of: k => ratio(k.failed, k.requests) }] },
  lesser: { title: 'Stale and degraded', write: percentage, least: 0.01, lines: [{ name: 'stale', of: k => ratio(k.stale, k.requests) }, { name: 'degraded', of: k => ratio(k.degraded, k.requests) }] },
  runs: { title: 'Runs of the source per second', write: rate, lines: [{ name: '', of: (k, ms) => perSecond(k.runs, ms) }], area: true },
  runLatency: { title: 'Run time, p99', write: millis, log: true, lines: [{ name: '', of: k => k.run_p99_ms }] },
  runErrors: { title: 'Runs that failed', write: percentage, alarm: true, area: true, least: 0.01, lines: [{ name: '', of: k => ratio(k.runs_failed, k.runs) }] },
  evicted: { title: 'Evicted per second', write: rate, lines: [{ name: '', of: (k, ms) => perSecond(k.evicted, ms) }], area: true },
}

const strips = new Set() // that are on the page
let cursor = null // steps before the newest one

function moveCursor(at) {
  if (at === cursor) return
  cursor = at
  for (const strip of strips) strip.showCursor()
}

const seen = new IntersectionObserver(entries => {
  for (const e of entries) {
    const strip = e.target.strip
    strip.visible = e.isIntersecting
    if (strip.visible) strip.draw()
  }
}, { rootMargin: '200px' })

const sizes = new ResizeObserver(entries => entries.forEach(e => e.target.strip.draw()))

// A Strip is the charts of one kind. It draws itself while it can be seen.
export class Strip {
  constructor(kind, names) {
    this.summary = h('p', { class: 'vh' })
    this.summary.id = 'sum' + ++Strip.count
    this.charts = names.map(name => new Chart(charts[name]))
    this.el = h('div', {
      class: 'strip', role: 'slider', tabindex: 0, 'aria-label': `${kind}, last 15 minutes`, 'aria-describedby': this.summary.id,
      'aria-valuemin': 0, 'aria-valuemax': 0, 'aria-valuenow': 0,
      onkeydown: e => this.key(e), onblur: () => moveCursor(null), onpointerleave: () => document.activeElement !== this.el && moveCursor(null),
      onpointermove: e => this.point(e), onpointerdown: e => this.point(e),
    }, ...this.charts.map(c => c.el))
    this.el.strip = this
    this.whole = h('div', null, this.el, this.summary)
    strips.add(this)
    seen.observe(this.el)
    sizes.observe(this.el)
  }

  // set takes the lists of the kind and what is common to all kinds.
  set(kind, past) {
    if (this.kind === kind && this.past === past) return
    this.kind = kind
    this.past = past
    this.draw()
  }

  draw() {
    if (!this.visible || !this.past || !this.kind) return
    for (const c of this.charts) c.draw(this.kind, this.past)
    text(this.summary, this.charts.map(c => c.summary()).join(' '))
    this.showCursor()
  }

  showCursor() {
    if (!this.visible || !this.past) return
    const n = this.past.steps
    const at = cursor === null || cursor >= n ? null : n - 1 - cursor
    for (const c of this.charts) c.showCursor(at)
    const end = Date.parse(this.past.end) - (cursor ?? 0) * this.past.step_ms
    attr(this.el, 'aria-valuemax', Math.max(0, n - 1))
    attr(this.el, 'aria-valuenow', at ?? Math.max(0, n - 1))
    attr(this.el, 'aria-valuetext', `${clock(end)}: ` + this.charts.map(c => c.readout(at ?? n - 1)).join(', '))
  }

  point(e) {
    const svg = e.target.closest('svg')
    if (!svg || !this.past?.steps) return moveCursor(null)
    const box = svg.getBoundingClientRect()
    const at = Math.floor((e.clientX - box.left - left) / (box.width - left - right) * this.past.steps)
    moveCursor(at < 0 || at >= this.past.steps ? null : this.past.steps - 1 - at)
  }

  key(e) {
    const n = this.past?.steps ?? 0
    const by = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: n, End: -n }[e.key]
    if (e.key === 'Escape') return moveCursor(null)
    if (!by || !n) return
    e.preventDefault()
    e.stopPropagation()
    moveCursor(Math.min(n - 1, Math.max(0, (cursor ?? (by > 0 ? -1 : 0)) + by)))
  }

  close() {
    strips.delete(this)
    seen.unobserve(this.el)
    sizes.unobserve(this.el)
  }
}
Strip.count = 0

// A Chart is one of them: its caption says the newest values, or those at the cursor.
class Chart {
  constructor(spec) {
    this.spec = spec
    this.value = h('span', { class: 'value' })
    this.when = h('span', { class: 'when' })
    this.svg = s('svg', { height, 'aria-hidden': 'true' },
      this.holes = s('path', { class: 'hole' }),
      this.grid = s('path', { class: 'grid' }),
      this.area = spec.area ? s('path', { class: spec.alarm ? 'area alarm' : 'area' }) : null,
      ...(this.lines = spec.lines.map((_, i) => s('path', { class: 'line' + (i % 2 ? ' dashed' : '') + (spec.alarm ? ' alarm' : '') }))),
      this.axis = s('g', { class: 'axis' }),
      this.names = s('g', { class: 'names' }),
      this.hair = s('path', { class: 'hair' }),
      this.dots = s('path', { class: 'dots' + (spec.alarm ? ' alarm' : '') }))
    this.el = h('figure', { class: 'chart' }, h('figcaption', null, h('span', { class: 'title' }, spec.title), this.value, this.when), this.svg)
  }

  draw(kind, past) {
    const { spec } = this
    this.data = spec.lines.map(l => l.of(kind, past.step_ms))
    this.past = past
    const width = this.width = this.svg.clientWidth || 260
    const n = past.steps
    const span = 180 * past.step_ms // the axis is 15 minutes even of a node that is younger
    const step = this.step = (width - left - right) / 180
    const start = this.start = left + (180 - n) * step
    const all = this.data.flat()
    let ticks
    if (spec.log) {
      const [low, high] = scale.decades(all)
      this.y = scale.logarithmic(low, high, top, bottom)
      ticks = [low, high]
      for (let t = low * 10; t < high * 0.99 && ticks.length < 5; t *= 10) if (Math.log10(high / low) < 4) ticks.push(t)
    } else {
      const max = Math.min(spec.write === percentage ? 1 : Infinity, scale.niceMax(Math.max(0, ...all), spec.least ?? 1))
      this.y = scale.linear(max, top, bottom)
      ticks = [0, max]
    }
    const end = Date.parse(past.end)
    const times = scale.timeTicks(end, span, 5 * minute)
    const x = t => scale.round(left + (t - (end - span)) / span * (width - left - right))
    attr(this.svg, 'viewBox', `0 0 ${width} ${height}`)
    attr(this.grid, 'd', ticks.map(t => `M${left} ${Math.round(this.y(t)) + 0.5}H${width - right}`).join('') + times.map(t => `M${Math.round(x(t)) + 0.5} ${top}V${bottom}`).join(''))
    const holes = scale.runs([...Array(180 - n).fill(null), ...kind.requests], v => v === null)
    attr(this.holes, 'd', holes.map(([a, b]) => `M${scale.round(left + a * step)} ${top}H${scale.round(left + b * step)}V${bottom}H${scale.round(left + a * step)}Z`).join(''))
    this.lines.forEach((line, i) => attr(line, 'd', scale.stepPath(this.data[i], start, step, this.y)))
    if (this.area) attr(this.area, 'd', scale.areaPath(this.data[0], start, step, this.y, bottom))
    this.axis.replaceChildren(
      ...ticks.map(t => s('text', { x: left - 5, y: Math.round(this.y(t)) + 4, 'text-anchor': 'end' }, spec.write(t))),
      ...times.map(t => s('text', { x: x(t), y: height - 3, 'text-anchor': 'middle' }, clock(t, false))))
    const ends = this.data.map(list => this.y(list.findLast(v => v !== null) ?? 0))
    this.names.replaceChildren(...spec.lines.length < 2 ? [] : scale.apart(ends, 12, top + 3, bottom).map((y, i) =>
      s('text', { x: width - right + 5, y: scale.round(y) + 4 }, spec.lines[i].name)))
  }

  showCursor(at) {
    if (!this.data) return
    const n = this.past.steps
    const x = at === null ? 0 : scale.round(this.start + (at + 0.5) * this.step)
    attr(this.hair, 'd', at === null ? '' : `M${x} ${top}V${bottom}`)
    attr(this.dots, 'd', at === null ? '' : this.data.map(list => list[at] === null ? '' : `M${x} ${scale.round(this.y(list[at]))}h0`).join(''))
    text(this.value, this.readout(at ?? n - 1, true))
    text(this.when, at === null ? '' : clock(Date.parse(this.past.end) - (n - 1 - at) * this.past.step_ms))
  }

  readout(at, short) {
    if (!this.data) return ''
    const { spec } = this
    const parts = spec.lines.map((l, i) => (l.name && l.name + ' ') + (this.data[i][at] == null ? none : spec.write(this.data[i][at])))
    return short ? parts.join('  ') : spec.title + ' ' + parts.join(', ').replaceAll(none, 'unknown')
  }

  // summary says in words what the chart shows.
  summary() {
    const { spec } = this
    return spec.lines.map((l, i) => {
      const known = this.data[i].filter(v => v !== null)
      const title = spec.title + (l.name && ', ' + l.name)
      if (!known.length) return `${title}: nothing known in the last 15 minutes.`
      return `${title}: from ${spec.write(Math.min(...known))} to ${spec.write(Math.max(...known))}, at the end ${spec.write(known.at(-1))}, known for ${age(known.length * this.past.step_ms)}.`
    }).join(' ')
  }
}
