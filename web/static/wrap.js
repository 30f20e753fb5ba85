// Wraps a set's media as HLS has it (RFC 8216); hls.go does it for a box that
// has a lease.
import { concat } from './sealed.js'

// wraps says of each codec what its segments are called, whether a header goes
// before them, and whether there may be a picture.
export const wraps = {
  mp3: { ext: 'mp3', segment: x => concat(timestamp(x), x.media) },
  aac: { ext: 'aac', segment: x => concat(timestamp(x), x.media) },
  mpegts: { ext: 'ts', video: true, segment: x => concat(x.init.head, x.media) },
  mp4: { ext: 'm4s', video: true, init: x => x.init.head, segment: x => x.media },
  opus: { ext: 'm4s', init: x => initOf(opusTrack(x.init.head)), segment: x => fragment(x, opusSamples(x.media)) },
  flac: { ext: 'm4s', init: x => initOf(flacTrack(x.init.head)), segment: x => fragment(x, flacSamples(x)) }
}

// timestamp is the ID3 tag with which sound without a container says when it is
// (3.4): 90 kHz, of 33 bits.
function timestamp (x) {
  const head = Uint8Array.from('ID3\x04\x00\x00\x00\x00\x00\x3fPRIV\x00\x00\x00\x35\x00\x00com.apple.streaming.transportStreamTimestamp\x00', c => c.charCodeAt(0))
  const at = new Uint8Array(8)
  new DataView(at.buffer).setBigUint64(0, BigInt(Math.floor(x.at / x.init.rate * 90000)) & (1n << 33n) - 1n)
  return concat(head, at)
}

const num = (n, v) => { // big-endian, in n bytes
  const b = new Uint8Array(n)
  for (let i = n - 1; i >= 0; i--) { b[i] = v % 256; v = Math.floor(v / 256) }
  return b
}
const u16 = v => num(2, v)
const u32 = v => num(4, v)
const zeros = n => new Uint8Array(n)
const ascii = s => Uint8Array.from(s, c => c.charCodeAt(0))
const box = (kind, ...parts) => { const b = concat(...parts); return concat(u32(b.length + 8), ascii(kind), b) }
const full = (version, flags, ...parts) => concat(num(1, version), num(3, flags), ...parts)

// initOf is what goes before all fragments of a track of sound (ISO/IEC 14496-12).
function initOf (t) {
  const matrix = concat(...[0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32))
  const none = u32(0)
  const entry = concat(zeros(6), u16(1), zeros(8), u16(t.channels), u16(t.bits), zeros(4), u32(Math.min(t.rate, 65535) * 65536), t.config)
  const stbl = box('stbl', box('stsd', full(0, 0, u32(1), box(t.entry, entry))),
    box('stts', full(0, 0, none)), box('stsc', full(0, 0, none)), box('stsz', full(0, 0, none, none)), box('stco', full(0, 0, none)))
  const minf = box('minf', box('smhd', full(0, 0, zeros(4))), box('dinf', box('dref', full(0, 0, u32(1), box('url ', full(0, 1))))), stbl)
  const mdhd = box('mdhd', full(0, 0, none, none, u32(t.rate), none, u16(0x55c4), u16(0)))
  const hdlr = box('hdlr', full(0, 0, none, ascii('soun'), zeros(12), ascii('playnode\0')))
  const tkhd = box('tkhd', full(0, 3, none, none, u32(1), none, none, zeros(8), u16(0), u16(1), u16(0x100), u16(0), matrix, none, none))
  const mvhd = box('mvhd', full(0, 0, none, none, u32(1000), none, u32(0x10000), u16(0x100), zeros(10), matrix, zeros(24), u32(2)))
  const trex = box('trex', full(0, 0, u32(1), u32(1), none, none, none))
  return concat(box('ftyp', ascii('iso6'), none, ascii('iso6mp41')),
    box('moov', mvhd, box('trak', tkhd, box('mdia', mdhd, hdlr, minf)), box('mvex', trex)))
}

// fragment is samples, each [bytes, ticks], that begin where segment x does.
function fragment (x, samples) {
  const data = concat(...samples.map(s => s[0]))
  const moof = offset => box('moof', box('mfhd', full(0, 0, u32(x.n + 1))),
    box('traf', box('tfhd', full(0, 0x020000, u32(1))), box('tfdt', full(1, 0, num(8, x.at))),
      box('trun', full(0, 0x301, u32(samples.length), u32(offset), ...samples.flatMap(s => [u32(s[1]), u32(s[0].length)])))))
  return concat(moof(moof(0).length + 8), box('mdat', data))
}

