// Streams of a page: through the shared worker where the browser has one, else directly.
// A page that is hidden has none.

import { Feed } from './feed.js'

const streams = new Set() // that the page wants
let numbers = 0
let port // of the worker; null: there is none

// subscribe calls on(name, data, ago) for each event of a stream, as Feed does, until the
// returned function is called. Ago is the age of the data in ms.
export function subscribe(url, on) {
  const stream = { url: new URL(url, document.baseURI).href, on }
  streams.add(stream)
  if (!document.hidden) start(stream)
  return () => {
    streams.delete(stream)
    stop(stream)
  }
}

function start(stream) {
  if (stream.number || stream.feed) return
  if (port === undefined) connect()
  if (port) port.postMessage({ number: stream.number = ++numbers, url: stream.url })
  else stream.feed = new Feed(stream.url, (name, data) => stream.on(name, data, 0))
}

function stop(stream) {
  if (stream.number) port?.postMessage({ number: stream.number })
  stream.feed?.close()
  stream.number = stream.feed = undefined
}

function connect() {
  port = null
  if (!self.SharedWorker) return
  const version = document.querySelector('meta[name=distproc-version]').content
  const worker = new SharedWorker(new URL('shared.js', import.meta.url), { type: 'module', name: 'distproc ' + version })
  port = worker.port
  worker.onerror = direct
  port.onmessage = ({ data: m }) => {
    if (m.lost) restart()
    for (const stream of streams) if (m.name && stream.number === m.number) stream.on(m.name, m.data, m.ago)
  }
  setInterval(() => document.hidden || port?.postMessage({}), 5000)
}

// direct gives up the worker, which does not start.
function direct() {
  if (!port) return
  port.onmessage = port = null
  restart()
}

function restart() {
  for (const stream of streams) stream.number = undefined
  visibility()
}

const visibility = () => streams.forEach(document.hidden ? stop : start)

document.addEventListener('visibilitychange', visibility)
addEventListener('pagehide', () => streams.forEach(stop))
addEventListener('pageshow', e => e.persisted && visibility())
