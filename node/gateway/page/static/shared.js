// The shared worker of all windows of a browser. A browser has six connections to a host,
// so windows that want the same stream share one. A page names its subscriptions by number.

import { Feed } from './feed.js'

const maxFeeds = 4 // so that two connections are left for everything else
const patience = 20000 // ms; a page says every 5 s that it lives

const feeds = new Map() // by URL: {feed, readers: Set of [page, number]}
const pages = new Set()
const waiting = [] // [page, number, url]: there are too many feeds already

function tell(reader, name, data, ago = 0) {
  reader[0].port.postMessage({ number: reader[1], name, data, ago })
}

function subscribe(page, number, url) {
  const reader = [page, number]
  let entry = feeds.get(url)
  if (!entry && feeds.size >= maxFeeds) {
    waiting.push([page, number, url])
    tell(reader, 'down', { status: 0, detail: 'Other windows of this browser watch other things, and it has too few connections. Close some of them.' })
    return
  }
  if (!entry) {
    entry = { readers: new Set() }
    feeds.set(url, entry)
    entry.feed = new Feed(url, (name, data) => entry.readers.forEach(r => tell(r, name, data)))
  }
  entry.readers.add(reader)
  page.subscriptions.set(number, [url, reader])
  entry.feed.recall((name, data, ago) => tell(reader, name, data, ago))
}

function unsubscribe(page, number) {
  const at = waiting.findIndex(w => w[0] === page && w[1] === number)
  if (at >= 0) waiting.splice(at, 1)
  const [url, reader] = page.subscriptions.get(number) ?? []
  if (!url) return
  page.subscriptions.delete(number)
  const entry = feeds.get(url)
  entry.readers.delete(reader)
  if (entry.readers.size > 0) return
  entry.feed.close()
  feeds.delete(url)
  const next = waiting.shift()
  if (next) subscribe(...next)
}

function drop(page) {
  pages.delete(page)
  for (const w of waiting.filter(w => w[0] === page)) unsubscribe(page, w[1])
  for (const number of [...page.subscriptions.keys()]) unsubscribe(page, number)
}

self.onconnect = ({ ports: [port] }) => {
  const page = { port, seen: Date.now(), subscriptions: new Map() }
  pages.add(page)
  port.onmessage = ({ data: m }) => {
    page.seen = Date.now()
    if (!pages.has(page)) port.postMessage({ lost: true }) // it was asleep: it must subscribe again
    pages.add(page)
    if (m.subscribe) subscribe(page, m.number, m.subscribe)
    else if (m.number) unsubscribe(page, m.number)
  }
  port.postMessage({ hello: true })
}

setInterval(() => {
  for (const page of pages) if (Date.now() - page.seen > patience) drop(page)
}, 5000)
