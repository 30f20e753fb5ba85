// Reads frames `u32be length, CID text of 59 characters, block` from stdin and
// fails unless every block is what its CID says and @ipld/dag-cbor decodes it
// and encodes it to the same bytes. Prints how many there were of each type.
import * as cbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const chunks = []
for await (const chunk of process.stdin) chunks.push(chunk)
const input = Buffer.concat(chunks)

const counts = {}
for (let at = 0; at < input.length;) {
  const length = input.readUInt32BE(at)
  const cid = CID.parse(input.subarray(at + 4, at + 63).toString('latin1'))
  const block = new Uint8Array(input.subarray(at + 63, at + 63 + length))
  at += 63 + length

  const digest = await sha256.digest(block)
  if (!CID.createV1(cbor.code, digest).equals(cid)) throw new Error(`${cid} is not the CID of its block`)
  const value = cbor.decode(block)
  if (Buffer.compare(Buffer.from(cbor.encode(value)), Buffer.from(block)) !== 0) throw new Error(`${cid} is not canonical`)
  const type = value.sigs ? `envelope ${value.t}` : 'block'
  counts[type] = (counts[type] ?? 0) + 1
}
console.log(JSON.stringify(counts))
