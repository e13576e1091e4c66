// Small multiples: charts of one kind side by side, with one cursor for all on the page.

import { h, s, p, path, label, text, attr, div, span } from './dom.js'
import { clock, percentage, rate, millis, none } from './format.js'
import { perSecond, ratio } from './history.js'
import * as scale from './scale.js'

const height = 92, top = 8, bottom = height - 17, left = 46
const steps = 180 // the axis is 15 minutes even of a node that is younger

// A chart has one line, or two: the second one is dashed. Of returns the values of a line.
const count = (title, list) => ({ title, write: rate, area: true, least: 1, lines: [['', (k, ms) => perSecond(k[list], ms)]] })
const part = (title, list, whole, more) => ({ title, write: percentage, least: 0.01, most: 1, area: true, cls: ' alarm', lines: [['', k => ratio(k[list], k[whole])]], ...more })
const charts = {
  requests: count('Requests per second', 'requests'),
  latency: { title: 'Latency', write: millis, lines: [['p99', k => k.p99_ms], ['p50', k => k.p50_ms]] },
  errors: part('Errors', 'failed', 'requests'),
  lesser: part('Answers', '', '', { area: false, cls: '', lines: [['stale', k => ratio(k.stale, k.requests)], ['degraded', k => ratio(k.degraded, k.requests)]] }),
  runs: count('Runs of the source per second', 'runs'),
  runLatency: { title: 'Run time, p99', write: millis, lines: [['', k => k.run_p99_ms]] },
  runErrors: part('Runs that failed', 'runs_failed', 'runs'),
  evicted: count('Evicted per second', 'evicted'),
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
    e.target.strip.visible = e.isIntersecting
    e.target.strip.draw()
  }
}, { rootMargin: '200px' })
const sizes = new ResizeObserver(entries => entries.forEach(e => e.target.strip.draw()))

// A Strip is the charts of one kind. It draws itself while it can be seen.
export class Strip {
  constructor(kind, names) {
    this.summary = p('vh')
    this.summary.id = 'sum' + ++Strip.count
    this.charts = names.map(name => new Chart(charts[name]))
    const point = e => this.point(e)
    this.el = h('div', {
      class: 'strip', role: 'slider', tabindex: 0, 'aria-label': `${kind}, last 15 minutes`, 'aria-describedby': this.summary.id, 'aria-valuemin': 0, 'aria-valuemax': steps - 1, 'aria-valuenow': steps - 1,
      onkeydown: e => this.key(e), onblur: () => moveCursor(null), onpointerleave: () => moveCursor(null), onpointermove: point, onpointerdown: point,
    }, ...this.charts.map(c => c.el))
    this.el.strip = this
    this.whole = div(null, this.el, this.summary)
    strips.add(this)
    seen.observe(this.el)
    sizes.observe(this.el)
  }

  // set takes the lists of the kind, and what is common to all kinds.
  set(kind, past) {
    if (this.kind === kind && this.past === past) return
    this.kind = kind
    this.past = past
    this.draw()
  }

  draw() {
    if (!this.visible || !this.past) return
    for (const c of this.charts) c.draw(this.kind, this.past)
    text(this.summary, this.charts.map(c => c.summary()).join(' '))
    this.showCursor()
  }

  showCursor() {
    if (!this.visible || !this.past) return
    const time = clock(Date.parse(this.past.end) - (cursor ?? 0) * this.past.step_ms)
    for (const c of this.charts) c.showCursor(time)
    attr(this.el, 'aria-valuenow', steps - 1 - (cursor ?? 0))
    attr(this.el, 'aria-valuetext', [time, ...this.charts.map(c => c.spec.title + ' ' + c.readout(', '))].join(', '))
  }

  point(e) {
    const chart = this.charts.find(c => c.svg.contains(e.target))
    if (!chart) return
    const box = chart.svg.getBoundingClientRect()
    const back = Math.floor((box.right - chart.right - e.clientX) / (box.width - left - chart.right) * steps)
    moveCursor(back < 0 || back >= steps ? null : back)
  }

