// Package livetest is a DJ on air, for tests and simulated worlds: her keys,
// her chain, and sets of noise that are signed as real ones are.
//
// What comes in: a seed. What goes out: records, heads and segments that pass
// every check but a listener's, as no lease opens them. Nothing is trusted.
package livetest

import (
	"bytes"
	"crypto/ed25519"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"playnode/live"
	"playnode/manifests"
)

// DJ is one who is on air. Not safe for concurrent use, but for Chain.
type DJ struct {
	root, key ed25519.PrivateKey
	chain     *manifests.Chain
	set       live.Set
	sel       manifests.SelID
	record    manifests.Live
	signed    manifests.Signed
	prev      [32]byte
	rand      *rand.Rand
	seq       uint64

	mu sync.Mutex // guards chain
}

// New is a DJ and her chain of one root, who goes on air at a time. It panics
// where manifests refuses what it makes.
func New(seed byte, at time.Time) *DJ {
	d := &DJ{root: key(seed, 1), key: key(seed, 2), rand: rand.New(rand.NewPCG(uint64(seed), 7))}
	d.chain = must(manifests.VerifyChain([]manifests.Signed{d.sign(manifests.TypeRoot, must((&manifests.Root{
		N: 1, Keys: []manifests.Key{public(d.root)}, Thr: 1, IAT: at.Unix() - 1000, Exp: at.Unix() + 1<<30,
		Pub:   []manifests.Publisher{{K: public(d.key), Roles: []manifests.Role{manifests.RoleLive}, NBF: at.Unix() - 1000, Exp: at.Unix() + 1<<30}},
		Names: [2]manifests.Name{manifests.NewName(public(key(seed, 3))), manifests.NewName(public(key(seed, 4)))},
	}).Encode()), d.root)}))
	d.set, d.sel = live.Set{DJ: d.chain.DJ(), Live: manifests.LiveID{seed, 1}}, manifests.SelID{1}
	d.Turn(at)
	return d
}

// Another is another set of hers, n of her selection sel. She goes on air with
// it at a time.
func (d *DJ) Another(sel, n byte, at time.Time) *DJ {
	o := &DJ{root: d.root, key: d.key, chain: d.chain, sel: manifests.SelID{sel}, rand: rand.New(rand.NewPCG(uint64(sel), uint64(n)))}
	o.set = live.Set{DJ: d.set.DJ, Live: manifests.LiveID{d.set.Live[0], sel, n}}
	o.Turn(at)
	return o
}

func key(seed, n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed, n}, 16))
}

func public(k ed25519.PrivateKey) manifests.Key { return manifests.Key(k.Public().(ed25519.PublicKey)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (d *DJ) sign(t manifests.Type, payload []byte, k ed25519.PrivateKey) manifests.Signed {
	return must(manifests.Sign(t, payload, k))
}

// Chain is hers, and nil for any other DJ: what live.Config asks for.
func (d *DJ) Chain(dj manifests.DJ) *manifests.Chain {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dj != d.chain.DJ() {
		return nil
	}
	return d.chain
}

// Set is what she has on air.
func (d *DJ) Set() live.Set { return d.set }

// Record is the set's newest record.
func (d *DJ) Record() manifests.Signed { return d.signed }

// Turn makes the set's next record, from the next segment on.
func (d *DJ) Turn(at time.Time) manifests.Signed {
	r := &d.record
	first := r.Seq == 0
	r.DJ, r.Live, r.RootN, r.Sel, r.Seq, r.IAT, r.From = d.set.DJ, d.set.Live, 1, d.sel, r.Seq+1, at.Unix(), d.seq
	r.Unit, r.Cur, r.Gen = manifests.Week, manifests.Period(at.Unix(), manifests.Week), r.Seq
	r.Lock = make([]manifests.Lock, manifests.Ahead(r.Unit)+1)
	if !first {
		p := manifests.Digest(d.signed.Payload.CID)
		r.Prev = &p
	}
	d.signed = d.sign(manifests.TypeLive, must(r.Encode()), d.key)
	if first {
		d.prev = manifests.Digest(d.signed.Payload.CID)
	}
	return d.signed
}

// Next is the set's next segment, of so many bytes, and its head.
func (d *DJ) Next(at time.Time, size int, final bool) (manifests.Signed, manifests.Block) {
	b := d.Noise(size)
	h := d.Head(d.seq, b, at, final)
	d.prev = manifests.Digest(h.Payload.CID)
	d.seq++
	return h, b
}

// Noise is a segment that no head announces.
func (d *DJ) Noise(size int) manifests.Block {
	data := make([]byte, size)
	for b := range slices.Chunk(data, 8) {
		v := d.rand.Uint64()
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
	}
	return manifests.NewRawBlock(data)
}

// Head is her head of a segment under any number, after the newest of Next. It
// does not count as one.
func (d *DJ) Head(seq uint64, b manifests.Block, at time.Time, final bool) manifests.Signed {
	h := manifests.LiveHead{DJ: d.set.DJ, Live: d.set.Live, Gen: d.record.Gen, Cur: d.record.Cur, Seq: seq, Seg: b.CID, Final: final, Prev: d.prev, IAT: at.Unix()}
	return d.sign(manifests.TypeLiveHead, must(h.Encode()), d.key)
}

// Forge signs a payload as if it were hers, by a key that is not.
func (d *DJ) Forge(t manifests.Type, payload []byte) manifests.Signed {
	return d.sign(t, payload, key(99, 99))
}
