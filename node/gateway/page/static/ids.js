// The ids that have the most to do, and what is known of one id.

import { h, text, attr, keyed } from './dom.js'
import { age, bytesText, clock, count, idText, makeHash, millis, percent, percentText, plural, rate, unpercent, visible, none } from './format.js'
import { Table, announce, idName, kindLink, link, mark, meter, name, section } from './parts.js'
import { subscribe } from './stream.js'
import { ringPicture, minuteStrip } from './picture.js'

const maxID = 256 // bytes

// lookForm is the box for an id and its kind.
function lookForm(bytes, kind) {
  const problem = h('p', { class: 'problem', role: 'alert', hidden: true })
  const id = h('input', { id: 'look-id', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', required: true })
  const kinds = h('datalist', { id: 'look-kinds' })
  const box = h('input', { id: 'look-kind', list: 'look-kinds', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' })
  box.value = kind ?? 'default'
  try {
    id.value = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes ?? new Uint8Array())
  } catch {
    // Bytes that no keyboard types; the heading has them.
  }
  const el = h('form', {
    class: 'look', onsubmit: e => {
      e.preventDefault()
      const typed = new TextEncoder().encode(id.value)
      problem.hidden = typed.length <= maxID
      text(problem, `An id has at most ${maxID} bytes; this one has ${typed.length}.`)
      if (problem.hidden) location.hash = link('id', [percentText(box.value || 'default'), percent(typed)])
    },
  }, h('label', { for: 'look-id' }, 'Id'), id, h('label', { for: 'look-kind' }, 'of kind'), box, kinds, h('button', { class: 'main' }, 'Look up'), problem)
  return {
    el, id,
    update: state => keyed(kinds, (state?.kinds ?? []).map(k => k.kind), k => k, k => h('option', { value: k })),
  }
}

// ids is the view of the hottest ones.
export function ids(model, route) {
  const form = lookForm()
  const common = [
    { head: 'Id', node: idName, key: x => x.kind + '\u0000' + x.id, sort: idText },
    { head: 'Kind', node: x => name(x.kind, kindLink(x.kind)), key: x => x.kind, sort: x => x.kind },
    { head: 'Node', node: x => name(x.node), key: x => x.node, sort: x => x.node },
    { head: 'Per s', num: true, text: x => rate(x.rate), sort: x => x.rate, hint: 'Answers per second' },
    { head: 'Answers', num: true, text: x => count(x.hits), sort: x => x.hits, hint: 'Since the worker started' },
    { head: 'Queue', num: true, text: x => count(x.queue), sort: x => x.queue, hint: 'Calls that wait' },
    { head: 'Age', num: true, text: x => age(x.age_ms), sort: x => x.age_ms, hint: 'Of the worker' },
    { head: 'Left', num: true, text: x => age(x.ttl_ms), sort: x => x.ttl_ms, hint: 'Until it expires' },
  ]
  const keyOf = x => [x.kind, x.node, x.id_encoding, x.id].join('\u0000')
  const hot = new Table({ caption: 'Hottest ids', columns: common, keyOf, empty: 'No id is asked for.', className: 'hot' })
  const queues = new Table({ caption: 'Longest queues', columns: common, keyOf, empty: 'No call waits.', className: 'hot' })
  const note = h('p', { class: 'note' })
  const el = h('div', null, h('div', { class: 'head' }, h('h1', null, 'Ids'), form.el), note,
    h('div', { class: 'two' }, section('Hottest', hot.el), section('Longest queues', queues.el)))
  const look = () => form.id.focus()
  if (route.query.get('look')) queueMicrotask(look)
  return {
    el,
    route: r => r.query.get('look') && look(),
    focus: () => {
      if (!route.query.get('look')) return false
      look()
      return true
    },
    update({ state }) {
      form.update(state)
      hot.update(state.hot ?? [])
      queues.update(state.queues ?? [])
      text(note, state.of_problem ? `There are no figures of ${visible(state.of)}: ${visible(state.of_problem)}`
        : state.live == null ? 'The node asks for the ids.' : `${plural(state.live, 'live worker')}${state.of ? ` on ${visible(state.of)}` : ''}. The busiest of each node, by answers per second.`)
    },
  }
}

const actions = {
  invalidate: { label: 'Invalidate', of: k => !k.serial, text: (id, kind) => `All nodes forget the value of id ${id} of kind ${kind}. The next request for it runs the source, and waits for it.` },
  refresh: { label: 'Refresh', of: k => !k.serial, text: (id, kind) => `The value of id ${id} of kind ${kind} is forgotten where it lives, and the source runs once for a new one, now.` },
  stop: {
    label: 'Stop', text: (id, kind, d) => d?.serial
      ? `The worker of id ${id} of kind ${kind} stops when the call that it has begun has ended. Calls that wait may fail, and what it keeps in memory is lost. The next call starts a new one.`
      : `The worker of id ${id} of kind ${kind} stops, and the value that it keeps is lost. The next request for it starts a new one.`,
  },
}

// ask asks whether to do something. The browser gives the focus back to the button.
function ask(title, what, label) {
  const dialog = document.getElementById('ask')
  text(document.getElementById('ask-title'), title)
  text(document.getElementById('ask-text'), what)
  text(document.getElementById('ask-yes'), label)
  dialog.returnValue = ''
  dialog.showModal()
  return new Promise(resolve => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }))
}

async function act(action, kind, bytes) {
  const body = `action=${action}&kind=${percentText(kind)}&id=${percent(bytes)}`
  try {
    const r = await fetch('page/act', {
      method: 'POST', body, signal: AbortSignal.timeout(65_000),
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'X-Distproc-Page': document.querySelector('meta[name=distproc-csrf]').content },
    })
    if (r.status === 401) location.reload()
    const answer = await r.json().catch(() => ({}))
    if (r.ok) return { ok: true, text: answer.text ?? 'Done.' }
    return { text: answer.detail ?? answer.title ?? `The node answered ${r.status}.` }
  } catch (e) {
    return { text: e.name === 'TimeoutError' ? 'The node did not answer in time: it may have done it, or not.' : 'The node does not answer: it may have done it, or not.' }
  }
}

