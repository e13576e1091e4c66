// The page: which view is shown, whether what it shows is new, and keys.

import { h, text, attr, keyed } from './dom.js'
import { age, clock, makeHash, parseHash, visible } from './format.js'
import * as history from './history.js'
import { link } from './parts.js'
import { subscribe } from './stream.js'
import overview from './overview.js'
import kinds from './kinds.js'
import { ids, id } from './ids.js'
import ring from './ring.js'
import events from './events.js'

const views = { overview, kinds, ids, id, ring, events }
const tabOf = view => view === 'id' ? 'ids' : view
const $ = name => document.getElementById(name)
const main = $('main')

// The model is what the views show.
const model = { state: null, past: null, route: null }
let view // that is shown: {el, update, close}
let stop // the stream
let streamURL
let stateAt = -Infinity // when the node told the state, by performance.now()
let up = true // until something says otherwise
let down = {} // why not

const began = performance.now()

function route() {
  const r = parseHash(location.hash)
  if (!Object.hasOwn(views, r.view)) r.view = 'overview'
  const before = model.route
  model.route = r
  const of = r.query.get('node') ?? ''
  listen(of, r.view === 'ids')
  const same = view && before.view === r.view && before.parts.join('/') === r.parts.join('/')
  if (same && view.route) view.route(r)
  else if (!same) show(r, Boolean(before))
  for (const a of $('tabs').children) {
    const name = parseHash(a.hash).view
    attr(a, 'aria-current', name === tabOf(r.view) ? 'page' : null)
    attr(a, 'href', makeHash(name, [], { node: of }))
  }
  update()
}

function show(r, moved) {
  view?.close?.()
  view = views[r.view](model, r)
  const lost = !$('tabs').contains(document.activeElement)
  main.replaceChildren(view.el)
  if (moved) {
    scrollTo(0, 0)
    if (lost && !view.focus?.()) main.focus({ preventScroll: true })
  }
}

function listen(of, hot) {
  const q = new URLSearchParams()
  if (of) q.set('node', of)
  if (hot) q.set('hot', 'true')
  const url = 'page/stream' + (q.size ? '?' + q : '')
  if (url === streamURL) return
  streamURL = url
  stop?.()
  model.past = null
  stop = subscribe(url, take)
}

function take(name, data, ago) {
  switch (name) {
    case 'state':
      if (anew(data)) return
      stateAt = performance.now() - ago
      model.state = data
      model.at = stateAt
      break
    case 'past':
      model.past = history.past(data)
      break
    case 'step':
      model.past = history.step(model.past, data) ?? model.past
      break
    case 'up':
      up = true
      down = {}
      break
    case 'down':
      up = false
      down = data ?? {}
      if (down.status === 401) signIn()
      break
    case 'gone':
      check()
      break
    default:
      return
  }
  update()
}

// anew reloads the page once if the node has started anew, maybe as another version.
function anew(state) {
  const now = state.run + ' ' + state.version
  model.run ??= now
  if (now === model.run || document.querySelector('dialog[open]')) return false
  try {
    if (sessionStorage.getItem('distproc-run') === now) return false
    sessionStorage.setItem('distproc-run', now)
  } catch {
    return false // it could not know that it has reloaded already
  }
  location.reload()
  return true
}

// check asks whether the session goes on.
async function check() {
  try {
    const r = await fetch('page/session', { signal: AbortSignal.timeout(3000) })
    if (r.status === 401) signIn()
  } catch {
    // The node is gone, which the page says anyway.
  }
}

let leaving = false
function signIn() {
  if (leaving) return
  leaving = true
  location.reload() // what answers now is the form
}

// tick says once in a while how old the state is. It may be as old as the node needs to ask
// its members, and 1.5 s more.
function tick() {
  if (document.hidden) return
  const since = performance.now() - Math.max(stateAt, began)
  const every = Math.max(1000, model.state?.every_ms ?? 1000)
  const old = since > every + 1500 || (!up && since > 1200) || (!up && down.detail)
  document.body.classList.toggle('old', Boolean(old))
  $('trouble').hidden = !old
  $('live').hidden = Boolean(old) || !model.state
  if (!old) return
  const node = visible(model.state?.node ?? $('self').textContent)
  text($('trouble-text'), down.detail ? `${node}: ${visible(down.detail)}` : `${node} does not answer. The page tries again.`)
  text($('trouble-age'), model.state ? `What is below is as of ${clock(Date.parse(model.state.time))}, ${age(since)} ago.` : '')
}
setInterval(tick, 250)
document.addEventListener('visibilitychange', () => { if (!document.hidden) tick() })

function update() {
  const { state } = model
  tick()
  if (!state) return
  text($('self'), visible(state.node))
  text($('live'), 'live')
  attr($('live'), 'title', `${visible(state.version)}. ${state.pages} open pages. The node asks the others every ${state.every_ms} ms.`)
  const bad = (state.attention ?? []).filter(a => a.level !== 'info').length
  document.title = (bad ? `(${bad}) ` : '') + `${visible(state.node)} – distproc`
  chooser(state)
  view?.update?.(model)
}

function chooser(state) {
  const select = $('of')
  const of = model.route.query.get('node') ?? ''
  const names = (state.members ?? []).map(m => m.name)
  if (of && !names.includes(of)) names.push(of)
  if (document.activeElement !== select || select.options.length !== names.length + 1) {
    keyed(select, ['', ...names], n => n, n => h('option', { value: n }, n ? visible(n) : 'all nodes'))
  }
  if (document.activeElement !== select && select.value !== of) select.value = of
}

$('of').addEventListener('change', e => {
  const r = parseHash(location.hash) // a view may have changed its query
  location.hash = makeHash(r.view || 'overview', r.parts, { ...Object.fromEntries(r.query), node: e.target.value })
})

$('scheme').value = document.documentElement.dataset.scheme ?? ''
$('scheme').addEventListener('change', e => {
  const scheme = e.target.value
  if (scheme) document.documentElement.dataset.scheme = scheme
  else delete document.documentElement.dataset.scheme
  try {
    localStorage.setItem('distproc-scheme', scheme)
  } catch {
    // It holds until the page is left.
  }
})

$('skip').addEventListener('click', e => {
  e.preventDefault()
  main.focus()
})
$('keys').addEventListener('click', () => $('help').showModal())

addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || document.querySelector('dialog[open]')) return
  if (e.target.closest('input, select, textarea')) return
  const tabs = [...$('tabs').children]
  if (e.key >= '1' && e.key <= '5') location.hash = tabs[e.key - 1].hash
  else if (e.key === '?') $('help').showModal()
  else if (e.key === '/') {
    e.preventDefault()
    const box = document.getElementById('look-id')
    if (box) box.select()
    else location.hash = link('ids', [], { look: '1' })
  } else if (e.target.closest('#tabs') && (e.key === 'ArrowLeft' || e.key === 'ArrowRight')) {
    const at = tabs.indexOf(e.target) + (e.key === 'ArrowRight' ? 1 : -1)
    tabs[(at + tabs.length) % tabs.length].focus()
  }
})
addEventListener('hashchange', route)

for (const name of ['tabs', 'tools']) $(name).hidden = false
route()
