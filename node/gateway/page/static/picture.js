// The picture of one id: the members in their order, who owns it, who is asked and who
// would stand in; and a strip of its last minute.

import { h, s, text, attr, keyed } from './dom.js'
import { clock, millis, plural, visible } from './format.js'
import { levelOf, mark, name, nodeLink } from './parts.js'
import { timeTicks, round } from './scale.js'

const few = 14 // so many members are all shown

// chosen returns the members to show: all of a few, else those that play a role and their
// neighbours. Where some are left out, it has their number.
export function chosen(names, roles) {
  if (names.length <= few) return names.map((m, i) => ({ ...m, i }))
  const near = new Set([0, names.length - 1])
  names.forEach((m, i) => {
    if (!roles.has(m.name)) return
    for (let j = i - 1; j <= i + 1; j++) near.add((j + names.length) % names.length)
  })
  const out = []
  names.forEach((m, i) => {
    if (near.has(i)) out.push({ ...m, i })
    else if (out.at(-1)?.skipped) out.at(-1).skipped++
    else out.push({ skipped: 1, name: '\u0000' + i })
  })
  return out
}

// rolesOf returns what each member is to an id, in words.
export function rolesOf(d, self) {
  const roles = new Map()
  const add = (member, role) => member && roles.set(member, [...(roles.get(member) ?? []), role])
  add(d.owner, 'owner')
  if (d.fallback) add(d.fallback, d.state === 'failed' ? 'stands in' : 'would stand in')
  if (d.custody?.acting && d.custody.acting !== d.owner && d.custody.acting !== d.fallback) add(d.custody.acting, 'acts for it')
  add(d.via, 'relays')
  add(d.asked, d.live ? 'asked, has it' : 'asked')
  add(self, 'this page')
  return roles
}

export function ringPicture() {
  const svg = s('svg', { class: 'ring-lines', 'aria-hidden': 'true' })
  const list = h('ol', { class: 'ring-members', 'aria-label': 'Members in the order of the ring' })
  const note = h('p', { class: 'note' })
  const el = h('div', null, h('div', { class: 'ring' }, svg, list), note)
  let last
  const draw = () => last && drawRing(svg, list, ...last)
  const sizes = new ResizeObserver(draw)
  sizes.observe(list)
  return {
    el,
    update(d, self) {
      const names = (d.names ?? []).map(m => typeof m === 'string' ? { name: m } : m)
      const roles = rolesOf(d, self)
      const from = d.names_from ?? 0
      const shown = chosen(names, roles)
      keyed(list, shown, m => m.name, m => m.skipped ? h('li', { class: 'skipped' }) : h('li', null, h('span', { class: 'index' }), name(m.name, nodeLink(m.name)), h('span', { class: 'role' }), h('span', { class: 'state' })), (li, m) => {
        if (m.skipped) return text(li, `${plural(m.skipped, 'more member')}`)
        const state = m.state ?? ''
        text(li.children[0], String(from + m.i))
        text(li.children[2], (roles.get(m.name) ?? []).join(', '))
        text(li.children[3], state === 'alive' ? '' : visible(state))
        li.children[3].className = 'state ' + levelOf(state)
        li.classList.toggle('has-role', roles.has(m.name))
      })
      last = [shown, d, self]
      text(note, way(d, self) + (names.length < d.members ? ` ${plural(names.length, 'member')} of ${d.members} around the owner.` : ''))
      draw()
    },
  }
}

// way says how a request of this node goes.
function way(d, self) {
  const [owner, asked, me] = [d.owner, d.asked, self].map(visible)
  const to = asked === me ? `A request at this node is answered here` : `A request at ${me} goes to ${asked}` + (d.via ? ` by way of ${visible(d.via)}` : '')
  const why = asked === owner ? ', the owner.' : d.asked === d.fallback ? `, which stands in for the owner ${owner}.` : `: ${owner} and its stand-in cannot be reached.`
  return to + why
}

