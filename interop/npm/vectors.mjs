// Opens testdata/vectors with libraries that playnode did not write: @ipld/dag-cbor
// for every record, node's crypto for signatures, key derivation and locks,
// @noble/ciphers for metadata, @hpke for a grant. The directory is the one
// argument. Every derivation is built here from SPEC.md's words, not read from the
// vector. Prints how many checks of each kind held; throws at the first that
// does not.
import { strict as assert } from 'node:assert'
import { createDecipheriv, createHash, createPublicKey, hkdfSync, verify } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as cbor from '@ipld/dag-cbor'
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305'
import { CipherSuite, HkdfSha256 } from '@hpke/core'
import { XWing } from '@hpke/hybridkem-x-wing'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { base32 } from 'multiformats/bases/base32'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

// Node 18 has this only in its module.
globalThis.crypto ??= (await import('node:crypto')).webcrypto

const dir = process.argv[2]
const file = name => new Uint8Array(readFileSync(join(dir, name)))
const json = name => JSON.parse(readFileSync(join(dir, name), 'utf8'))
const hex = text => new Uint8Array(Buffer.from(text, 'hex'))
const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest()
const same = (got, want, what) => assert.equal(Buffer.from(got).toString('hex'), Buffer.from(want).toString('hex'), what)
const join8 = parts => new Uint8Array(Buffer.concat(parts.map(p => Buffer.from(p))))
const counts = {}
const held = kind => { counts[kind] = (counts[kind] ?? 0) + 1 }

function uvarint (n) {
  const out = []
  for (; n >= 0x80; n = Math.floor(n / 128)) out.push(n % 128 | 0x80)
  return [...out, n]
}

// context is SPEC's CTX.
const context = (label, ...parts) =>
  join8([Buffer.from('playnode/v1/' + label), [0], ...parts.flatMap(p => [uvarint(p.length), p])])

// derived is SPEC's KDF, held against the vector.
function derived (v) {
  const info = context(v.label, ...v.parts.map(hex))
  same(info, hex(v.ctx), `context of ${v.label}`)
  const key = new Uint8Array(hkdfSync('sha256', hex(v.secret), new Uint8Array(0), info, 32))
  same(key, hex(v.key), `key of ${v.label}`)
  held('derivation')
  return key
}

// chacha opens under nonce 0.
function chacha (key, aad, sealed) {
  const d = createDecipheriv('chacha20-poly1305', key, new Uint8Array(12), { authTagLength: 16 })
  d.setAAD(aad)
  d.setAuthTag(sealed.subarray(sealed.length - 16))
  return join8([d.update(sealed.subarray(0, sealed.length - 16)), d.final()])
}

const u64 = n => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return new Uint8Array(b) }

// xchacha opens nonce24 || ciphertext and takes the padding off.
const xchacha = (key, aad, sealed, unit) =>
  unpadded(xchacha20poly1305(key, sealed.subarray(0, 24), aad).decrypt(sealed.subarray(24)), unit)

function unpadded (padded, unit) {
  assert.equal(padded.length % unit, 0, 'padded to its unit')
  const length = Buffer.from(padded).readUInt32BE(0)
  assert.ok(padded.subarray(4 + length).every(b => b === 0), 'padding is zeros')
  return padded.subarray(4, 4 + length)
}

// shown is dag-json of a decoded value.
function shown (value) {
  if (value instanceof Uint8Array) return { '/': { bytes: Buffer.from(value).toString('base64').replace(/=+$/, '') } }
  const cid = CID.asCID(value)
  if (cid) return { '/': cid.toString() }
  if (Array.isArray(value)) return value.map(shown)
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, shown(v)]))
  return value
}

// Every record: its CID, its value, and that this library writes it alike.
const listed = json('index.json')
for (const { name, file: path, cid, value } of listed) {
  const block = file(path)
  assert.equal(CID.createV1(cbor.code, Digest.create(0x12, new Uint8Array(sha256(block)))).toString(), cid, name)
  const decoded = cbor.decode(block)
  same(cbor.encode(decoded), block, `${name} is canonical`)
  if (value !== undefined) assert.deepEqual(shown(decoded), value, name)
  held('record')
}
const unlisted = readdirSync(dir).filter(f => f.endsWith('.cbor') && !listed.some(l => l.file === f))
assert.deepEqual(unlisted, [], 'every record is in the index')

