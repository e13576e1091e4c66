// A Feed is one EventSource that is tried again while the Feed is open, and what it has told.

import * as history from './history.js'

const names = ['state', 'past', 'step', 'gone', 'id', 'missed', 'trouble', 'message']
const maxEvents = 2000 // of /v1/events that are kept
const silence = 4000 // ms after which a stream that speaks each second is opened anew

export class Feed {
  // Tell is called with (name, data): the events of the stream, and besides them "events" (a
  // list of messages of /v1/events), "up" and "down" ({status, detail} where known).
  constructor(url, tell) {
    Object.assign(this, { url, tell, last: new Map(), events: [], failures: 0, up: false, log: url.includes('/v1/events') })
    this.open()
    this.watch = setInterval(() => this.listen(), 1000)
  }

  open() {
    this.at = performance.now()
    const url = new URL(this.url), last = this.events.at(-1)
    if (last) url.searchParams.set('after', last.mark)
    const source = this.source = new EventSource(url)
    for (const name of names) source.addEventListener(name, e => source === this.source && this.take(name, e.data))
    source.onopen = () => source === this.source && this.log && this.rise()
    source.onerror = () => source === this.source && this.fail(source.readyState === EventSource.CLOSED)
  }

  rise() {
    if (!this.up) this.tell('up')
    this.up = true
    this.failures = 0
  }

  take(name, text) {
    let data
    try {
      data = JSON.parse(text)
    } catch {
      return // half a message
    }
    this.at = performance.now()
    this.rise()
    if (name === 'message') {
      this.events = [...this.events, data].slice(-maxEvents)
      return this.tell('events', [data])
    }
    if (name === 'past') this.past = history.past(data)
    if (name === 'step') this.past = history.step(this.past, data)
    if (name === 'step' && !this.past) return this.fail() // one is missing
    if (name === 'state' || name === 'id') this.last.set(name, [data, this.at])
    this.tell(name, data)
    if (name === 'gone') this.fail(true)
  }

  // recall tells what has been told before, and how many ms ago that was.
  recall(tell) {
    if (this.past) tell('past', history.asEvent(this.past), 0)
    for (const [name, [data, at]] of this.last) tell(name, data, performance.now() - at)
    if (this.events.length) tell('events', this.events, 0)
    if (this.up) tell('up')
  }

  // listen opens a stream anew that says nothing although its connection is open.
  listen() {
    const every = this.last.get('state')?.[0].every_ms ?? 0
    if (!this.log && this.source && performance.now() - this.at > Math.max(silence, 3 * every)) this.fail()
  }

  // fail opens another source, soon at first and then every 2 s.
  async fail(refused) {
    this.source.close()
    this.source = undefined
    this.up = false
    this.tell('down', {})
    this.timer = setTimeout(() => this.open(), Math.min(2000, 250 * 2 ** this.failures++))
    const why = refused && await reason(this.url)
    if (why && !this.up) this.tell('down', why)
  }

  close() {
    this.source?.close()
    this.source = undefined
    clearTimeout(this.timer)
    clearInterval(this.watch)
    this.tell = () => {}
  }
}

// reason returns why the node refuses a stream, or nothing if it does not.
async function reason(url) {
  const abort = new AbortController()
  setTimeout(() => abort.abort(), 3000)
  try {
    const r = await fetch(url, { headers: { Accept: 'text/event-stream' }, signal: abort.signal })
    return !r.ok && { status: r.status, detail: (await r.json().catch(() => ({}))).detail }
  } catch {
    // There is no answer.
  } finally {
    abort.abort()
  }
}
