import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load } from './load.mjs'

const scale = await load('scale.js'), history = await load('history.js')

test('scales', () => {
  for (const [value, want] of [[0, 1], [1, 1], [1.1, 2], [12, 20], [50, 50], [51, 100], [0.3, 1]]) assert.equal(scale.niceMax(value), want)
  assert.equal(scale.niceMax(0.03, 0.01), 0.05)
  assert.deepEqual(scale.decades([null, 0.1, 25]), [0.1, 100])
  assert.deepEqual(scale.decades([10]), [10, 100])
  assert.deepEqual(scale.decades([null, 0]), [1, 10])
  assert.equal(scale.linear(10, 0, 100)(5), 50)
  assert.equal(scale.linear(10, 0, 100)(1e9), 0)
  assert.equal(Math.round(scale.logarithmic(1, 100, 0, 100)(10)), 50)
})

test('paths have gaps where nothing is known', () => {
  const y = v => 10 - v
  assert.equal(scale.stepPath([1, 1, 2, null, 3], 0, 2, y), 'M0 9H2H4V8H6M8 7H10')
  assert.equal(scale.stepPath([1, null, 2], 0, 2, y, 10), 'M0 10V9H2V10ZM4 10V8H6V10Z')
  assert.equal(scale.stepPath([null, null], 0, 2, y), '')
})

test('labels do not lie on each other, nor outside', () => {
  assert.deepEqual(scale.apart([50, 50], 12, 0, 100), [50, 62])
  assert.deepEqual(scale.apart([99, 98], 12, 0, 100), [100, 88])
  assert.deepEqual(scale.apart([-5], 12, 0, 100), [0])
})

test('times are whole', () => assert.deepEqual(scale.timeTicks(1000, 700, 300), [600, 900]))

test('a step is added to the past, and a hole is seen', () => {
  const before = history.past({ seq: 7, step_ms: 5000, end: 'a', steps: 2, kinds: [{ kind: '__proto__', requests: [1, 2], p99_ms: [null, 5] }, { kind: 'b', requests: [1] }] })
  assert.deepEqual(before.kinds.get('b').requests, [null, 1])
  assert.deepEqual(before.kinds.get('b').failed, [null, null])
  const after = history.step(before, { seq: 8, end: 'b', steps: 1, kinds: [{ kind: '__proto__', requests: [3] }, { kind: 'new', requests: [4] }] })
  assert.deepEqual(after.kinds.get('__proto__').requests, [1, 2, 3])
  assert.deepEqual(after.kinds.get('new').requests, [null, null, 4])
  assert.deepEqual(after.kinds.get('b').requests, [null, 1, null])
  assert.equal(after.end, 'b')
  assert.equal(history.step(before, { seq: 9, kinds: [] }), null)
  assert.equal(history.step(undefined, { seq: 9, kinds: [] }), null)
  assert.deepEqual(history.past(history.asEvent(after)), after)
})

test('the past is bounded whatever is told', () => {
  let p = history.past({ seq: 1, steps: 1e9, kinds: Array.from({ length: 500 }, (_, i) => ({ kind: 'k' + i, requests: Array(400).fill(i) })) })
  assert.equal(p.steps, 180)
  assert.equal(p.kinds.size, 100)
  for (let seq = 2; seq < 400; seq++) p = history.step(p, { seq, kinds: [{ kind: 'n' + seq, requests: [1], failed: ['x'] }] })
  assert.equal(p.steps, 180)
  assert.ok(p.kinds.size <= 180)
  assert.deepEqual([...p.kinds.keys()].filter(k => k.startsWith('k')), []) // all unknown for 15 minutes
  for (const k of p.kinds.values()) for (const list of history.lists) assert.equal(k[list].length, 180)
  assert.deepEqual(history.past({}), { seq: undefined, step_ms: 5000, end: undefined, steps: 0, kinds: new Map() })
})

test('shares and rates', () => {
  assert.deepEqual(history.perSecond([10, null], 5000), [2, null])
  assert.deepEqual(history.ratio([1, null, 1], [4, 0, null]), [0.25, null, null])
})
