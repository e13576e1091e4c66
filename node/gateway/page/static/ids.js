// The ids that have the most to do, and what is known of one id.

import { h, p, text, tell, keyed, div, span } from './dom.js'
import { age, bytesText, clock, count, idText, millis, percent, percentText, plural, rate, unpercent, visible } from './format.js'
import { Table, alertBox, ask, field, fill, idName, kindLink, labelled, link, meter, name, named, num, ofProblem, options, section } from './parts.js'
import { subscribe } from './stream.js'
import { ringPicture, minuteStrip } from './picture.js'

const maxID = 256 // bytes
const maxListed = 40

function lookForm(bytes, kind = 'default') {
  const id = field('look-id', { required: true }), box = field('look-kind', { list: 'look-kinds', value: kind })
  const kinds = h('datalist', { id: 'look-kinds' }), problem = alertBox()
  try {
    id.value = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes ?? new Uint8Array())
  } catch {
    // Bytes that nobody types; the heading has them.
  }
  const onsubmit = e => {
    e.preventDefault()
    const typed = new TextEncoder().encode(id.value)
    tell(problem, typed.length > maxID && `An id has at most ${maxID} bytes; this one has ${typed.length}.`)
    if (problem.hidden) location.hash = link('id', [percentText(box.value || 'default'), percent(typed)])
  }
  const el = h('form', { class: 'look', onsubmit }, ...labelled('Id', id), ...labelled('of kind', box), kinds, h('button', { class: 'main' }, 'Look up'), problem)
  return { el, id, update: state => options(kinds, (state.kinds ?? []).map(k => k.kind)) }
}

export function ids(model, route) {
  const form = lookForm()
  const columns = [
    { head: 'Id', node: idName, key: x => x.kind + '\u0000' + x.id, sort: idText },
    named('Kind', x => x.kind, kindLink),
    named('Node', x => x.node),
    num('Per s', 'Answers per second', x => x.rate, rate),
    num('Answers', 'Since the worker started', x => x.hits),
    num('Queue', 'Calls that wait', x => x.queue),
    num('Age', 'Of the worker', x => x.age_ms, age),
    num('Left', 'Until it expires; unknown while it is busy', x => x.ttl_ms || null, age),
  ]
  const keyOf = x => [x.kind, x.node, x.id_encoding, x.id].join('\u0000')
  const hot = new Table({ caption: 'Hottest ids', columns, keyOf, empty: 'No id is asked for.', cls: 'hot' })
  const queues = new Table({ caption: 'Longest queues', columns, keyOf, empty: 'No call waits.', cls: 'hot' })
  const note = p('note')
  const looks = route.query.get('look')
  if (looks) queueMicrotask(() => form.id.focus())
  return {
    el: div(null, div('head', h('h1', null, 'Ids'), form.el), note,
      div('two hot-lists', section('Hottest', hot.el), section('Longest queues', queues.el))),
    focus: () => looks,
    update({ state }) {
      form.update(state)
      hot.update(state.hot ?? [])
      queues.update(state.queues ?? [])
      text(note, ofProblem(state) || (state.live == null ? 'The node asks for the ids.' : `${plural(state.live, 'live worker')}${state.of && ` on ${visible(state.of)}`}. The busiest, by answers per second.`))
    },
  }
}

const actions = {
  Invalidate: (what, d) => !d.serial && `All nodes forget the value of ${what}. The next request for it runs the source, and waits for it.`,
  Refresh: (what, d) => !d.serial && `The value of ${what} is forgotten where it lives, and the source runs once for a new one, now.`,
  Stop: (what, d) => `The worker of ${what} stops, and what it keeps is lost.` + (d.serial ? ' A call that it has begun may be cut short, and calls that wait may fail. The next call starts a new one.' : ' The next request for it starts a new one.'),
}

// sure asks whether to do something. The browser gives the focus back to the button.
function sure(title, what, yes) {
  const dialog = document.getElementById('ask')
  for (const [id, words] of Object.entries({ title, text: what, yes })) text(document.getElementById('ask-' + id), words)
  dialog.returnValue = ''
  dialog.showModal()
  return new Promise(resolve => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }))
}

