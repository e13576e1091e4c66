// Streams of a page: through the shared worker where the browser has one, else directly.
// A page that is hidden has none.

import { Feed } from './feed.js'

const open = new Set() // streams that the page wants
let numbers = 0
let port // of the worker; null: there is none

// subscribe calls on(name, data, ago) for each event of a stream, as Feed does, until the
// returned function is called. Ago is the age of the data in ms. URLs are relative to the
// page.
export function subscribe(url, on) {
  const stream = { url: new URL(url, document.baseURI).href, on }
  open.add(stream)
  if (!document.hidden) start(stream)
  return () => {
    open.delete(stream)
    stop(stream)
  }
}

function start(stream) {
  if (stream.number || stream.feed) return
  if (worker()) {
    stream.number = ++numbers
    port.postMessage({ number: stream.number, subscribe: stream.url })
  } else {
    stream.feed = new Feed(stream.url, (name, data) => stream.on(name, data, 0))
  }
}

function stop(stream) {
  if (stream.number) port?.postMessage({ number: stream.number })
  stream.feed?.close()
  stream.number = stream.feed = undefined
}

function worker() {
  if (port !== undefined) return port
  try {
    const version = document.querySelector('meta[name=distproc-version]')?.content ?? ''
    const w = new SharedWorker(new URL('shared.js', import.meta.url), { type: 'module', name: 'distproc ' + version })
    w.onerror = direct
    port = w.port
    const late = setTimeout(direct, 3000)
    port.onmessage = ({ data: m }) => {
      if (m.hello) clearTimeout(late)
      if (m.lost) return restart()
      for (const stream of open) if (m.number && stream.number === m.number) stream.on(m.name, m.data, m.ago)
    }
    setInterval(() => document.hidden || port?.postMessage({ alive: true }), 5000)
  } catch {
    port = null
  }
  return port
}

// direct gives up the worker, which does not start.
function direct() {
  if (!port) return
  port.onmessage = null
  port = null
  restart()
}

function restart() {
  for (const stream of open) {
    stream.number = undefined
    if (!document.hidden) start(stream)
  }
}

function visibility() {
  for (const stream of open) document.hidden ? stop(stream) : start(stream)
}

document.addEventListener('visibilitychange', visibility)
addEventListener('pagehide', () => open.forEach(stop))
addEventListener('pageshow', e => e.persisted && visibility())