// id is the view of one id.
export function id(model, route) {
  const kind = new TextDecoder().decode(unpercent(route.parts[0] ?? '')) || 'default'
  const bytes = unpercent(route.parts.slice(1).join('/'))
  const shown = bytesText(bytes)
  const form = lookForm(bytes, kind)
  const problem = h('p', { class: 'problem', role: 'alert', hidden: true })
  const sentence = h('p', { class: 'sentence' })
  const facts = h('dl', { class: 'facts narrow' })
  const result = h('p', { class: 'result', role: 'status' })
  const buttons = h('p', { class: 'actions' })
  const picture = ringPicture()
  const life = lifeOf()
  const strip = minuteStrip()
  const stepsNote = h('p', { class: 'note' })
  let last
  for (const [action, a] of Object.entries(actions)) {
    buttons.append(a.button = h('button', {
      type: 'button', onclick: async () => {
        if (!await ask(`${a.label} this id?`, a.text(shown || '""', visible(kind), last), `Yes, ${a.label.toLowerCase()}`)) return
        buttons.inert = true
        result.className = 'result'
        text(result, 'The node does it.')
        const answer = await act(action, kind, bytes)
        buttons.inert = false
        result.classList.toggle('problem', !answer.ok)
        text(result, `${a.label}: ${visible(answer.text)}`)
        if (!buttons.contains(document.activeElement)) a.button.focus()
      },
    }, a.label + ' …'), ' ')
  }
  const steps = new Table({
    caption: 'Requests of the last minute', className: 'steps', keyOf: st => st.key, empty: ' ', cards: true,
    columns: [
      { head: 'When', num: true, text: st => clock(Date.parse(st.time)) },
      { head: 'What', text: st => visible(st.what) },
      { head: 'From', node: st => name(st.from), key: st => st.from },
      { head: 'Took', num: true, text: st => millis(st.took_ms) },
      { head: 'By', node: st => name(st.by ?? ''), key: st => st.by ?? '' },
      { head: 'How', text: st => st.err ? 'failed' : [st.cached && 'kept', st.stale && 'stale', st.degraded && 'degraded'].filter(Boolean).join(', ') || 'new', warn: st => st.err },
      { head: 'Message', node: st => code(st.message), key: st => st.message ?? '' },
      { head: 'Answer', node: st => code(st.err || st.value), key: st => (st.err || st.value) ?? '', warn: st => st.err },
    ],
  })
  const el = h('div', { class: 'id-view' }, h('div', { class: 'head' }, h('p', { class: 'up' }, h('a', { href: link('ids') }, 'All ids')), form.el),
    h('h1', null, 'Id ', name(shown), h('span', { class: 'of-kind' }, ' of kind ', name(kind, kindLink(kind)))),
    problem, sentence, buttons, result,
    h('div', { class: 'two id-parts' },
      section('Where it lives', picture.el),
      h('div', null, section('What lives there', life.el, facts), section('Its last minute', stepsNote, strip.el, steps.el))))

  function take(event, d) {
    if (event !== 'id') return
    problem.hidden = !d.problem
    text(problem, d.problem ? `It cannot be asked at present: ${visible(d.problem)}` : '')
    if (d.problem || d.owner == null) return
    last = d
    text(sentence, visible(d.text ?? '').replace(/ and expires in [^;]*$/, ''))
    for (const a of Object.values(actions)) a.button.hidden = Boolean(a.of && !a.of(d))
    picture.update(d, model.state?.node ?? '')
    life.update(d)
    factList(facts, d)
    const now = Date.parse(d.time)
    const seen = new Map()
    const list = (d.steps ?? []).map(st => {
      const key = [st.time, st.what, st.from, st.took_ms].join(' ')
      seen.set(key, (seen.get(key) ?? 0) + 1)
      return { ...st, key: key + ' ' + seen.get(key) }
    }).reverse()
    strip.update(list, now, Date.parse(d.steps_since))
    steps.update(list.slice(0, 40))
    const since = now - Date.parse(d.steps_since)
    text(stepsNote, (list.length ? plural(list.length, 'request') : 'No request') + (since < 60_000 ? ` since the page watches it, ${age(since)} ago` : ' in the last minute') + (d.missed ? `; ${count(d.missed)} more were left out` : '') + (list.length > 40 ? '; the newest 40 are listed' : '') + '.')
  }
  const stop = subscribe(`page/id?id=${percent(bytes)}&kind=${percentText(kind)}`, take)
  return { el, update: ({ state }) => form.update(state), close: stop }
}

