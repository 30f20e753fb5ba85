// Opens what a set's key opens, in this browser: SPEC.md, sections 1, 2, 22 and
// 25. Nothing here is trusted but the key.
import { xchacha20poly1305 } from './noble/ciphers/chacha.js'
import { hkdf } from './noble/hashes/hkdf.js'
import { sha256 } from './noble/hashes/sha2.js'

const utf8 = new TextEncoder()

export function concat (...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) { out.set(p, at); at += p.length }
  return out
}

export const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i])

export function unhex (s) {
  if (!/^([0-9a-f]{2})*$/.test(s)) throw new Error('not hexadecimal')
  return Uint8Array.from(s.match(/../g) ?? [], x => parseInt(x, 16))
}

export function base32 (s) {
  const out = []
  let bits = 0; let n = 0
  for (const c of s) {
    const v = 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(c)
    if (v < 0) throw new Error('not base32')
    n = n << 5 | v
    if ((bits += 5) >= 8) { bits -= 8; out.push(n >> bits); n &= (1 << bits) - 1 }
  }
  if (n !== 0 || bits > 4) throw new Error('not base32')
  return Uint8Array.from(out)
}

// rawCID is the CID of a raw block with a sha2-256 digest, in base32.
export function rawCID (digest) {
  let out = 'b'; let bits = 0; let n = 0
  for (const v of [1, 0x55, 0x12, 32, ...digest]) {
    n = n << 8 | v
    for (bits += 8; bits >= 5; n &= (1 << bits) - 1) { bits -= 5; out += 'abcdefghijklmnopqrstuvwxyz234567'[n >> bits] }
  }
  return bits > 0 ? out + 'abcdefghijklmnopqrstuvwxyz234567'[n << 5 - bits] : out
}

// digest is the sha2-256 digest in a CIDv1 of base32.
export function digest (cid) {
  const b = base32(cid.slice(1))
  if (cid[0] !== 'b' || b.length !== 36 || b[0] !== 1 || b[2] !== 0x12 || b[3] !== 32) throw new Error('no CID of ours')
  return b.subarray(4)
}

// sound tells whether a block is what its CID says.
export const sound = (cid, block) => equal(sha256(block), digest(cid))

// keyOf is the key in a link's fragment; null where it is missing, cut or damaged.
export function keyOf (fragment) {
  const text = fragment.replace(/^#/, '')
  if (!text.startsWith('pnopen1')) return null
  try {
    const b = base32(text.slice(7))
    return b.length === 36 && equal(sha256(b.subarray(0, 32)).subarray(0, 4), b.subarray(32)) ? b.slice(0, 32) : null
  } catch { return null }
}

export function u64 (n) {
  const b = new Uint8Array(8)
  new DataView(b.buffer).setBigUint64(0, BigInt(n))
  return b
}

function uvarint (n) {
  const out = []
  for (; n > 127; n = Math.floor(n / 128)) out.push(n % 128 | 128)
  return Uint8Array.from([...out, n])
}

export const ctx = (label, ...parts) => concat(utf8.encode('playnode/v1/' + label + '\0'), ...parts.flatMap(p => [uvarint(p.length), p]))
export const kdf = (key, label, ...parts) => hkdf(sha256, key, undefined, ctx(label, ...parts), 32)

// unseal opens what the SPEC's seal has sealed.
export function unseal (key, sealed, aad) {
  const p = xchacha20poly1305(key, sealed.subarray(0, 24), aad).decrypt(sealed.subarray(24))
  const n = new DataView(p.buffer, p.byteOffset).getUint32(0)
  if (Math.ceil((n + 4) / 1024) * 1024 !== p.length || p.subarray(4 + n).some(z => z !== 0)) throw new Error('padding')
  return p.subarray(4, 4 + n)
}

// cbor decodes dag-cbor of what our records have in them.
export function cbor (bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const words = new TextDecoder('utf-8', { fatal: true })
  let at = 0
  const take = n => {
    if (n > bytes.length - at) throw new Error('cut CBOR')
    at += n
    return at - n
  }
  const value = depth => {
    const first = bytes[take(1)]; const low = first & 31
    let n = low
    if (low === 24) n = view.getUint8(take(1))
    else if (low === 25) n = view.getUint16(take(2))
    else if (low === 26) n = view.getUint32(take(4))
    else if (low === 27) n = Number(view.getBigUint64(take(8)))
    if (depth > 8 || low > 27 || !Number.isSafeInteger(n)) throw new Error('no CBOR of ours')
    switch (first >> 5) {
      case 0: return n
      case 2: { const i = take(n); return bytes.subarray(i, i + n) }
      case 3: { const i = take(n); return words.decode(bytes.subarray(i, i + n)) }
      case 4: { const out = []; for (let i = 0; i < n; i++) out.push(value(depth + 1)); return out }
      case 5: { const out = new Map(); for (let i = 0; i < n; i++) { const k = value(depth + 1); out.set(k, value(depth + 1)) } return out }
      case 6: if (n === 42) return value(depth + 1); break
      case 7: if (low >= 20 && low <= 22) return [false, true, null][low - 20]
    }
    throw new Error('no CBOR of ours')
  }
  const out = value(0)
  if (at !== bytes.length) throw new Error('more than CBOR')
  return out
}

// openExcerpt opens the block that a CID names: a stretch of a set, with the key
// of each of its segments.
export function openExcerpt (dj, id, key, cid, block) {
  if (!equal(sha256(block), digest(cid))) throw new Error('another block')
  const e = cbor(unseal(kdf(key, 'excerpt', dj, id), block, ctx('excerpt', dj, id)))
  const [codec, rate, head] = e.get('init')
  const parts = e.get('parts').map(([digest, key, len, gen, cur], i, all) => ({
    n: e.get('first') + i, cid: rawCID(digest), key, len, gen, cur, final: e.get('final') && i === all.length - 1
  }))
  return { live: e.get('live'), text: e.get('text'), init: { codec, rate, head }, parts }
}

// OpenSet is a set by the key that opens it.
export class OpenSet {
  constructor (dj, id, key) { Object.assign(this, { dj, id, key }) }

  // tune is the live key of a record; null where the key is another set's.
  tune (r) {
    const parts = [this.dj, unhex(r.sel), this.id, u64(r.gen), u64(r.cur), u64(r.from)]
    const lk = kdf(this.key, 'open', ...parts)
    return equal(kdf(lk, 'lid', ...parts), unhex(r.lid)) ? lk : null
  }

  segmentKey (lk, n) { return kdf(lk, 'seg', this.id, u64(n)) }

  // open opens segment x, which the CID in x names, with its own key.
  open (key, x, sealed) {
    if (!equal(sha256(sealed), digest(x.cid))) throw new Error('another block')
    const s = cbor(unseal(key, sealed, ctx('seg', this.dj, this.id, u64(x.gen), u64(x.cur), u64(x.n), Uint8Array.of(x.final ? 1 : 0))))
    const init = s.get('init')
    return {
      n: x.n,
      at: s.get('at'),
      len: s.get('len'),
      text: s.get('text'),
      media: s.get('media'),
      init: init && { codec: init[0], rate: init[1], head: init[2] }
    }
  }
}