const boxes = cbor.decode(file('boxes.cbor'))
assert.equal(boxes.e.length, 64)
boxes.e.forEach(([id, [version, kem, enc, ct]], i) => {
  assert.deepEqual([id.length, version, kem, enc.length, ct.length], [16, 1, 0x647a, 1120, 2064], `mailbox ${i}`)
  if (i > 0) assert.ok(Buffer.compare(boxes.e[i - 1][0], id) < 0, 'ids ascend')
  held('mailbox')
})

for (const v of json('signatures.json')) {
  const env = cbor.decode(file(v.env))
  const payload = Digest.create(0x12, new Uint8Array(sha256(file(v.payload))))
  assert.ok(env.v === 1 && env.t === v.type && env.p.equals(CID.createV1(cbor.code, payload)), v.name)
  const type = Buffer.from(env.t)
  const message = join8([Buffer.from('playnode/v1\0'), uvarint(type.length), type, uvarint(env.p.bytes.length), env.p.bytes])
  same(message, hex(v.message), `message of ${v.name}`)
  assert.equal(env.sigs.length, v.keys.length, v.name)
  env.sigs.forEach(({ k, s }, i) => {
    same(k, hex(v.keys[i]), `signer of ${v.name}`)
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), k])
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    assert.ok(verify(null, message, key, s), `signature of ${v.name}`)
    assert.ok(!verify(null, join8([message.subarray(1), [0]]), key, s), 'and of nothing else')
    held('signature')
  })
}

const keys = json('keys.json')
const manifest = cbor.decode(file('manifest.cbor'))
derived(keys.periodKey)
same(derived(keys.gid).subarray(0, 16), manifest.gid, 'gid')
same(derived(keys.rid), manifest.rid, 'rid')
same(manifest.lock[0], hex(keys.lock), 'lock')
same(chacha(derived(keys.lockKey), hex(keys.lockAAD), hex(keys.lock)), hex(keys.mk), 'MK behind the lock')
held('lock')
const entries = cbor.decode(file('shard.cbor'))
for (const w of keys.wraps) {
  same(chacha(derived(w.key), hex(w.aad), hex(w.wrap)), hex(w.fileKey), `file key of ${w.cid}`)
  const text = JSON.stringify(shown(entries))
  assert.ok(text.includes(w.cid) && text.includes(shown(hex(w.wrap))['/'].bytes), `${w.cid} in the shard`)
  held('wrap')
}
same(xchacha(derived(keys.metaKey), hex(keys.metaAAD), file(keys.meta), 1024), file(keys.metaPlain), 'metadata')

for (const t of json('tracks.json')) {
  same(xchacha(derived(t.infoKey), hex(t.infoAAD), file(t.info), 1024), file(t.infoPlain), `info of ${t.name}`)
  held('info')
}

const g = json('grant.json')
const [version, dj, [blobVersion, kem, enc, ct]] = cbor.decode(file(g.file))
assert.deepEqual([version, blobVersion, kem], [1, 1, 0x647a])
same(dj, manifest.dj, 'dj')
same(context('grant', dj, cbor.decode(file('grant.cbor')).dev), hex(g.info), 'HPKE info')
const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() })
const recipientKey = await suite.kem.importKey('raw', hex(g.xwingSeed).buffer, false)
const opened = new Uint8Array(await suite.open({ recipientKey, enc, info: hex(g.info) }, ct))
assert.equal(opened.length, g.paddedTo)
same(unpadded(opened, 4096), file(g.plain), 'delivery')
await assert.rejects(suite.open({ recipientKey, enc, info: context('grant', dj, new Uint8Array(32)) }, ct), 'opened for another device')
const delivery = cbor.decode(file(g.plain))
same(context('keys', delivery.mbox, ...delivery.keys), hex(g.kcHashed), 'kc input')
same(sha256(hex(g.kcHashed)), cbor.decode(delivery.payload ?? file('grant.cbor')).kc, 'kc')
held('grant')

