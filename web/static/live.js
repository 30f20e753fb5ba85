'use strict'
// Plays the set of this page, and shows what is on.
const player = document.getElementById('player')
const state = document.getElementById('state')
const title = document.getElementById('title')
const say = text => { if (state.textContent !== text) state.textContent = text }

let wanted = false // by the listener; that a player begins anew changes nothing

// listen has hls.js play src from now on. What cannot be had or played is gone over.
function listen (src) {
  const hls = new Hls({
    // No worker, and no cues: the page's policy allows none of their sources.
    enableWorker: false, enableID3MetadataCues: false, enableEmsgMetadataCues: false, enableDateRangeMetadataCues: false,
    liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 8, maxLiveSyncPlaybackRate: 1.05
  })
  let bad = -1 // the segment that was no music last
  hls.on(Hls.Events.ERROR, (_, e) => {
    if (e.details === Hls.ErrorDetails.FRAG_PARSING_ERROR && e.frag) {
      if (e.frag.sn === bad && player.currentTime < e.frag.end) player.currentTime = e.frag.end + 0.01 // it was tried twice
      bad = e.frag.sn
    }
    if (!e.fatal || over) return
    if (e.type === Hls.ErrorTypes.NETWORK_ERROR) {
      say('Waiting for the set.')
      setTimeout(() => { if (!over) hls.startLoad() }, 1000)
    } else if (e.type === Hls.ErrorTypes.MEDIA_ERROR) { // what it has read is not to be trusted
      say('Waiting for the set.')
      anew(1000)
    } else say('This browser cannot play the set.')
  })
  // A player that stands still while the set goes on is put where the set is, and made anew if that does not help.
  let at = -1; let still = 0; let jumps = 0
  const watch = setInterval(() => {
    if (!wanted || player.ended || player.currentTime !== at) {
      if (player.currentTime > at + 0.5) jumps = 0
      at = player.currentTime
      still = 0
    } else if (++still >= 4 && hls.liveSyncPosition > at + 1) {
      still = 0
      if (++jumps <= 2) at = player.currentTime = hls.liveSyncPosition // which is no progress of its own
      else anew(0)
    }
  }, 1000)
  // anew has another one play on, ms from now. Until then the player keeps its source: without one it takes no presses.
  let over = false
  const anew = ms => {
    over = true
    clearInterval(watch)
    hls.stopLoad()
    setTimeout(() => {
      wanted = !player.paused // of what was pressed just now the source takes the event along
      hls.destroy()
      listen(src)
    }, ms)
  }
  hls.on(Hls.Events.MEDIA_ATTACHED, () => {
    if (wanted) player.play().catch(e => { if (e.name === 'NotAllowedError') say('Press play to listen on.') })
  })
  hls.loadSource(src)
  hls.attachMedia(player)
}

if (player) {
  const src = player.dataset.src
  player.addEventListener('play', () => { wanted = true })
  player.addEventListener('pause', () => { wanted = false })
  if (window.Hls && Hls.isSupported()) listen(src)
  else if (player.canPlayType('application/vnd.apple.mpegurl')) player.src = src
  else say('This browser cannot play the set.')
  player.addEventListener('loadedmetadata', () => player.classList.toggle('sound', player.videoWidth === 0))
  player.addEventListener('playing', () => say('Playing.'))
  player.addEventListener('waiting', () => say('Waiting for the set.'))
  player.addEventListener('ended', () => say('The set has ended.'))
}

async function look () {
  try {
    const res = await fetch('now.json')
    if (res.status === 404) return say('The set is not on air any more.')
    const now = await res.json()
    if (title.textContent !== now.title) title.textContent = now.title
    // A set of which nothing was here yet gets its player.
    if (!player && now.begun && !state.dataset.codec) return location.reload()
  } catch { if (!player || player.paused) say('The box does not answer.') }
  setTimeout(look, player ? 2000 : 500)
}
look()