const code = s => s ? h('code', { class: 'clip', title: visible(s) }, h('bdi', null, visible(s))) : document.createTextNode('')

// lifeOf shows the worker of an id: its age, and how long it has to live.
function lifeOf() {
  const what = h('p', { class: 'life-what' })
  const bar = meter('life')
  const ages = h('p', { class: 'life-ages' })
  const el = h('div', { class: 'life-box' }, what, bar.el, ages)
  return {
    el,
    update(d) {
      const w = d.worker
      text(what, w ? `A worker${d.loading ? d.serial ? ', busy with a call' : ', loading' : ''} on ${visible(w.node ?? d.asked)}: ${plural(w.hits, 'answer')}, ${w.queue ? plural(w.queue, 'call waits', 'calls wait') : 'no call waits'}.`
        : d.apart && d.serial ? 'Nothing, and nothing starts: the node was disconnected, and its former cluster may serve the id.'
          : d.loading ? 'A worker that starts.' : 'Nothing. The next request starts a worker.')
      bar.el.hidden = ages.hidden = !w
      if (!w) return
      bar.set(w.ttl_ms / Math.max(1, w.age_ms + w.ttl_ms))
      text(ages, `Age ${age(w.age_ms)}; ${age(w.ttl_ms)} left.`)
    },
  }
}

function factList(dl, d) {
  const c = d.custody
  const facts = [
    ['Rule', d.rule], ['Owner', `${d.owner} (${d.state})`], ['Stands in', d.fallback], ['By way of', d.via], ['Asked', d.asked],
    ['Index', `${d.index} of ${count(d.members)} members`], ['Time to live', millis(d.ttl_ms)],
    ['Kind', d.strict || c ? 'strict' : d.serial ? 'serial' : 'caches values'],
    ...c ? [
      ['View', `${c.view_epoch}, said by ${c.node}`], ['Acts for it', c.acting || 'no member'], ['Call waits for', c.waits], ['Runs for', c.runs_ms ? millis(c.runs_ms) + (c.stuck ? ', stuck' : '') : ''],
      ['Occupied', c.occupied], ['Lease', c.lease_ms != null ? c.lease_ms > 0 ? millis(Math.ceil(c.lease_ms / 100) * 100) : 'none' : ''], ['Quorum', c.quorum == null ? '' : c.quorum ? 'yes' : `no: ${c.no_quorum ?? ''}`],
      ['Older holders', (c.holders ?? []).map(x => `${x.member} of view ${x.view_epoch}${x.busy ? `, ${x.busy} busy` : ''}`).join('; ')], ['Last token', c.token],
    ] : [],
  ].filter(f => f[1])
  keyed(dl, facts, f => f[0], f => h('div', null, h('dt', null, f[0]), h('dd', null, h('bdi'))), (div, f) => {
    text(div.lastChild.firstChild, visible(f[1]))
    attr(div.lastChild, 'title', visible(f[1]))
  })
}