export function id(model, route) {
  const kind = new TextDecoder().decode(unpercent(route.parts[0] ?? '')) || 'default'
  const bytes = unpercent(route.parts.slice(1).join('/'))
  const shown = bytesText(bytes)
  const query = `id=${percent(bytes)}&kind=${percentText(kind)}`
  const form = lookForm(bytes, kind)
  const problem = alertBox(), result = h('p', { class: 'result', role: 'status' })
  const sentence = p('sentence'), stepsNote = p('note'), facts = h('dl', { class: 'facts' })
  const picture = ringPicture(), life = lifeOf(), strip = minuteStrip()
  let last = {}

  const buttons = Object.entries(actions).map(([action, words]) => {
    const button = h('button', { type: 'button', onclick: act }, action + ' …')
    async function act() {
      if (!await sure(`${action} this id?`, words(`id ${shown || '""'} of kind ${visible(kind)}`, last), 'Yes, ' + action.toLowerCase())) return
      result.className = 'result'
      text(result, 'The node does it.')
      try {
        const answer = await ask('page/act', {
          method: 'POST', body: `action=${action.toLowerCase()}&${query}`,
          headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'X-Distproc-Page': document.querySelector('meta[name=distproc-csrf]').content },
        }, ': it may have done it, or not')
        text(result, `${action}: ${visible(answer.text)}.`)
      } catch (e) {
        result.className = 'result problem'
        text(result, `${action}: ${e.message}`)
      }
    }
    return { button, words }
  })
  const steps = new Table({
    caption: 'Requests of the last minute', cls: 'steps', keyOf: x => x.key, cards: true, fixed: true,
    columns: [
      { head: 'When', text: x => clock(Date.parse(x.time)) },
      { head: 'What', text: x => visible(x.what) },
      named('From', x => x.from),
      num('Took', '', x => x.took_ms, millis),
      named('By', x => x.by),
      { head: 'How', text: x => x.err ? 'failed' : [x.cached && 'kept', x.stale && 'stale', x.degraded && 'degraded'].filter(Boolean).join(', ') || 'new', warn: x => x.err },
      named('Message', x => x.message),
      named('Answer', x => x.err || x.value, null, { warn: x => x.err }),
    ],
  })
  const el = div('id-view', div('head', p('up', h('a', { href: link('ids') }, 'All ids')), form.el),
    h('h1', null, 'Id ', name(shown), span('of-kind', ' of kind ', name(kind, kindLink(kind)))),
    problem, sentence, p('actions', ...buttons.flatMap(b => [b.button, ' '])), result,
    div('two id-parts', section('Where it lives', picture.el),
      div(null, section('What lives there', life.el, facts), section('Its last minute', stepsNote, strip.el, steps.el))))

  function take(event, d) {
    if (event !== 'id') return
    tell(problem, d.problem && `It cannot be asked at present: ${visible(d.problem)}`)
    if (d.problem) return
    last = d
    text(sentence, visible(d.text).replace(/ and expires in [^;]*$/, ''))
    for (const b of buttons) b.button.hidden = !b.words('', d)
    picture.update(d, model.state?.node)
    life.update(d)
    factList(facts, d)
    const now = Date.parse(d.time), since = Date.parse(d.steps_since)
    const list = (d.steps ?? []).map(x => ({ ...x, key: [x.time, x.what, x.from, x.took_ms].join(' ') })).reverse()
    strip.update(list, now, since)
    steps.update(list.slice(0, maxListed))
    text(stepsNote, (list.length ? plural(list.length, 'request') : 'No request') + (since > now - 60_000 ? ` since the page watches it, ${age(now - since)}` : ' in the last minute') +
      (d.missed ? `; ${count(d.missed)} more were left out` : '') + (list.length > maxListed ? `; the newest ${maxListed} are listed.` : '.'))
  }
  return { el, update: ({ state }) => form.update(state), close: subscribe('page/id?' + query, take) }
}

function lifeOf() {
  const what = p(), bar = meter('life'), ages = p()
  return {
    el: div(null, what, bar.el, ages),
    update(d) {
      const w = d.worker
      text(what, w ? `A worker${d.loading ? d.serial ? ', busy with a call' : ', loading' : ''} on ${visible(w.node || d.asked)}: ${plural(w.hits, 'answer')}, ${w.queue ? plural(w.queue, 'call waits', 'calls wait') : 'no call waits'}.`
        : d.apart && d.serial ? 'Nothing, and nothing starts: the node was disconnected, and its former cluster may serve the id.'
          : 'Nothing. The next request starts a worker.')
      bar.el.hidden = !w
      if (w?.ttl_ms) bar.set(w.ttl_ms / Math.max(1, w.age_ms + w.ttl_ms))
      tell(ages, w && `Age ${age(w.age_ms)}${w.ttl_ms ? `; ${age(w.ttl_ms)} left` : ''}.`)
    },
  }
}

function factList(dl, d) {
  const c = d.custody
  const lease = ms => ms > 0 ? millis(Math.ceil(ms / 100) * 100) : 'none'
  const facts = [
    ['Time to live', millis(d.ttl_ms)], ['Kind', d.strict || c ? 'strict' : d.serial ? 'serial' : 'keeps values'],
    ...c ? [
      ['Rule', d.rule],
      ['View', `${c.view_epoch}, says ${c.node}`], ['Acts for it', c.acting || 'no member'], ['A call waits for', c.waits], ['Runs for', c.runs_ms && millis(c.runs_ms) + (c.stuck ? ', stuck' : '')],
      ['Occupied', c.occupied], ['Lease', c.lease_ms != null && lease(c.lease_ms)], ['Quorum', c.quorum == null ? '' : c.quorum ? 'yes' : `no: ${c.no_quorum ?? ''}`],
      ['Older holders', (c.holders ?? []).map(x => `${x.member} of view ${x.view_epoch}${x.busy ? `, ${x.busy} busy` : ''}`).join('; ')], ['Last token', c.token],
    ] : [],
  ].filter(f => f[1])
  keyed(dl, facts, f => f[0], f => div(null, h('dt', null, f[0]), h('dd')), (div, f) => fill(div.lastChild, h('bdi', { title: visible(f[1]) }, visible(f[1])), f[1]))
}
