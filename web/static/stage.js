// The player of a page. What cannot be had or played is gone over, and a player
// that cannot go on is made anew.

/* global Hls */

// able tells whether listen can be called.
export const able = () => window.Hls?.isSupported() ?? false

// live is hls.js's configuration for a set that goes on.
export const live = { liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 8, maxLiveSyncPlaybackRate: 1.05 }

// attend has say tell what becomes of player.
export function attend (player, say) {
  player.addEventListener('loadedmetadata', () => player.classList.toggle('sound', player.videoWidth === 0))
  player.addEventListener('playing', () => say('Playing.'))
  player.addEventListener('waiting', () => say('Waiting for the set.'))
  player.addEventListener('ended', () => say('The set has ended.'))
}

// listen has hls.js play src in player, once it is asked to. follows says that
// a player which stands still is to be where the set is.
export function listen (player, src, say, config, follows) {
  let wanted = false // by the listener; that a player begins anew changes nothing
  player.addEventListener('play', () => { wanted = true })
  player.addEventListener('pause', () => { wanted = false })
  const begin = () => {
    const hls = new Hls({
      // No worker, and no cues: the page's policy allows none of their sources.
      enableWorker: false,
      enableID3MetadataCues: false,
      enableEmsgMetadataCues: false,
      enableDateRangeMetadataCues: false,
      ...config
    })
    let bad = -1 // the segment that was no music last
    hls.on(Hls.Events.ERROR, (_, e) => {
      const damaged = e.details === Hls.ErrorDetails.FRAG_PARSING_ERROR
      const absent = e.details === Hls.ErrorDetails.FRAG_LOAD_ERROR && e.response?.code === 404 && player.currentTime >= e.frag?.start - 1
      if ((damaged || absent) && e.frag) {
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
      if (!wanted || !follows || player.ended || player.currentTime !== at) {
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
        begin()
      }, ms)
    }
    hls.on(Hls.Events.MEDIA_ATTACHED, () => {
      if (wanted) player.play().catch(e => { if (e.name === 'NotAllowedError') say('Press play to listen on.') })
    })
    hls.loadSource(src)
    hls.attachMedia(player)
  }
  begin()
}