function drawRing(svg, list, shown, d, self) {
  const at = new Map()
  shown.forEach((m, i) => {
    const li = list.children[i]
    if (li) at.set(m.name, li.offsetTop + li.offsetHeight / 2)
  })
  if (!at.size) return
  const ys = [...at.values()]
  const [first, end, x, far] = [ys[0], ys.at(-1), 62, 10]
  attr(svg, 'height', list.offsetHeight)
  attr(svg, 'width', 76)
  const parts = [s('path', { class: 'track', d: `M${x} ${first}V${end}` })]
  if (ys.length > 2) parts.push(s('path', { class: 'track back', d: `M${x} ${end}C${far - 12} ${end + 10} ${far - 12} ${first - 10} ${x} ${first}` }))
  const arrow = (from, to, cls) => {
    if (!at.has(from) || !at.has(to)) return
    const [a, b] = [at.get(from), at.get(to)]
    if (from === to) { // a loop
      parts.push(s('path', { class: cls, d: `M${x - 6} ${a - 4}C${x - 30} ${a - 16} ${x - 30} ${a + 16} ${x - 8} ${a + 4}` }), head(x - 7, a + 4, cls, -0.5))
      return
    }
    const bend = Math.min(44, 14 + Math.abs(b - a) * 0.16)
    parts.push(s('path', { class: cls, d: `M${x - 7} ${a}C${round(x - 7 - bend)} ${a} ${round(x - 7 - bend)} ${b} ${x - 9} ${b}` }), head(x - 7, b, cls, 0))
  }
  if (d.fallback && d.fallback !== d.asked) arrow(d.owner, d.fallback, 'would')
  if (d.via && d.via !== d.asked) {
    arrow(self, d.via, 'goes')
    arrow(d.via, d.asked, 'goes')
  } else arrow(self, d.asked, 'goes')
  for (const m of shown) {
    const y = at.get(m.name)
    if (m.skipped) parts.push(s('path', { class: 'gap', d: `M${x} ${y - 9}V${y + 9}` }))
    else if (m.name === d.owner) parts.push(s('circle', { class: 'member owner', cx: x, cy: y, r: 7 }), s('circle', { class: 'core', cx: x, cy: y, r: 3 }))
    else parts.push(s('circle', { class: 'member' + (m.name === d.asked ? ' asked' : ''), cx: x, cy: y, r: m.name === d.fallback ? 5 : 4 }))
    if (m.state === 'failed') parts.push(s('path', { class: 'cross', d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` }))
  }
  svg.replaceChildren(...parts)
}

const head = (x, y, cls, turn) => s('path', { class: cls + ' head', d: 'M0 0L-7 -3.5V3.5Z', transform: `translate(${x} ${y}) rotate(${turn * 60})` })

// minuteStrip shows requests by when they came and how long they took.
export function minuteStrip() {
  const height = 74, left = 46, right = 10, top = 8, bottom = 56
  const grid = s('path', { class: 'grid' })
  const marks = s('g'), axis = s('g', { class: 'axis' }), unknown = s('path', { class: 'hole' })
  const svg = s('svg', { class: 'minute', height, role: 'img' }, unknown, grid, axis, marks)
  const legend = h('p', { class: 'legend' }, ...[['kept', 'an answer that was kept'], ['new', 'one that was made'], ['bad', 'a failure']].flatMap(([cls, words]) =>
    [s('svg', { viewBox: '0 0 12 12', class: 'step-key', 'aria-hidden': 'true' }, s('path', { class: 'step ' + cls, d: shape(cls, 6, 6) })), words + ' ']))
  const el = h('div', null, svg, legend)
  const ticks = [1, 100, 10_000]
  const y = ms => bottom - Math.min(1, Math.log10(Math.max(1, ms)) / 4) * (bottom - top)
  return {
    el,
    update(steps, now, since) {
      const width = svg.clientWidth || 400
      const x = t => round(left + (t - now + 60_000) / 60_000 * (width - left - right))
      attr(svg, 'viewBox', `0 0 ${width} ${height}`)
      const times = timeTicks(now, 60_000, 15_000)
      attr(grid, 'd', ticks.map(t => `M${left} ${Math.round(y(t)) + 0.5}H${width - right}`).join('') + times.map(t => `M${Math.round(x(t)) + 0.5} ${top}V${bottom}`).join(''))
      attr(unknown, 'd', since > now - 60_000 ? `M${left} ${top}H${Math.min(width - right, x(since))}V${bottom}H${left}Z` : '')
      axis.replaceChildren(...ticks.map(t => s('text', { x: left - 5, y: y(t) + 4, 'text-anchor': 'end' }, millis(t))),
        ...times.filter(t => x(t) > left + 20 && x(t) < width - 20).map(t => s('text', { x: x(t), y: height - 4, 'text-anchor': 'middle' }, clock(t))))
      keyed(marks, steps.filter(st => Date.parse(st.time) > now - 60_000), st => st.key, st => s('path', { class: 'step ' + clsOf(st) }), (p, st) => attr(p, 'd', shape(clsOf(st), x(Math.min(now, Date.parse(st.time))), round(y(st.took_ms)))))
      attr(svg, 'aria-label', `${plural(steps.length, 'request')} in the last minute, ${steps.filter(st => st.err).length} failed`)
    },
  }
}

const clsOf = st => st.err ? 'bad' : st.cached ? 'kept' : 'new'

function shape(cls, x, y) {
  if (cls === 'bad') return `M${x - 3.5} ${y - 3.5}l7 7m0 -7l-7 7`
  if (cls === 'kept') return `M${x} ${y - 3.5}V${y + 3.5}`
  return `M${x} ${y - 3.5}a3.5 3.5 0 1 0 .01 0Z`
}
