// Plays what the link of this page opens. The key is in the link's fragment,
// which a browser sends to nobody; this box gives sealed bytes, as it gives them
// to anyone, and they are opened here.
import { OpenSet, digest, equal, keyOf, openExcerpt, sound, unhex } from './sealed.js'
import { able, attend, listen, live } from './stage.js'
import { wraps } from './wrap.js'

const state = document.getElementById('state')
const title = document.getElementById('title')
const say = text => { if (state.textContent !== text) state.textContent = text }
const wait = ms => new Promise(resolve => setTimeout(resolve, ms))

const held = 40 // segments in memory
const listed = 30 // in a playlist
const tries = 3 // of a segment, each with another look at what there is

// Sorry is an error whose words are for people.
class Sorry extends Error {}

// Absent is one of what this box does not have.
class Absent extends Error {}

const busy = 'This box leaves its line to others now. Try again later, or another box.'

// bytes is a block, not verified yet.
async function bytes (cid) {
  const res = await fetch('../../ipfs/' + cid + '?format=raw')
  if (res.status === 503) throw new Error(busy)
  if (!res.ok) throw new Absent('This box does not have it now. It is asked again.')
  return new Uint8Array(await res.arrayBuffer())
}

// listing is what this box tells of what the link leads to; null where it has
// nothing.
async function listing () {
  const res = await fetch(location.pathname.split('/').pop() + '.json')
  if (res.status === 404) return null
  if (res.status === 503) throw new Error(busy)
  if (!res.ok) throw new Error('This box does not answer as it should. It is asked again.')
  return await res.json()
}

// Air is a set on air, as this box tells of it.
class Air {
  constructor (set) { Object.assign(this, { set, keys: new Map(), parts: new Map(), failed: new Map(), text: '', kind: '', ended: false }) }

  // key is the live key that segment x is sealed under.
  key (x, records) {
    const r = records.findLast(r => r.from <= x.n && r.gen === x.gen && r.cur === x.cur)
    if (!r) throw new Error('under no record')
    const name = r.lid + r.from
    if (!this.keys.has(name)) this.keys.set(name, this.set.tune(r))
    const lk = this.keys.get(name)
    if (!lk) throw new Sorry('The key in this link does not open this set. Ask for the link again.')
    return this.set.segmentKey(lk, x.n)
  }

  // look opens what is new. It tells whether anything of the set is here.
  async look () {
    const now = await listing()
    if (!now?.segments) return false
    await Promise.all(now.segments.map(async x => {
      if (this.parts.has(x.n) || this.failed.get(x.n) >= tries) return
      try {
        const key = this.key(x, now.records)
        this.parts.set(x.n, this.set.open(key, x, await bytes(x.cid)))
      } catch (e) {
        if (e instanceof Sorry) throw e
        this.failed.set(x.n, (this.failed.get(x.n) ?? 0) + 1)
      }
    }))
    // A segment that says how media begins says it for those behind it.
    let init = null
    const numbers = [...this.parts.keys()].sort((a, b) => a - b)
    for (const n of numbers) {
      const x = this.parts.get(n)
      init = x.init ??= init
      if (x.text) this.text = x.text
    }
    for (const n of numbers.slice(0, -held)) if (n < now.first) this.parts.delete(n)
    for (const n of this.failed.keys()) if (n < now.first) this.failed.delete(n)
    this.first = Math.max(now.first, now.next - listed)
    this.next = now.next
    this.ended = now.ended
    return true
  }

  // playlist lists the newest segments, as a box that has a lease does.
  playlist () {
    let out = ''; let first = this.first; let before = null; let longest = 1; let last = 1; let parts = 0; let { ended } = this
    for (let n = first; n < this.next; n++) {
      const x = this.parts.get(n)
      if (!x?.init) {
        if (this.failed.get(n) < tries) { ended = false; break } // it may come still
        if (parts === 0) first++
        else out += `#EXT-X-GAP\n#EXTINF:${last.toFixed(6)},\n${n}.${wraps[before.codec].ext}\n`
        continue
      }
      if (x.len === 0) continue // the end alone
      const k = wraps[x.init.codec]
      if (!k) throw new Sorry(`Browsers do not take this set's format, ${x.init.codec}.`)
      const same = before && (before === x.init || before.codec === x.init.codec && String(before.head) === String(x.init.head))
      if (!same && parts > 0) out += '#EXT-X-DISCONTINUITY\n'
      if (!same && k.init) out += `#EXT-X-MAP:URI="init-${n}.mp4"\n`
      before = x.init
      last = x.len / x.init.rate
      longest = Math.max(longest, last)
      out += `#EXTINF:${last.toFixed(6)},\n${n}.${k.ext}\n`
      parts++
    }
    return `#EXTM3U\n#EXT-X-VERSION:8\n${this.kind}#EXT-X-TARGETDURATION:${Math.ceil(longest)}\n#EXT-X-MEDIA-SEQUENCE:${first}\n${out}${ended ? '#EXT-X-ENDLIST\n' : ''}`
  }

  // part is what a playlist calls name: a segment, or what goes before it.
  async part (name) {
    const [, init, n] = name.match(/^(init-)?(\d+)\./)
    const x = this.parts.get(Number(n))
    if (!x) throw new Error('not here')
    const k = wraps[x.init.codec]
    return (init ? k.init(x) : k.segment(x)).slice().buffer
  }

