// The last 15 minutes of each kind, as the node tells them: first all, then each new step.
// Pure functions.

export const lists = ['requests', 'failed', 'degraded', 'stale', 'p50_ms', 'p99_ms', 'runs', 'runs_failed', 'run_p99_ms', 'evicted']
const maxSteps = 180
const maxKinds = 100 // 50 are told; others come and go

// past returns what a past event says, cleaned: all lists have the same length.
export function past(event) {
  const n = Math.min(maxSteps, Math.max(0, event.steps | 0))
  const kinds = new Map((event.kinds ?? []).slice(0, maxKinds).map(k => [k.kind, cut(k, n)]))
  return { seq: event.seq, step_ms: event.step_ms || 5000, end: event.end, steps: n, kinds }
}

function cut(kind, n) {
  const out = {}
  for (const name of lists) {
    const list = Array.isArray(kind[name]) ? kind[name].slice(-n) : []
    out[name] = n === 0 ? [] : [...Array(n - list.length).fill(null), ...list.map(v => Number.isFinite(v) ? v : null)]
  }
  return out
}

// step returns the past with one more step at its end, or null if one is missing in
// between.
export function step(before, event) {
  if (!before || event.seq !== before.seq + 1) return null
  const n = Math.min(maxSteps, before.steps + 1)
  const told = new Map((event.kinds ?? []).map(k => [k.kind, cut(k, 1)]))
  const kinds = new Map()
  for (const name of new Set([...before.kinds.keys(), ...told.keys()])) {
    const grown = {}
    for (const list of lists) {
      const values = [...(before.kinds.get(name)?.[list] ?? []), told.get(name)?.[list][0] ?? null].slice(-n)
      grown[list] = [...Array(n - values.length).fill(null), ...values]
    }
    if (kinds.size < maxKinds && grown.requests.some(v => v !== null)) kinds.set(name, grown)
  }
  return { seq: event.seq, step_ms: before.step_ms, end: event.end, steps: n, kinds }
}

export const asEvent = p => ({ ...p, kinds: Array.from(p.kinds, ([kind, k]) => ({ kind, ...k })) })

export const perSecond = (list, stepMs) => list.map(v => v === null ? null : v * 1000 / stepMs)

// ratio returns part / whole, or null where there was nothing.
export const ratio = (part, whole) => whole.map((w, i) => w ? (part[i] ?? 0) / w : null)
