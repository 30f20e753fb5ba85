package manifests

import (
	"slices"

	"github.com/ipfs/go-cid"
)

// Role is what a publisher key may sign.
type Role string

// The roles, in the order in which a root lists them.
const (
	RoleGrant    Role = "grant"
	RoleLive     Role = "live"
	RoleManifest Role = "manifest"
)

// Publisher is a key that a root lets sign for the DJ.
type Publisher struct {
	K        Key
	Roles    []Role // sorted, unique
	NBF, Exp int64  // Unix seconds: NBF <= iat < Exp of what it signs
}

// LeastGen is the least generation of one selection that counts under a root.
type LeastGen struct {
	Sel SelID
	Gen uint64
}

// Root says who the DJ is: the keys that may replace it, the keys that may
// publish, the names, and the key that requests are sealed to. Roots form a
// chain; the digest of the first is the DJ's identity.
type Root struct {
	N     uint64 // 1, 2, 3 ...
	DJ    *DJ    // nil in root 1 alone
	Keys  []Key  // sorted, unique, 1..8
	Thr   uint64 // how many of Keys must sign
	Pub   []Publisher
	Names [2]Name    // IPNS, backup IPNS
	Req   [1216]byte // X-Wing public key
	Gens  []LeastGen
	Prev  *[32]byte // root N-1's digest; nil in root 1 alone
	IAT   int64
	Exp   int64 // warns, never silences
}

func (r *Root) code(c *coder) {
	c.fields(11, func() {
		c.key("n")
		number(c, &r.N, MaxInt)
		c.key("dj")
		dj := (*[32]byte)(r.DJ)
		digest(c, &dj)
		r.DJ = (*DJ)(dj)
		c.key("exp")
		number(c, &r.Exp, MaxInt)
		c.key("iat")
		number(c, &r.IAT, MaxInt)
		c.key("pub")
		list(c, &r.Pub, 0, 16, func(p *Publisher) {
			c.fields(4, func() {
				c.key("k")
				c.fixed(p.K[:])
				c.key("exp")
				number(c, &p.Exp, MaxInt)
				c.key("nbf")
				number(c, &p.NBF, MaxInt)
				c.key("roles")
				list(c, &p.Roles, 1, 3, func(r *Role) { c.text((*string)(r), 1, 16) })
			})
		})
		c.key("req")
		c.fixed(r.Req[:])
		c.key("thr")
		number(c, &r.Thr, 8)
		c.key("gens")
		list(c, &r.Gens, 0, 1024, func(g *LeastGen) {
			c.tuple(2)
			c.fixed(g.Sel[:])
			number(c, &g.Gen, MaxInt)
		})
		c.key("keys")
		list(c, &r.Keys, 1, 8, func(k *Key) { c.fixed(k[:]) })
		c.key("prev")
		digest(c, &r.Prev)
		c.key("names")
		c.tuple(2)
		for i := range r.Names {
			c.text((*string)(&r.Names[i]), 1, 80)
		}
	})
}

func (r *Root) check() error {
	switch {
	case r.N < 1:
		return invalid("root of number 0")
	case (r.N == 1) != (r.DJ == nil) || (r.N == 1) != (r.Prev == nil):
		return invalid("root %d: only the first has neither dj nor prev", r.N)
	case !ascending(r.Keys, func(k *Key) []byte { return k[:] }):
		return invalid("root %d: keys are not sorted", r.N)
	case r.Thr < 1 || r.Thr > uint64(len(r.Keys)):
		return invalid("root %d: threshold %d of %d keys", r.N, r.Thr, len(r.Keys))
	case !ascending(r.Pub, func(p *Publisher) []byte { return p.K[:] }):
		return invalid("root %d: publishers are not sorted", r.N)
	case !ascending(r.Gens, func(g *LeastGen) []byte { return g.Sel[:] }):
		return invalid("root %d: gens are not sorted", r.N)
	case !r.Names[0].valid() || !r.Names[1].valid():
		return invalid("root %d: names are not IPNS names", r.N)
	}
	for _, k := range r.Keys {
		if !strongKey(k) {
			return invalid("root %d: weak key", r.N)
		}
	}
	for _, p := range r.Pub {
		if !strongKey(p.K) || p.NBF > p.Exp {
			return invalid("root %d: publisher %s is weak or ends before it begins", r.N, p.K)
		}
		for i, role := range p.Roles {
			if i > 0 && p.Roles[i-1] >= role || !slices.Contains([]Role{RoleGrant, RoleLive, RoleManifest}, role) {
				return invalid("root %d: roles are not known, sorted and unique", r.N)
			}
		}
	}
	return nil
}

