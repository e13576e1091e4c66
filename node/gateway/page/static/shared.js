// The shared worker of all windows of a browser. A browser has six connections to a host,
// so windows that want the same stream share one. A page names its subscriptions by number.

import { Feed } from './feed.js'

const maxFeeds = 4 // so that two connections are left for everything else
const patience = 20_000 // ms; a page says every 5 s that it lives

const feeds = new Map() // by URL: {feed, readers}
const pages = new Set()
let waiting = [] // readers of more feeds than there may be

function subscribe(reader) {
  const { url } = reader
  let entry = feeds.get(url)
  if (!entry && feeds.size >= maxFeeds) {
    waiting.push(reader)
    return reader.tell('down', { detail: 'Other windows of this browser watch other things, and it has too few connections. Close some of them.' })
  }
  if (!entry) {
    feeds.set(url, entry = { readers: new Set() })
    entry.feed = new Feed(url, (name, data) => entry.readers.forEach(r => r.tell(name, data)))
  }
  entry.readers.add(reader)
  entry.feed.recall(reader.tell)
}

function unsubscribe(page, number) {
  const reader = page.readers.get(number), entry = feeds.get(reader?.url)
  page.readers.delete(number)
  waiting = waiting.filter(r => r !== reader)
  if (!entry?.readers.delete(reader) || entry.readers.size) return
  entry.feed.close()
  feeds.delete(reader.url)
  waiting.splice(0).forEach(subscribe)
}

function drop(page) {
  pages.delete(page)
  for (const number of page.readers.keys()) unsubscribe(page, number)
}

self.onconnect = ({ ports: [port] }) => {
  const page = { readers: new Map() }
  port.onmessage = ({ data: { number, url } }) => {
    if (page.seen && !pages.has(page)) port.postMessage({ lost: true }) // it was asleep: it must subscribe again
    page.seen = Date.now()
    pages.add(page)
    if (url) {
      const reader = { url, tell: (name, data, ago = 0) => port.postMessage({ number, name, data, ago }) }
      page.readers.set(number, reader)
      subscribe(reader)
    } else if (number) unsubscribe(page, number)
  }
}

setInterval(() => pages.forEach(page => page.seen < Date.now() - patience && drop(page)), 5000)