  // newest is one that tells how the set is to be shown.
  newest () { return [...this.parts.values()].findLast(x => x.init && x.len > 0) }
}

// Excerpt is a stretch of a set that was on air, or all of one. All of it is
// listed, and each segment is had when it is to be played.
class Excerpt extends Air {
  constructor (dj, e) {
    super(new OpenSet(dj, e.live))
    Object.assign(this, { e, first: e.parts[0].n, next: e.parts.at(-1).n + 1, text: e.text, kind: '#EXT-X-PLAYLIST-TYPE:VOD\n', ended: true })
    for (const x of e.parts) this.parts.set(x.n, { n: x.n, len: x.len, init: e.init })
  }

  async look () { return true }

  async part (name) {
    const [, init, n] = name.match(/^(init-)?(\d+)\./)
    const k = wraps[this.e.init.codec]
    if (init) return k.init({ init: this.e.init }).slice().buffer
    const x = this.e.parts[Number(n) - this.first]
    const block = await bytes(x.cid)
    let open
    try { open = this.set.open(x.key, x, block) } catch { throw new Absent('A piece of it is damaged at this box.') }
    return k.segment({ ...open, init: this.e.init }).slice().buffer
  }
}

// from makes a loader for hls.js of what give gives for a name.
const from = give => class {
  constructor () {
    const span = () => ({ start: 0, end: 0 })
    this.context = null
    this.stats = { aborted: false, loaded: 0, retry: 0, total: 0, chunkCount: 0, bwEstimate: 0, loading: { start: 0, first: 0, end: 0 }, parsing: span(), buffering: span() }
  }

  load (context, _, callbacks) {
    const s = this.stats
    this.context = context
    s.loading.start = performance.now()
    give(new URL(context.url).pathname.split('/').pop()).then(data => {
      if (s.aborted) return
      s.loading.first = s.loading.end = performance.now()
      s.loaded = s.total = data.byteLength ?? data.length
      callbacks.onSuccess({ url: context.url, data, code: 200 }, s, context, null)
    }, e => {
      if (e instanceof Sorry) say(e.message)
      if (!s.aborted) callbacks.onError({ code: e instanceof Absent ? 404 : 503, text: 'it cannot be had' }, context, null, s)
    })
  }

  abort () { this.stats.aborted = true }
  destroy () { this.abort() }
  getCacheAge () { return null }
  getResponseHeader () { return null }
}

// play shows source, of whose media x is one.
function play (source, x) {
  if (!wraps[x.init.codec]) throw new Sorry(`Browsers do not take this set's format, ${x.init.codec}.`)
  const player = document.createElement(wraps[x.init.codec].video ? 'video' : 'audio')
  Object.assign(player, { id: 'player', controls: true })
  player.setAttribute('playsinline', '')
  player.setAttribute('aria-labelledby', 'name')
  document.getElementById('stage').replaceChildren(player)
  attend(player, say)
  if (!able()) throw new Sorry('This browser cannot play the set.')
  listen(player, new URL('set.m3u8', location).href, say, {
    ...source.kind ? { startPosition: 0, liveSyncDurationCount: 3, liveMaxLatencyDurationCount: Infinity } : live,
    fLoader: from(name => source.part(name)),
    pLoader: from(async () => {
      await source.look()
      title.textContent = source.text
      return source.playlist()
    })
  }, !source.kind)
  say('Press play to listen.')
}

async function begin () {
  const [who, id] = location.pathname.split('/').slice(-2)
  const key = keyOf(location.hash)
  if (location.hash.length < 2) throw new Sorry('This link has no key: all of it is needed, with the part behind the #.')
  if (!key) throw new Sorry('The key in this link is damaged or was cut: all of the link is needed, to its end.')
  const dj = digest(who)
  let source = new Air(new OpenSet(dj, unhex(id), key))
  for (;;) {
    try {
      const { excerpt } = await listing() ?? {}
      if (excerpt && !source.kind) {
        const block = await bytes(excerpt)
        if (!sound(excerpt, block)) throw new Absent('A piece of it is damaged at this box. It is asked again.')
        try { source = new Excerpt(dj, openExcerpt(dj, unhex(id), key, excerpt, block)) } catch { throw new Sorry('The key in this link does not open this excerpt. Ask for the link again.') }
      }
      if (!await source.look()) say('Nothing of this set is here now: it has not begun, or it is over. This page looks again.')
      else if (source.newest()) break
      else say('Waiting for the set.')
    } catch (e) {
      if (e instanceof Sorry) throw e
      say(e instanceof TypeError ? 'The box does not answer.' : e.message)
    }
    await wait(1000)
  }
  if (source.kind) {
    document.getElementById('kind').textContent = equal(source.e.live, unhex(id)) ? 'The set is over: this is a recording of it.' : 'This is a stretch of a set that is over.'
  }
  play(source, source.newest())
}

// Another key in the same page's link is another page.
addEventListener('hashchange', () => location.reload())
begin().catch(e => say(e instanceof Sorry ? e.message : 'This page does not work here: ' + e))
