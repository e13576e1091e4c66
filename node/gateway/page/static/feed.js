// A Feed is one EventSource and what it has told: enough to bring another page up to date.
// It tries again for as long as it is open, and finds out why a stream was refused.

import * as history from './history.js'

const names = ['state', 'past', 'step', 'gone', 'id', 'missed', 'trouble']
const maxEvents = 2000 // of /v1/events that are kept
const silence = 4000 // ms after which a stream that speaks each second is opened anew

export class Feed {
  // Tell is called with (name, data): the events of the stream, and besides them "events"
  // (a list of messages of /v1/events), "up" and "down" ({status, detail} where known).
  constructor(url, tell) {
    this.url = url
    this.tell = tell
    this.last = new Map() // newest event by name
    this.events = []
    this.failures = 0
    this.up = false
    this.open()
    this.watch = setInterval(() => this.checkSilence(), 1000)
  }

  open() {
    this.at = performance.now()
    const url = new URL(this.url)
    const last = this.events.at(-1)
    if (last) {
      url.searchParams.set('after', last.mark)
      url.searchParams.set('limit', '1000')
    }
    const source = this.source = new EventSource(url)
    for (const name of names) source.addEventListener(name, e => this.take(source, name, e.data))
    source.onmessage = e => this.take(source, 'message', e.data)
    source.onopen = () => {
      if (source === this.source && isLog(this.url)) this.say('up')
    }
    source.onerror = () => {
      if (source === this.source) this.fail(source.readyState === EventSource.CLOSED)
    }
  }

  say(name, data) {
    if (name === 'up' || name === 'down') this.up = name === 'up'
    if (name === 'up') this.failures = 0
    this.tell(name, data)
  }

  take(source, name, text) {
    if (source !== this.source) return
    let data
    try {
      data = JSON.parse(text)
    } catch {
      return // half a message of a node that died
    }
    this.at = performance.now()
    if (!this.up) this.say('up')
    if (name === 'message') {
      this.events = [...this.events, data].slice(-maxEvents)
      return this.tell('events', [data])
    }
    if (name === 'past') this.past = history.past(data)
    if (name === 'step') {
      this.past = history.step(this.past, data)
      if (!this.past) return this.fail(false) // one is missing
    }
    if (name === 'state' || name === 'id') this.last.set(name, [data, this.at])
    this.tell(name, data)
    if (name === 'gone') this.fail(true)
  }

  // recall tells a page that comes later what the others know. The last argument of tell
  // says how many ms ago that was.
  recall(tell) {
    if (this.past) tell('past', history.asEvent(this.past), 0)
    for (const [name, [data, at]] of this.last) tell(name, data, performance.now() - at)
    if (this.events.length) tell('events', this.events, 0)
    if (this.up) tell('up', undefined, 0)
  }

  checkSilence() {
    const every = this.last.get('state')?.[0].every_ms || 1000
    if (!isLog(this.url) && this.source && performance.now() - this.at > Math.max(silence, 3 * every)) this.fail(false)
  }

  // fail closes the source and opens another one, soon at first and then every 2 s. If the
  // node has refused the stream, it asks why.
  async fail(refused) {
    this.source.close()
    const failed = this.source = undefined
    this.say('down', {})
    const wait = Math.min(2000, 250 * 2 ** this.failures++)
    this.timer = setTimeout(() => this.source === failed && this.open(), wait)
    if (!refused) return
    const why = await ask(this.url)
    if (!this.closed && !this.up && why) this.tell('down', why)
  }

  close() {
    this.closed = true
    this.source?.close()
    this.source = undefined
    clearTimeout(this.timer)
    clearInterval(this.watch)
    this.tell = () => {}
  }
}

const isLog = url => url.includes('/v1/events')

// ask returns why the node refuses a stream, or nothing if it does not.
async function ask(url) {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), 3000)
  try {
    const r = await fetch(url, { headers: { Accept: 'text/event-stream' }, signal: abort.signal })
    if (r.ok) return
    const problem = await r.json().catch(() => ({}))
    return { status: r.status, detail: problem.detail }
  } catch {
    // No answer: the page says so already.
  } finally {
    clearTimeout(timer)
    abort.abort()
  }
}
