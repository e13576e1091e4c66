// Numbers, times and ids as text, and ids as parts of addresses. Pure functions.

export const none = '–'

// controls are characters that nobody sees, or that change how others are shown.
const controls = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g

const hex = (n, digits) => n.toString(16).padStart(digits, '0')

export function visible(s) {
  return String(s ?? '').replace(controls, c => {
    const n = c.charCodeAt(0)
    return { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c] ?? (n < 256 ? '\\x' + hex(n, 2) : '\\u' + hex(n, 4))
  })
}

// idBytes returns the bytes of an id as the node tells it: text, or base64 if it is not
// UTF-8.
export function idBytes(x) {
  if (x.id_encoding === 'base64') return Uint8Array.from(atob(x.id), c => c.charCodeAt(0))
  return new TextEncoder().encode(x.id ?? '')
}

// percent writes bytes as one segment of an address: only letters, digits and -_~ remain.
export function percent(bytes) {
  return Array.from(bytes, b => {
    const c = String.fromCharCode(b)
    return /[\w~-]/.test(c) ? c : '%' + hex(b, 2)
  }).join('')
}

export const percentText = s => percent(new TextEncoder().encode(s))

export function unpercent(s) {
  const out = []
  const bytes = new TextEncoder().encode(s)
  for (let i = 0; i < bytes.length; i++) {
    const digits = String.fromCharCode(...bytes.slice(i + 1, i + 3))
    const escaped = bytes[i] === 0x25 && /^[\da-f]{2}$/i.test(digits)
    out.push(escaped ? parseInt(digits, 16) : bytes[i])
    if (escaped) i += 2
  }
  return Uint8Array.from(out)
}

// bytesText shows bytes: as text if they are UTF-8, else with escapes.
export function bytesText(bytes) {
  try {
    return visible(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return Array.from(bytes, b => b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '\\x' + hex(b, 2)).join('')
  }
}

export const idText = x => x.id_encoding === 'base64' ? bytesText(idBytes(x)) : visible(x.id)

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

export function count(n) {
  if (!Number.isFinite(n)) return none
  return n < 1e7 ? grouped.format(n) : trim((n / 1e6).toFixed(1)) + ' M'
}

export function rate(n) {
  if (!Number.isFinite(n)) return none
  if (n === 0) return '0'
  if (n < 0.05) return '<0.1'
  return n < 99.95 ? n.toFixed(1) : count(n)
}

const trim = s => s.replace(/\.0+$/, '')

export function millis(ms) {
  if (!Number.isFinite(ms)) return none
  if (ms < 0) return '−' + millis(-ms)
  if (ms > 0 && ms < 0.1) return '<0.1 ms'
  if (ms < 9.95) return +ms.toPrecision(2) + ' ms'
  if (ms < 999.5) return Math.round(ms) + ' ms'
  if (ms < 9950) return trim((ms / 1000).toFixed(1)) + ' s'
  const sec = Math.round(ms / 1000)
  if (sec < 60) return sec + ' s'
  const [min, hour] = [Math.floor(sec / 60), Math.floor(sec / 3600)]
  if (min < 60) return min < 10 && sec % 60 ? `${min} min ${sec % 60} s` : `${min} min`
  if (hour < 48) return hour < 10 && min % 60 ? `${hour} h ${min % 60} min` : `${hour} h`
  return Math.floor(hour / 24) + ' d'
}

// age writes whole seconds and more: it does not flicker as millis would.
export const age = ms => Number.isFinite(ms) ? millis(ms < 1000 ? 0 : Math.floor(ms / 1000) * 1000).replace(/^0 ms$/, '<1 s') : none

export function bytes(n) {
  if (!Number.isFinite(n)) return none
  if (n < 1024) return n + ' B'
  let unit = -1
  while (n >= 1023.5 && unit < 4) {
    n /= 1024
    unit++
  }
  return (n < 9.95 ? n.toFixed(1) : Math.round(n)) + ' ' + ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'][unit]
}

export function share(part, whole) {
  if (!whole || !Number.isFinite(part)) return none
  return percentage(part / whole)
}

export function percentage(x) {
  if (!Number.isFinite(x)) return none
  const p = 100 * x
  if (p > 0 && p < 0.05) return '<0.1 %'
  return (p < 9.95 ? trim(p.toFixed(1)) : p > 99 && p < 100 ? Math.floor(10 * p) / 10 : Math.round(p)) + ' %'
}

export const quantile = (ms, over) => ms == null ? none : over ? '>' + millis(ms) : millis(ms)

// clock writes a time of day in the zone of the reader. Time is in ms since 1970, as a node
// says it.
export function clock(time, seconds = true) {
  if (!Number.isFinite(time)) return none
  const d = new Date(time)
  return [d.getHours(), d.getMinutes(), d.getSeconds()].slice(0, seconds ? 3 : 2).map(n => String(n).padStart(2, '0')).join(':')
}

export const plural = (n, one, many = one + 's') => count(n) + ' ' + (n === 1 ? one : many)

// parseHash reads "#view/a/b?node=…". Parts are bytes that are still percent-encoded.
export function parseHash(hash) {
  const [path, query = ''] = hash.replace(/^#/, '').split('?', 2)
  const [view, ...parts] = path.split('/')
  return { view, parts, query: new URLSearchParams(query) }
}

// makeHash is its inverse. Parts are percent-encoded already.
export function makeHash(view, parts = [], query = {}) {
  const q = new URLSearchParams(Object.entries(query).filter(([, v]) => v))
  const tail = q.toString()
  return '#' + [view, ...parts].join('/') + (tail && '?' + tail)
}
