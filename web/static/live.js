// Plays the set of this page, and shows what is on.
import { able, attend, listen, live } from './stage.js'

const player = document.getElementById('player')
const state = document.getElementById('state')
const title = document.getElementById('title')
const say = text => { if (state.textContent !== text) state.textContent = text }

if (player) {
  const src = player.dataset.src
  attend(player, say)
  if (able()) listen(player, src, say, live, true)
  else if (player.canPlayType('application/vnd.apple.mpegurl')) player.src = src
  else say('This browser cannot play the set.')
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
