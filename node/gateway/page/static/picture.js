// The picture of one id: the members in their order, who owns it, who is asked and who
// would stand in; and a strip of its last minute.

import { h, s, p, path, label, text, attr, keyed, div, span } from './dom.js'
import { clock, millis, plural, visible } from './format.js'
import { levelOf, name, nodeLink } from './parts.js'
import { timeTicks, round } from './scale.js'

const few = 14 // so many members are all shown

// chosen returns the members to show: all of a few, else those with a role, their
// neighbours and the ends. Where others are left out, it has their number.
function chosen(names, roles) {
  const near = new Set([0, names.length - 1])
  names.forEach((m, i) => roles.has(m.name) && [i - 1, i, i + 1].forEach(j => near.add(j)))
  const out = []
  names.forEach((m, i) => {
    if (names.length <= few || near.has(i)) out.push({ ...m, i })
    else if (out.at(-1).skipped) out.at(-1).skipped++
    else out.push({ skipped: 1, name: '\u0000' + i })
  })
  return out
}

function rolesOf(d, self) {
  const roles = new Map()
  const add = (member, role) => member && roles.set(member, [...(roles.get(member) ?? []), role])
  const acting = d.custody?.acting
  add(d.owner, 'owner')
  add(d.fallback, d.state === 'failed' ? 'stands in' : 'would stand in')
  if (acting !== d.owner && acting !== d.fallback) add(acting, 'acts for it')
  add(d.via, 'relays')
  add(d.asked, d.live ? 'asked, has it' : 'asked')
  add(self, 'this page')
  return roles
}

export function ringPicture() {
  const svg = s('svg', { class: 'ring-lines', width: 76, 'aria-hidden': 'true' }), note = p('note')
  const list = h('ol', { 'aria-label': 'Members in the order of the ring' })
  let draw = () => {}
  new ResizeObserver(() => draw()).observe(list)
  return {
    el: div(null, div('ring', svg, list), note),
    update(d, self = '') {
      const names = d.names ?? [], roles = rolesOf(d, self), shown = chosen(names, roles)
      keyed(list, shown, m => m.name, m => m.skipped ? h('li', { class: 'skipped' }) : h('li', null, span('index'), name(m.name, nodeLink(m.name)), span('role'), span()), (li, m) => {
        if (m.skipped) return text(li, plural(m.skipped, 'more member'))
        text(li.children[0], String((d.names_from ?? 0) + m.i))
        text(li.children[2], (roles.get(m.name) ?? []).join(', '))
        text(li.children[3], m.state === 'alive' ? '' : visible(m.state))
        attr(li.children[3], 'class', 'state ' + levelOf(m.state))
        attr(li, 'class', roles.has(m.name) && 'has-role')
      })
      text(note, way(d, self) + (names.length < d.members ? ` ${names.length} of ${plural(d.members, 'member')}, around the owner.` : ''))
      draw = () => drawRing(svg, list, shown, d, self)
      draw()
    },
  }
}

function way(d, self) {
  const [owner, asked, me] = [d.owner, d.asked, self].map(visible)
  return `A request at ${me} is answered by ${asked}` + (d.via ? ` by way of ${visible(d.via)}, ` : ', ') +
    (asked === owner ? 'the owner.' : d.asked === d.fallback ? `the stand-in of ${owner}.` : `as ${owner} cannot be reached.`)
}

