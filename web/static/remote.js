// Drives the loudspeaker of the box that this page is from, for who has its key.

const $ = id => document.getElementById(id)

// kept is the key that this phone keeps, by itself alone; where it may keep nothing,
// the link is opened again each time.
const kept = {
  name: 'playnode-remote',
  get () { try { return localStorage.getItem(this.name) } catch { return null } },
  set (key) { try { localStorage.setItem(this.name, key) } catch {} },
  forget () { try { localStorage.removeItem(this.name) } catch {} }
}

// A key comes in the link's fragment. It is tried before it takes the place of one
// that does: anybody can make a link.
let key = location.hash.slice(1) || kept.get()
history.replaceState(null, '', location.pathname)
addEventListener('hashchange', () => location.reload())

const put = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text }
const show = (id, on) => { if ($(id).hidden === on) $(id).hidden = !on }
const say = text => { put('state', text); show('state', text !== '') }

let heard = null // what the box said last
let since = 0 // when it said so
let asked = 0 // orders that are not answered
let orders = 0 // all
let shelf = { items: [], scheduled: false }
let banned = null // the track that was taken out by this page last
let told = 0 // until when what went wrong is to be read
let held = false // somebody has a finger on the volume
let wanted = null // the volume that is to be told next

class Refused extends Error {}

async function call (path, order) {
  const patience = new AbortController()
  const timer = setTimeout(() => patience.abort(), 10000)
  try {
    const res = await fetch(path, {
      method: order ? 'POST' : 'GET',
      headers: { Authorization: `Bearer ${key}` },
      body: order && JSON.stringify(order),
      signal: patience.signal
    })
    if (res.status === 401) throw new Refused()
    if (!res.ok) throw new Error((await res.json().catch(() => ({}))).error ?? res.statusText)
    if (kept.get() !== key) kept.set(key)
    return await res.json()
  } finally { clearTimeout(timer) }
}

// fail says what went wrong; false where nothing more is to be asked.
function fail (e) {
  if (e instanceof Refused) {
    const own = kept.get()
    if (own && own !== key) { // the link was somebody's
      key = own
      return true
    }
    kept.forget()
    show('drive', false)
    say('This phone is not let in any more. Scan the code that “playnode remote” shows at the box.')
    return false
  }
  told = performance.now() + 4000
  say(e instanceof TypeError || e.name === 'AbortError' ? 'The box does not answer.' : e.message)
  return true
}

async function order (o) {
  asked++
  orders++
  try {
    take(await call('order', o))
  } catch (e) { fail(e) } finally {
    asked--
    turn()
  }
}

const clock = ms => {
  const s = Math.max(0, Math.round(ms / 1000))
  const two = n => String(n).padStart(2, '0')
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`
}

const sounds = () => heard.state === 'playing'

function take (now) {
  heard = now
  since = performance.now()
  const states = { starting: 'The music begins.', silent: 'It waits for something to play.', sinkless: 'It waits for the loudspeaker.', stopped: 'Nothing is playing.' }
  if (since > told) say(states[now.state] ?? '')
  show('drive', true)
  const item = shelf.items.find(i => i.plays === now.plays)
  put('playlist', now.state === 'stopped' ? '' : (now.live ? 'On air: ' : '') + (item?.label ?? now.plays.split('/').pop()))
  put('title', now.title || (now.track || now.live ? 'Untitled' : ''))
  put('artist', now.artist)
  document.title = now.title ? `${now.title}, playnode` : 'playnode'
  put('next', now.next && `Then: ${now.next}`)
  const on = now.state !== 'stopped' && now.state !== 'paused'
  $('play').classList.toggle('on', on)
  $('play').setAttribute('aria-label', on ? 'Pause' : 'Play')
  for (const id of ['prev', 'skip', 'stop']) $(id).disabled = now.state === 'stopped'
  $('volume').max = now.ceiling
  if (!held && wanted === null) {
    $('volume').value = now.volume
    put('percent', `${now.volume} %`)
  }
  show('block', now.track !== '' && now.state !== 'stopped')
  show('undo', banned !== null)
  for (const b of $('shelf').querySelectorAll('button')) b.setAttribute('aria-pressed', String(on && b.dataset.plays === now.plays))
  tick()
}

function tick () {
  if (!heard) return
  const at = heard.atMs + (sounds() ? Math.min(performance.now() - since, 2500) : 0) // of a box that is silent nobody knows
  const known = heard.ms > 0 && heard.state !== 'stopped'
  show('at', known)
  $('at').value = known ? Math.min(1, at / heard.ms) : 0
  put('gone', known ? clock(Math.min(at, heard.ms)) : heard.live ? clock(at) : '')
  put('left', known ? `−${clock(heard.ms - Math.min(at, heard.ms))}` : '')
}

function lay (s) {
  shelf = s
  const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' })
  const hour = new Intl.DateTimeFormat(undefined, { weekday: 'long', hour: 'numeric', minute: '2-digit' })
  const day = at => (at - Date.now() > 2 * 24 * 3600 * 1000 ? date : hour).format(at)
  const row = (plays, label, more) => {
    const li = document.createElement('li')
    const b = document.createElement('button')
    const small = document.createElement('span')
    b.textContent = label
    b.dataset.plays = plays
    b.onclick = () => order({ do: 'play', plays })
    small.textContent = more
    li.append(b, small)
    return li
  }
  const rows = s.items.map(i => row(i.plays, i.label, `${i.dj ? i.dj + ', ' : ''}until ${day(new Date(i.until))}`))
  if (s.scheduled) rows.unshift(row('', 'By the schedule', 'what is due at this hour'))
  $('shelf').replaceChildren(...rows)
  $('wrong').replaceChildren(...s.wrong.map(text => Object.assign(document.createElement('li'), { textContent: text })))
  put('fine', s.fine)
}

$('prev').onclick = () => order({ do: 'prev' })
$('skip').onclick = () => order({ do: 'next' })
$('stop').onclick = () => order({ do: 'stop' })
$('play').onclick = () => order(heard.state === 'stopped' ? { do: 'play', plays: '' } : { do: heard.state === 'paused' ? 'resume' : 'pause' })
$('block').onclick = () => {
  banned = heard.track
  put('undo', `Let “${heard.title || 'it'}” be played again`)
  order({ do: 'block', track: heard.track })
}
$('undo').onclick = () => {
  const track = banned
  banned = null
  order({ do: 'unblock', track })
}

// turn has the volume follow the finger, one order after the other.
function turn () {
  if (wanted === null || asked) return
  const volume = wanted
  wanted = null
  order({ do: 'volume', volume })
}
$('volume').oninput = () => {
  held = true
  wanted = Number($('volume').value)
  put('percent', `${wanted} %`)
  turn()
}
$('volume').onchange = () => { held = false }

// look asks how it stands, once a second, and each 15 times what there is to play.
async function look (times) {
  if (document.hidden) return setTimeout(look, 1000, times)
  try {
    if (times % 15 === 0) lay(await call('shelf.json'))
    const before = orders
    const now = await call('now.json')
    if (!asked && orders === before) take(now) // an order's answer is newer
    times++
  } catch (e) { if (!fail(e)) return }
  setTimeout(look, 1000, times)
}

if (key) {
  look(0)
  setInterval(tick, 250)
} else say('Scan the code that “playnode remote” shows at the box: it lets this phone in.')
