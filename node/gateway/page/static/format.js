// Numbers, times and ids as text, and ids as parts of addresses. Pure functions.

export const none = '–'

// controls are the characters that a reader would not see, or that would change how others
// are shown.
const controls = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g

// visible shows control characters as escapes.
export function visible(s) {
  return String(s ?? '').replace(controls, c => {
    const named = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c]
    const n = c.charCodeAt(0)
    return named ?? (n < 256 ? '\\x' + n.toString(16).padStart(2, '0') : '\\u' + n.toString(16).padStart(4, '0'))
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
  let s = ''
  for (const b of bytes) {
    const c = String.fromCharCode(b)
    s += /[A-Za-z0-9_~-]/.test(c) ? c : '%' + b.toString(16).toUpperCase().padStart(2, '0')
  }
  return s
}

export const percentText = s => percent(new TextEncoder().encode(s))

// unpercent returns the bytes that percent wrote. It takes any text.
export function unpercent(s) {
  const out = []
  const bytes = new TextEncoder().encode(s)
  for (let i = 0; i < bytes.length; i++) {
    const hex = String.fromCharCode(bytes[i + 1] ?? 32, bytes[i + 2] ?? 32)
    if (bytes[i] === 0x25 && /^[0-9A-Fa-f]{2}$/.test(hex)) {
      out.push(parseInt(hex, 16))
      i += 2
    } else {
      out.push(bytes[i])
    }
  }
  return Uint8Array.from(out)
}

// bytesText shows bytes: as text if they are UTF-8, else with escapes.
export function bytesText(bytes) {
  try {
    return visible(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return Array.from(bytes, b => b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '\\x' + b.toString(16).padStart(2, '0')).join('')
  }
}

export const idText = x => x.id_encoding === 'base64' ? bytesText(idBytes(x)) : visible(x.id)

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

// count writes a whole number.
export function count(n) {
  if (!Number.isFinite(n)) return none
  return Math.abs(n) >= 1e7 ? compact(n) : grouped.format(n)
}

function compact(n) {
  const [size, unit] = n >= 1e9 ? [1e9, 'G'] : [1e6, 'M']
  return trim((n / size).toFixed(1)) + ' ' + unit
}

// rate writes a number per second.
export function rate(n) {
  if (!Number.isFinite(n)) return none
  if (n === 0) return '0'
  if (n < 0.05) return '<0.1'
  return n < 99.95 ? n.toFixed(1) : count(n)
}

const trim = s => s.replace(/\.0+$/, '')

// millis writes a duration with about two digits of meaning.
export function millis(ms) {
  if (!Number.isFinite(ms)) return none
  if (ms < 0) return '−' + millis(-ms)
  if (ms === 0) return '0 ms'
  if (ms < 0.95) return ms < 0.095 ? '<0.1 ms' : ms.toFixed(1) + ' ms'
  if (ms < 9.95) return trim(ms.toFixed(1)) + ' ms'
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

// bytes writes a size.
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

// share writes part / whole in percent.
export function share(part, whole) {
  if (!whole || !Number.isFinite(part)) return none
  return percentage(part / whole)
}

export function percentage(x) {
  if (!Number.isFinite(x)) return none
  const p = 100 * x
  if (p === 0) return '0 %'
  if (p < 0.05) return '<0.1 %'
  return (p < 9.95 ? trim(p.toFixed(1)) : p > 99 && p < 100 ? trim((Math.floor(10 * p) / 10).toFixed(1)) : Math.round(p)) + ' %'
}

// quantile writes an upper bound. Over is for a value beyond the last bound.
export const quantile = (ms, over) => ms == null ? none : over ? '>' + millis(ms) : millis(ms)

// clock writes a time of day in the zone of the reader. Time is in ms since 1970, as a node
// says it.
export function clock(time, seconds = true) {
  if (!Number.isFinite(time)) return none
  const d = new Date(time)
  const two = n => String(n).padStart(2, '0')
  return two(d.getHours()) + ':' + two(d.getMinutes()) + (seconds ? ':' + two(d.getSeconds()) : '')
}

// plural writes a number of things.
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
