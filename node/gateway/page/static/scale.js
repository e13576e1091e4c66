// Scales and paths of charts. Pure functions.

// niceMax returns the least of 1, 2, 5 × 10^n that is not below a value.
export function niceMax(value, least = 1) {
  if (!(value > least)) return least
  const size = 10 ** Math.floor(Math.log10(value) + 1e-9)
  for (const m of [1, 2, 5, 10]) if (m * size >= value * (1 - 1e-9)) return m * size
  return 10 * size
}

export const linear = (max, top, bottom) => v => bottom - Math.min(1, Math.max(0, v / max)) * (bottom - top)

// decades returns the powers of ten that enclose some positive values.
export function decades(values) {
  let low = Infinity, high = 0
  for (const v of values) {
    if (!(v > 0)) continue
    low = Math.min(low, v)
    high = Math.max(high, v)
  }
  if (!high) return [1, 10]
  low = Math.max(1e-3, low)
  const [a, b] = [Math.floor(Math.log10(low) + 1e-9), Math.ceil(Math.log10(Math.max(high, low)) - 1e-9)]
  return [10 ** a, 10 ** Math.max(b, a + 1)]
}

export function logarithmic(low, high, top, bottom) {
  const span = Math.log10(high / low)
  return v => bottom - Math.min(1, Math.max(0, Math.log10(Math.max(v, low) / low) / span)) * (bottom - top)
}

// stepPath draws each value as a line as wide as its step, or the area below it down to a
// floor. A null is a gap.
export function stepPath(values, left, width, y, floor) {
  let d = '', drawn = false, last
  const end = () => {
    if (drawn && floor !== undefined) d += `V${floor}Z`
    drawn = false
  }
  values.forEach((v, i) => {
    if (v === null) return end()
    const at = round(y(v))
    if (!drawn) d += `M${round(left + i * width)} ${floor === undefined ? at : `${floor}V${at}`}`
    else if (at !== last) d += `V${at}`
    d += `H${round(left + (i + 1) * width)}`
    drawn = true
    last = at
  })
  end()
  return d
}

// timeTicks returns the times in (end - span, end] that are whole multiples of a step.
export function timeTicks(end, span, step) {
  const out = []
  for (let t = Math.floor(end / step) * step; t > end - span; t -= step) out.unshift(t)
  return out
}

// apart moves positions of labels so that they are at least gap apart, within top..bottom.
export function apart(positions, gap, top, bottom) {
  const order = positions.map((_, i) => i).sort((a, b) => positions[a] - positions[b])
  const out = [...positions]
  let last = -Infinity
  for (const i of order) last = out[i] = Math.max(out[i], last + gap, top)
  let next = Infinity
  for (const i of order.reverse()) next = out[i] = Math.min(out[i], next - gap, bottom)
  return out
}

export const round = v => Math.round(v * 10) / 10
