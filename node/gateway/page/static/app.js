// The page: which view is shown, whether what it shows is new, and keys.

import { text, tell, attr, keyed, h } from './dom.js'
import { age, clock, makeHash, parseHash, visible } from './format.js'
import * as history from './history.js'
import { ask, link } from './parts.js'
import { subscribe } from './stream.js'
import overview from './overview.js'
import kinds from './kinds.js'
import { ids, id } from './ids.js'
import ring from './ring.js'
import events from './events.js'

// A view has el; and maybe update (for a new model), route (for another query), close, and
// focus, which reports that it takes the focus itself.
const views = { overview, kinds, ids, id, ring, events }
const $ = name => document.getElementById(name)
const main = $('main'), tabs = [...$('tabs').children]

const model = { state: null, past: null }
let view, stop, streamURL
let shown = {} // the route of the view
let stateAt = performance.now() // when the node told the state; at first, when the page began to wait
let late = 0 // ticks for which the state has been old
let down = null // what is known of why the stream is not up; null if it is

function route() {
  const r = parseHash(location.hash)
  if (!Object.hasOwn(views, r.view)) r.view = 'overview'
  const before = shown
  shown = r
  listen(r)
  if (before.view === r.view && before.parts.join('/') === r.parts.join('/')) view.route?.(r)
  else show(r, before.view)
  const tab = r.view === 'id' ? 'ids' : r.view
  for (const a of tabs) {
    const name = parseHash(a.hash).view
    attr(a, 'aria-current', name === tab && 'page')
    attr(a, 'href', link(name))
  }
  update()
}

function show(r, moved) {
  const onTab = tabs.includes(document.activeElement)
  view?.close?.()
  view = views[r.view](model, r)
  main.replaceChildren(view.el)
  if (!moved) return
  scrollTo(0, 0)
  if (!view.focus?.() && !onTab) main.focus({ preventScroll: true })
}

function listen(r) {
  const of = r.query.get('node')
  const url = 'page/stream?' + new URLSearchParams({ ...of && { node: of }, ...r.view === 'ids' && { hot: true } })
  if (url === streamURL) return
  streamURL = url
  stop?.()
  model.past = null
  stop = subscribe(url, take)
}

function take(name, data, ago) {
  if (name === 'state') {
    if (anew(data)) return location.reload()
    stateAt = performance.now() - ago
    model.state = data
  }
  if (name === 'past') model.past = history.past(data)
  if (name === 'step') model.past = history.step(model.past, data) ?? model.past
  if (name === 'up') down = null
  if (name === 'down') down = data
  if (name === 'state') tick()
  if (name === 'gone' || data?.status === 401) ask('page/session').catch(() => {}) // which leads to the form if the session has ended
  update()
}

// anew reports, once for each, whether the node has started anew, maybe as another version.
function anew(state) {
  const now = state.run + ' ' + state.version
  model.run ??= now
  if (now === model.run || document.querySelector('dialog[open]')) return false
  try {
    if (sessionStorage.getItem('distproc-run') === now) return false
    sessionStorage.setItem('distproc-run', now)
    return true
  } catch {
    return false // it could not know that it has reloaded already
  }
}

// tick shows whether the state is old: the node tells it each second, or as seldom as it
// asks the members.
function tick() {
  const { state } = model, since = performance.now() - stateAt
  late = since > Math.max(1000, state?.every_ms ?? 0) + 1250 || (down && (since > 1200 || down.detail)) ? late + 1 : 0
  const old = late > 1 // and not only late because the browser was busy
  document.body.classList.toggle('old', old)
  $('trouble').hidden = !old
  $('live').hidden = old || !state
  if (!old) return
  text($('trouble-text'), `${visible($('self').textContent)}: ${down?.detail ? visible(down.detail) : 'no answer. The page tries again.'}`)
  tell($('trouble-age'), state && `What is below is as of ${clock(Date.parse(state.time))}, ${age(since)} ago.`)
}
setInterval(() => document.hidden || tick(), 250)

function update() {
  const { state } = model
  if (!state) return
  const self = visible(state.node)
  text($('self'), self)
  const bad = (state.attention ?? []).filter(a => a.level !== 'info').length
  document.title = `${bad ? `(${bad}) ` : ''}${self} – distproc`
  chooser(state)
  view.update?.(model)
}

function chooser(state) {
  const of = shown.query.get('node') ?? '', select = $('of')
  if (document.activeElement === select && select.options.length) return // it may be open
  keyed(select, ['', ...new Set([...(state.members ?? []).map(m => m.name), of])].filter((n, i) => n || !i), n => n, n => h('option', { value: n }, visible(n) || 'all nodes'))
  select.value = of
}

$('of').addEventListener('change', e => {
  const r = parseHash(location.hash)
  location.hash = makeHash(shown.view, r.parts, { ...Object.fromEntries(r.query), node: e.target.value })
})

const scheme = $('scheme'), root = document.documentElement
scheme.value = root.dataset.scheme ?? ''
scheme.addEventListener('change', () => {
  root.dataset.scheme = scheme.value
  try {
    localStorage.setItem('distproc-scheme', scheme.value)
  } catch {
    // It holds while the page is open.
  }
})

$('skip').addEventListener('click', e => {
  e.preventDefault()
  main.focus()
})
$('keys').addEventListener('click', () => $('help').showModal())

addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || document.querySelector('dialog[open]') || e.target.closest('input, select')) return
  const at = tabs.indexOf(e.target), by = { ArrowLeft: -1, ArrowRight: 1 }[e.key]
  if (e.key >= '1' && e.key <= '5') location.hash = tabs[e.key - 1].hash
  else if (e.key === '?') $('help').showModal()
  else if (e.key === '/') {
    e.preventDefault()
    if ($('look-id')) $('look-id').select()
    else location.hash = link('ids', [], { look: 1 })
  } else if (at >= 0 && by) tabs.at((at + by) % tabs.length).focus()
})
addEventListener('hashchange', route)

for (const name of ['tabs', 'tools']) $(name).hidden = false
route()
