// Tests of the modules of the page that need no browser: node --test .ci/page

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load } from './load.mjs'

const f = await load('format.js')

test('what nobody sees is shown', () => {
  assert.equal(f.visible('a\nb\u0007\u202egnp.exe\u200d\ufeff'), 'a\\nb\\x07\\u202egnp.exe\\u200d\\ufeff')
  assert.equal(f.visible('שלום <b>&'), 'שלום <b>&')
  assert.equal(f.visible(undefined), '')
})

test('ids are bytes in addresses', () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i)
  assert.deepEqual(f.unpercent(f.percent(all)), all)
  assert.match(f.percent(all), /^[\w~%-]*$/)
  for (const id of ['7', '', '.', '..', 'a/b?c#d%20 e&f+g', '<script>', 'x'.repeat(256), '\u{1f600}é']) {
    const bytes = new TextEncoder().encode(id)
    assert.equal(decodeURIComponent(f.percentText(id)), id)
    assert.deepEqual(f.unpercent(f.percentText(id)), bytes)
    assert.equal(f.bytesText(bytes), id)
  }
  assert.equal(f.percentText('..'), '%2e%2e') // a browser would take dots as a folder
  const raw = { id: Buffer.from([0xff, 0, 0x41]).toString('base64'), id_encoding: 'base64' }
  assert.equal(f.percent(f.idBytes(raw)), '%ff%00A')
  assert.equal(f.idText(raw), '\\xff\\x00A')
  assert.deepEqual(f.unpercent('%zz%4'), new TextEncoder().encode('%zz%4'))
})

test('hashes are read as they are made', () => {
  const hash = f.makeHash('id', [f.percentText('a/b?'), '%ff'], { node: '2@b c&d', empty: '' })
  const r = f.parseHash(hash)
  assert.equal(r.view, 'id')
  assert.deepEqual(r.parts, ['a%2fb%3f', '%ff'])
  assert.equal(r.query.get('node'), '2@b c&d')
  assert.equal(r.query.has('empty'), false)
  assert.equal(f.parseHash('').view, '')
})

test('numbers', () => {
  for (const [write, value, want] of [
    [f.count, 1234567, '1,234,567'], [f.count, 12_345_678, '12.3 M'], [f.count, undefined, '–'],
    [f.rate, 0, '0'], [f.rate, 0.01, '<0.1'], [f.rate, 9, '9.0'], [f.rate, 99.96, '100'], [f.rate, 12345.6, '12,346'], [f.rate, null, '–'],
    [f.millis, 0, '0 ms'], [f.millis, 0.01, '<0.1 ms'], [f.millis, 0.1, '0.1 ms'], [f.millis, 2.04, '2 ms'], [f.millis, 0.25, '0.25 ms'], [f.millis, 9.94, '9.9 ms'], [f.millis, 999.4, '999 ms'],
    [f.millis, 1500, '1.5 s'], [f.millis, 61_000, '1 min 1 s'], [f.millis, 3_600_000, '1 h'], [f.millis, 5_400_000, '1 h 30 min'], [f.millis, 86_400_000 * 3, '3 d'], [f.millis, -25, '−25 ms'],
    [f.age, 999, '<1 s'], [f.age, 59_999, '59 s'], [f.age, undefined, '–'],
    [f.bytes, 0, '0 B'], [f.bytes, 1024, '1.0 KiB'], [f.bytes, 1024 ** 3 * 20, '20 GiB'], [f.bytes, undefined, '–'],
    [f.percentage, 0, '0 %'], [f.percentage, 0.0001, '<0.1 %'], [f.percentage, 0.3333, '33 %'], [f.percentage, 0.9999, '99.9 %'], [f.percentage, 1, '100 %'], [f.percentage, NaN, '–'],
  ]) assert.equal(write(value), want, `${write.name}(${value})`)
  assert.equal(f.share(1, 0), '–')
  assert.equal(f.quantile(10_000, true), '>10 s')
  assert.equal(f.quantile(null), '–')
  assert.equal(f.plural(1, 'call waits', 'calls wait'), '1 call waits')
})