// The same grant in a mailbox, found by its id among dummies.
const mail = json('mailbox.json')
const mailboxes = cbor.decode(file(mail.boxes))
assert.equal(mailboxes.e.length, 64)
same(mailboxes.salt, hex(mail.salt), 'salt')
const id = derived(mail.id).subarray(0, 16)
const at = mailboxes.e.findIndex(([i]) => Buffer.compare(i, id) === 0)
assert.equal(at, mail.entry, 'the mailbox under its id')
const [,, mailEnc, mailCT] = mailboxes.e[at][1]
const mailOpened = new Uint8Array(await suite.open({ recipientKey, enc: mailEnc, info: hex(g.info) }, mailCT))
assert.equal(mailOpened.length, mail.paddedTo)
same(unpadded(mailOpened, 2048), file(mail.plain), 'mailed delivery')
const mailed = cbor.decode(file(mail.plain))
assert.equal(mailed.roots.length, 0, 'no roots in a mailbox')
same(mailed.payload, delivery.payload, 'the same grant')
const dummy = mailboxes.e[(at + 1) % 64][1]
await assert.rejects(suite.open({ recipientKey, enc: dummy[2], info: hex(g.info) }, dummy[3]), 'a dummy opened')
held('opened mailbox')

// A request, sealed to the DJ's request key.
const q = json('request.json')
const [fileVersion, fileKind, qdj, [, , qEnc, qCT]] = cbor.decode(file(q.file))
assert.deepEqual([fileVersion, fileKind], [1, 'request'])
same(context('request', qdj, hex(q.xwingPublic)), hex(q.info), 'HPKE info of a request')
const requestKey = await suite.kem.importKey('raw', hex(q.xwingSeed).buffer, false)
const qOpened = new Uint8Array(await suite.open({ recipientKey: requestKey, enc: qEnc, info: hex(q.info) }, qCT))
const requested = unpadded(qOpened, q.paddedTo)
same(requested, file(q.plain), 'request')
same(cbor.decode(requested)[1], file('request.cbor'), 'its payload')
same(cbor.decode(file('request.cbor')).offer, sha256(file('offer.cbor')), 'names its offer')
held('request')

// A live set: the lock of its record opens to LK, LK names the record and opens
// the segment that the head announces, and the track that it became says the same.
const air = json('live.json')
const liveRecord = cbor.decode(file('live.cbor'))
const liveHead = cbor.decode(file('livehead.cbor'))
const lk = chacha(derived(air.lockKey), hex(air.lockAAD), liveRecord.lock[0])
same(lk, hex(air.lk), 'LK')
same(context('livelock', liveRecord.dj, liveRecord.sel, liveRecord.live, u64(liveRecord.gen), u64(liveRecord.unit), u64(liveRecord.cur)), hex(air.lockAAD), 'context of a live lock')
same(derived(air.lid), liveRecord.lid, 'lid')
same(liveHead.prev, sha256(file('live.cbor')), 'the first head follows the record')
const segment = file(air.segment)
assert.equal(liveHead.seg.toString(), air.segmentCID)
same(liveHead.seg.multihash.digest, sha256(segment), 'the segment that is announced')
const segmentAAD = context('seg', liveHead.dj, liveHead.live, u64(liveHead.gen), u64(liveHead.cur), u64(liveHead.seq), [liveHead.final ? 1 : 0])
same(segmentAAD, hex(air.segmentAAD), 'context of a segment')
same(xchacha(derived(air.segmentKey), segmentAAD, segment, 1024), file(air.segmentPlain), 'segment')
const [recordedLive, first, closed, spans, sizes] = cbor.decode(file(air.recorded)).set
same(recordedLive, liveRecord.live, 'the set that the track was')
assert.deepEqual([first, closed, spans.length], [0, true, 1])
same(spans[0][3], lk, 'LK in the track')
same(sizes, join8([uvarint(segment.length), uvarint(cbor.decode(file(air.segmentPlain)).media.length)]), 'sizes')
held('live segment')