function drawRing(svg, list, shown, d, self) {
  const at = new Map(shown.map((m, i) => [m.name, list.children[i].offsetTop + list.children[i].offsetHeight / 2]))
  if (!at.size) return
  const ys = [...at.values()], first = ys[0], end = ys.at(-1), x = 62
  attr(svg, 'height', list.offsetHeight)
  const parts = [path('track back', `M${x} ${end}C-2 ${end + 10} -2 ${first - 10} ${x} ${first}`), path('track', `M${x} ${first}V${end}`)]
  const arrow = (from, to, cls) => {
    const [a, b] = [at.get(from), at.get(to)]
    if (a === undefined || b === undefined) return
    const bend = x - 7 - Math.min(44, 14 + Math.abs(b - a) * 0.16)
    parts.push(path(cls, from === to ? `M${x - 6} ${a - 5}C${x - 32} ${a - 16} ${x - 32} ${a + 12} ${x - 12} ${a + 3}` : `M${x - 7} ${a}C${bend} ${a} ${bend} ${b} ${x - 12} ${b}`),
      path(cls + ' head', `M${x - 7} ${b + (from === to ? 2 : 0)}l-7 -3.5v7Z`))
  }
  if (d.fallback !== d.asked) arrow(d.owner, d.fallback, 'would')
  if (d.via && d.via !== d.asked) {
    arrow(self, d.via, 'goes')
    arrow(d.via, d.asked, 'goes')
  } else arrow(self, d.asked, 'goes')
  const disc = (cls, cy, r) => parts.push(s('circle', { class: cls, cx: x, cy, r }))
  for (const m of shown) {
    const y = at.get(m.name)
    if (m.skipped) parts.push(path('gap', `M${x} ${y - 9}V${y + 9}`))
    else disc('member' + (m.name === d.owner ? ' owner' : m.name === d.asked ? ' asked' : ''), y, m.name === d.owner ? 7 : m.name === d.fallback ? 5 : 4)
    if (m.name === d.owner) disc('core', y, 3)
    if (m.state === 'failed') parts.push(path('cross', `M${x - 5} ${y - 5}l10 10m0 -10l-10 10`))
  }
  svg.replaceChildren(...parts)
}

const height = 74, left = 46, right = 10, top = 8, bottom = 56
const steps = { kept: 'an answer that was kept', new: 'one that was made', bad: 'a failure' }
const kindOf = x => x.err ? 'bad' : x.cached ? 'kept' : 'new'
const shape = (kind, x, y) => ({ bad: `M${x - 3.5} ${y - 3.5}l7 7m0 -7l-7 7`, kept: `M${x} ${y - 3.5}v7`, new: `M${x} ${y - 3.5}a3.5 3.5 0 1 0 .01 0Z` })[kind]

export function minuteStrip() {
  const grid = path('grid'), unknown = path('hole'), marks = s('g'), axis = s('g')
  const svg = s('svg', { class: 'minute', height, role: 'img' }, unknown, grid, axis, marks)
  const legend = p('legend', ...Object.entries(steps).map(([k, words]) => span(null, s('svg', { viewBox: '0 0 12 12', 'aria-hidden': 'true' }, path('step ' + k, shape(k, 6, 6))), words)))
  const y = ms => round(bottom - Math.min(1, Math.log10(Math.max(1, ms)) / 4) * (bottom - top))
  return {
    el: div(null, svg, legend),
    update(list, now, since) {
      const width = svg.clientWidth || 400, span = 60_000, end = width - right
      const x = t => round(end - (now - t) / span * (end - left))
      const ticks = [1, 100, 10_000], times = timeTicks(now, span, span / 4)
      attr(grid, 'd', ticks.map(t => `M${left} ${y(t)}H${end}`).join('') + times.map(t => `M${x(t)} ${top}V${bottom}`).join(''))
      attr(unknown, 'd', since > now - span && `M${left} ${top}H${x(Math.min(now, since))}V${bottom}H${left}Z`)
      axis.replaceChildren(...ticks.map(t => label(left - 5, y(t) + 4, 'end', millis(t))), ...times.filter(t => x(t) > left + 20 && x(t) < end - 16).map(t => label(x(t), height - 4, 'middle', clock(t))))
      keyed(marks, list.filter(st => Date.parse(st.time) > now - span), st => st.key, st => path('step ' + kindOf(st)), (el, st) => attr(el, 'd', shape(kindOf(st), x(Math.min(now, Date.parse(st.time))), y(st.took_ms))))
      attr(svg, 'aria-label', `${plural(list.length, 'request')} in the last minute, ${list.filter(st => st.err).length} failed`)
    },
  }
}