// Encode is the root's canonical payload.
func (r *Root) Encode() ([]byte, error) { return encode(r, MaxPayload) }

// DecodeRoot reads a root's payload; its place in a chain is not judged.
func DecodeRoot(payload []byte) (*Root, error) {
	return decoded[Root](payload, MaxPayload)
}

// LeastGen is the least generation of sel that counts under this root, or 0.
func (r *Root) LeastGen(sel SelID) uint64 {
	for _, g := range r.Gens {
		if g.Sel == sel {
			return g.Gen
		}
	}
	return 0
}

// HasName tells whether the root lists n as the DJ's own.
func (r *Root) HasName(n Name) bool { return n == r.Names[0] || n == r.Names[1] }

// Listed is one selection as a head lists it.
type Listed struct {
	Sel      SelID
	Label    string  // public; the P of NAME/P
	Manifest cid.Cid // of the manifest's envelope
}

// Head is what the DJ's name points to: the chain of roots and the newest
// manifest of every selection.
type Head struct {
	DJ    DJ
	RootN uint64
	Seq   uint64 // from 1 under each root
	Prev  *[32]byte
	IAT   int64
	Exp   int64     // the latest of its manifests'
	Roots []cid.Cid // envelopes, 1..n
	Sels  []Listed  // sorted by Sel
	Card  *cid.Cid
}

func (h *Head) code(c *coder) {
	c.fields(9, func() {
		c.key("dj")
		c.fixed(h.DJ[:])
		c.key("exp")
		number(c, &h.Exp, MaxInt)
		c.key("iat")
		number(c, &h.IAT, MaxInt)
		c.key("seq")
		number(c, &h.Seq, MaxInt)
		c.key("card")
		optionalLink(c, &h.Card, codecDagCBOR)
		c.key("prev")
		digest(c, &h.Prev)
		c.key("sels")
		list(c, &h.Sels, 0, 1024, func(l *Listed) {
			c.tuple(3)
			c.fixed(l.Sel[:])
			c.text(&l.Label, 1, MaxLabel)
			c.link(&l.Manifest, codecDagCBOR)
		})
		c.key("rootn")
		number(c, &h.RootN, MaxInt)
		c.key("roots")
		list(c, &h.Roots, 1, maxChain, func(l *cid.Cid) { c.link(l, codecDagCBOR) })
	})
}

func (h *Head) check() error {
	switch {
	case h.Seq < 1:
		return invalid("head of seq 0")
	case uint64(len(h.Roots)) != h.RootN:
		return invalid("head under root %d lists %d roots", h.RootN, len(h.Roots))
	case !ascending(h.Sels, func(l *Listed) []byte { return l.Sel[:] }):
		return invalid("head's selections are not sorted")
	}
	labels := make(map[string]bool, len(h.Sels))
	for _, l := range h.Sels {
		if labels[l.Label] || !ValidLabel(l.Label) {
			return invalid("head's label %q is not valid or there twice", l.Label)
		}
		labels[l.Label] = true
	}
	return nil
}

// Encode is the head's canonical payload.
func (h *Head) Encode() ([]byte, error) { return encode(h, MaxPayload) }

// DecodeHead reads a head's payload; its signer is not judged.
func DecodeHead(payload []byte) (*Head, error) {
	return decoded[Head](payload, MaxPayload)
}

// Agree tells whether ms, in the order of h.Sels, can be the manifests that h
// lists: one DJ, one root, each its own selection, and h's end the latest of
// theirs.
func (h *Head) Agree(ms []*Manifest) error {
	if len(ms) != len(h.Sels) {
		return invalid("head lists %d manifests, %d given", len(h.Sels), len(ms))
	}
	var exp int64
	for i, m := range ms {
		if m.DJ != h.DJ || m.RootN != h.RootN || m.Sel != h.Sels[i].Sel {
			return invalid("manifest of selection %s does not belong in this head", m.Sel)
		}
		exp = max(exp, m.Exp)
	}
	if len(ms) > 0 && h.Exp != exp {
		return invalid("head ends at %d, its manifests at %d", h.Exp, exp)
	}
	return nil
}

func optionalLink(c *coder, p **cid.Cid, codecs ...uint64) {
	if c.present(*p != nil) {
		if c.reading {
			*p = new(cid.Cid)
		}
		c.link(*p, codecs...)
	}
}