// packets are those that end in pages of Ogg (RFC 3533); one that began before
// them is left out.
function packets (pages) {
  const out = []
  let part = []; let skip = false
  for (let at = 0; at < pages.length;) {
    const n = pages[at + 26]; const lacing = pages.subarray(at + 27, at + 27 + n)
    if (pages[at] !== 0x4f || lacing.length !== n) throw new Error('no Ogg page')
    skip ||= at === 0 && (pages[5] & 1) === 1
    at += 27 + n
    for (const l of lacing) {
      part.push(pages.subarray(at, at + l))
      at += l
      if (l === 255) continue
      if (!skip) out.push(concat(...part))
      part = []; skip = false
    }
  }
  return out
}

function opusTrack (head) {
  const p = packets(head)[0] ?? zeros(0)
  if (p.length < 19 || p[18] !== 0) throw new Error('no header that fragmented MP4 can hold')
  const config = concat(Uint8Array.of(0, p[9], p[11], p[10], p[15], p[14], p[13], p[12], p[17], p[16], 0))
  return { entry: 'Opus', config: box('dOps', config), rate: 48000, channels: p[9], bits: 16 }
}

// opusFrames is how many sample frames a packet holds (RFC 6716, 3.1 and 3.2).
function opusFrames (p) {
  const c = p[0] >> 3
  const size = c < 12 ? [480, 960, 1920, 2880][c & 3] : c < 16 ? [480, 960][c & 1] : 120 << (c & 3)
  return size * [1, 2, 2, p[1] & 63][p[0] & 3]
}

const opusSamples = media => packets(media).filter(p => p.length > 1).map(p => [p, opusFrames(p)])

function flacTrack (head) { // fLaC, then STREAMINFO
  const info = head.subarray(8, 42)
  if (info.length !== 34) throw new Error('no STREAMINFO')
  const rate = info[10] << 12 | info[11] << 4 | info[12] >> 4
  const bits = (info[12] & 1) << 4 | info[13] >> 4
  return { entry: 'fLaC', config: box('dfLa', full(0, 0, Uint8Array.of(0x80, 0, 0, 34), info)), rate, channels: (info[12] >> 1 & 7) + 1, bits: bits + 1 }
}

const table = (width, poly) => Array.from({ length: 256 }, (_, v) => {
  v <<= width - 8
  for (let i = 0; i < 8; i++) v = (v << 1 ^ (v >> (width - 1) & 1 ? poly : 0)) & ((1 << width) - 1)
  return v
})
const crc8 = table(8, 0x07)
const crc16 = table(16, 0x8005)

// flacHeader is how many samples the frame at i has, 0 where none begins (RFC
// 9639, 9.1).
function flacHeader (b, i) {
  const size = b[i + 2] >> 4
  if (b[i] !== 0xff || (b[i + 1] & 0xfe) !== 0xf8 || size === 0 || (b[i + 2] & 15) === 15 || b[i + 3] >> 4 > 10 || (b[i + 3] & 1) === 1) return 0
  let at = i + 4
  for (let lead = b[at++]; (lead & 0xc0) === 0xc0; lead = lead << 1 & 0xff) at++ // the number, as UTF-8 is
  let block = size === 1 ? 192 : size < 6 ? 576 << size - 2 : 256 << size - 8
  if (size === 6) block = b[at++] + 1
  if (size === 7) { block = (b[at] << 8 | b[at + 1]) + 1; at += 2 }
  at += [0, 1, 2, 2][Math.max(0, (b[i + 2] & 15) - 11)]
  let c = 0
  for (let k = i; k < at; k++) c = crc8[c ^ b[k]]
  return at < b.length && c === b[at] ? block : 0
}

// flacSamples are a segment's frames. A frame ends where its checksum holds and
// the next one begins, or the segment ends.
function flacSamples (x) {
  const b = x.media; const out = []
  for (let from = 0; from < b.length;) {
    const block = flacHeader(b, from)
    if (block === 0) throw new Error('no FLAC frame')
    let c = 0; let at = from
    for (;;) { // c is 0 behind a frame and its checksum
      if (at === b.length) break
      c = (c << 8 ^ crc16[c >> 8 ^ b[at++]]) & 0xffff
      if (c === 0 && at > from + 6 && at < b.length && flacHeader(b, at) > 0) break
    }
    out.push([b.subarray(from, at), block])
    from = at
  }
  return out
}