  key(e) {
    const by = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: steps, End: -steps }[e.key]
    if (e.key === 'Escape') moveCursor(null)
    if (!by) return
    e.preventDefault()
    moveCursor(Math.min(steps - 1, Math.max(0, (cursor ?? (by > 0 ? -1 : 0)) + by)))
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
    const { title, cls = '', lines } = this.spec = spec
    this.right = lines.length > 1 ? 58 : 8
    this.value = span('value')
    this.svg = s('svg', { height, 'aria-hidden': 'true' },
      this.holes = path('hole'), this.grid = path('grid'), this.area = path('area' + cls),
      ...(this.lines = lines.map((_, i) => path('line' + (i ? ' dashed' : '') + cls))),
      this.words = s('g'), this.hair = path('hair'), this.dots = path('dots' + cls), this.when = label(0, height - 3, 'middle', ''))
    attr(this.when, 'class', 'when')
    this.el = h('figure', { class: 'chart' }, h('figcaption', null, h('span', { class: 'title', title }, title), this.value), this.svg)
  }

  draw(kind, past) {
    const { spec, right } = this
    const width = this.width = this.svg.clientWidth || 260
    const step = this.step = (width - left - right) / steps
    const fill = list => [...Array(steps - list.length).fill(null), ...list]
    this.data = spec.lines.map(([, of]) => fill(of(kind, past.step_ms)))
    const all = this.data.flat()
    let ticks
    if (spec.least) {
      const max = Math.min(spec.most ?? Infinity, scale.niceMax(Math.max(...all), spec.least))
      this.y = scale.linear(max, top, bottom)
      ticks = [0, max]
    } else {
      const [low, high] = ticks = scale.decades(all)
      this.y = scale.logarithmic(low, high, top, bottom)
      if (high / low < 10_001) for (let t = low * 10; t < high * 0.99; t *= 10) ticks.push(t)
    }
    const end = Date.parse(past.end), span = steps * past.step_ms
    const times = scale.timeTicks(end, span, span / 3)
    const x = t => scale.round(width - right - (end - t) / past.step_ms * step)
    this.svg.classList.toggle('zero', !all.some(v => v > 0))
    attr(this.grid, 'd', ticks.map(t => `M${left} ${scale.round(this.y(t))}H${width - right}`).join('') + times.map(t => `M${x(t)} ${top}V${bottom}`).join(''))
    attr(this.holes, 'd', scale.stepPath(fill(kind.requests).map(v => v === null ? 1 : null), left, step, () => top, bottom))
    attr(this.area, 'd', spec.area && scale.stepPath(this.data[0], left, step, this.y, bottom))
    this.lines.forEach((line, i) => attr(line, 'd', scale.stepPath(this.data[i], left, step, this.y)))
    const ends = scale.apart(this.data.map(list => this.y(list.findLast(v => v !== null) ?? 0)), 12, top + 3, bottom)
    this.words.replaceChildren(
      ...ticks.map(t => label(left - 5, scale.round(this.y(t)) + 4, 'end', spec.write(t).replace(/\.0$/, ''))),
      ...times.map(t => label(x(t), height - 3, 'middle', clock(t, false))),
      ...spec.lines.map(([name], i) => label(width - right + 5, scale.round(ends[i]) + 4, 'start', name)))
  }

  showCursor(time) {
    if (!this.data) return
    const at = steps - 1 - cursor, on = cursor !== null
    const x = scale.round(left + (at + 0.5) * this.step)
    attr(this.hair, 'd', on && `M${x} ${top}V${bottom}`)
    attr(this.dots, 'd', on && this.data.map(list => list[at] === null ? '' : `M${x} ${scale.round(this.y(list[at]))}h0`).join(''))
    attr(this.when, 'x', Math.min(x, this.width - 24))
    text(this.when, on ? time : '')
    text(this.value, this.readout('  '))
  }

  readout(between) {
    const write = (v, name) => `${name} ${v == null ? none : this.spec.write(v)}`.trim()
    return this.spec.lines.map(([name], i) => write(this.data?.[i][steps - 1 - cursor], name)).join(between)
  }

  summary() {
    const { title, lines, write } = this.spec
    return lines.map(([name], i) => {
      const known = this.data[i].filter(v => v !== null)
      return `${title} ${name}: ` + (known.length ? `from ${write(Math.min(...known))} to ${write(Math.max(...known))}, at the end ${write(known.at(-1))}.` : 'nothing known.')
    }).join(' ')
  }
}
