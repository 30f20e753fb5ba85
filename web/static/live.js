'use strict'
// Plays the set of this page, and shows what is on.
const player = document.getElementById('player')
const state = document.getElementById('state')
const title = document.getElementById('title')
const say = text => { if (state.textContent !== text) state.textContent = text }

if (player) {
  const src = player.dataset.src
  if (window.Hls && Hls.isSupported()) {
    // No worker: the page's policy allows none.
    const hls = new Hls({ enableWorker: false, liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 8, maxLiveSyncPlaybackRate: 1.05 })
    hls.on(Hls.Events.ERROR, (_, e) => {
      if (!e.fatal) return
      if (e.type === Hls.ErrorTypes.NETWORK_ERROR) { say('Waiting for the set.'); setTimeout(() => hls.startLoad(), 1000) } else if (e.type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError()
      else say('This browser cannot play the set.')
    })
    hls.loadSource(src)
    hls.attachMedia(player)
  } else if (player.canPlayType('application/vnd.apple.mpegurl')) {
    player.src = src
  } else {
    say('This browser cannot play the set.')
  }
  player.addEventListener('playing', () => say('Playing.'))
  player.addEventListener('waiting', () => say('Waiting for the set.'))
  player.addEventListener('ended', () => say('The set has ended.'))
}

async function look () {
  try {
    const res = await fetch('now.json')
    if (res.ok) {
      const now = await res.json()
      if (title.textContent !== now.title) title.textContent = now.title
    }
  } catch { say('The box does not answer.') }
  setTimeout(look, 2000)
}
look()