// The card that the head links to: what it names of tracks are digests, and its
// previews are files in clear.
const rawCID = block => CID.createV1(0x55, Digest.create(0x12, new Uint8Array(sha256(block))))
const card = cbor.decode(file('card.cbor'))
assert.ok(cbor.decode(file('head.cbor')).card.equals(CID.createV1(cbor.code, Digest.create(0x12, new Uint8Array(sha256(file('card.cbor')))))), 'the head links to the card')
assert.deepEqual(Object.keys(card).sort(), ['about', 'name', 'picture', 'sels'])
const sealedTracks = json('tracks.json').map(t => Buffer.from(CID.parse(t.cid).multihash.digest).toString('hex'))
const clip = file('clip.flac')
for (const { sel, words, tracks } of card.sels) {
  same(sel, manifest.sel, 'selection of the card')
  assert.equal(words, words.normalize('NFC'))
  tracks.forEach(([digest, title, preview], i) => {
    assert.ok(sealedTracks.includes(Buffer.from(digest).toString('hex')), 'a track of the selection')
    assert.ok(i === 0 || Buffer.compare(tracks[i - 1][0], digest) < 0, 'tracks ascend')
    assert.equal(title.length, 2)
    if (preview === null) return
    assert.ok(preview[0].equals(rawCID(clip)) && preview[1] === clip.length && preview[2] === 'flac', 'its preview')
    held('preview')
  })
  held('card')
}

// Links to blobs: a CID of one raw block, and addresses behind the #.
const links = json('links.json')
for (const [kind, text, block] of [['device', links.deviceLink, Buffer.from(links.device)], ['lease', links.leaseLink, file(links.lease)]]) {
  assert.equal(text, `playnode://${kind}/${rawCID(block)}#${links.addrs.join(',')}`)
  held('link')
}

// The link of an open set: the key behind its #, from which LK comes, which has
// the record's name.
const open = json('open.json')
const [where, secret] = open.link.split('#')
const keyed = base32.decode('b' + secret.slice('pnopen1'.length))
same(keyed.subarray(0, 32), hex(open.key), 'key of the link')
same(keyed.subarray(32), sha256(keyed.subarray(0, 32)).subarray(0, 4), 'checksum of the key')
assert.ok(where.startsWith(`playnode://open/${CID.createV1(cbor.code, Digest.create(0x12, hex(open.dj)))}/${open.live}?n=`))
assert.equal(open.web, open.link.replace('playnode:/', 'https://archive.example'))
same(derived(open.lk), hex(open.lid.secret), 'LK of an open set')
assert.deepEqual(open.lid.parts, open.lk.parts)
same(hex(open.lk.secret), hex(open.key), 'secret of LK')
derived(open.lid)
held('open link')

// An excerpt: its key opens its block, and a key in it the segment.
const x = open.excerpt
const excerptAAD = context('excerpt', hex(open.dj), hex(x.id))
same(excerptAAD, hex(x.aad), 'context of an excerpt')
const excerptPlain = xchacha(derived(x.key), excerptAAD, file(x.sealed), 1024)
same(excerptPlain, file(x.plain), 'excerpt')
const excerpt = cbor.decode(excerptPlain)
const [[partDigest, partKey, partLen, partGen, partCur]] = excerpt.parts
same(partDigest, sha256(segment), 'the segment of an excerpt')
const partAAD = context('seg', hex(open.dj), excerpt.live, u64(partGen), u64(partCur), u64(excerpt.first), [excerpt.final ? 1 : 0])
same(xchacha(partKey, partAAD, segment, 1024), file(air.segmentPlain), 'segment of an excerpt')
assert.equal(partLen, cbor.decode(file(air.segmentPlain)).len)
held('excerpt')

console.log(JSON.stringify(counts))
