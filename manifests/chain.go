package manifests

import (
	"fmt"
	"slices"
)

// maxChain bounds how many roots are ever read.
const maxChain = 1024

// Chain is a verified chain of roots, from root 1 to the newest known.
type Chain struct {
	dj    DJ
	roots []*Root
	ids   [][32]byte // payload digests of roots
	from  []Signed
}

// VerifyChain verifies roots 1..n, in order: each carries the signatures that
// its place asks for, links to the one before, and grows by one.
func VerifyChain(roots []Signed) (*Chain, error) {
	if len(roots) < 1 || len(roots) > maxChain {
		return nil, invalid("chain of %d roots", len(roots))
	}
	c := new(Chain)
	for i, s := range roots {
		if err := c.add(s); err != nil {
			return nil, fmt.Errorf("verify root %d: %w", i+1, err)
		}
	}
	return c, nil
}

func (c *Chain) add(s Signed) error {
	r := new(Root)
	e, err := open(TypeRoot, s.Env.Data, s.Payload.Data, r)
	if err != nil {
		return err
	}
	id := Digest(e.Payload)
	var old []Key
	if n := len(c.roots); n == 0 {
		if r.N != 1 {
			return invalid("the first root has number %d", r.N)
		}
		c.dj = id
	} else {
		last := c.roots[n-1]
		if r.N != last.N+1 || *r.DJ != c.dj || *r.Prev != c.ids[n-1] {
			return invalid("root %d does not follow root %d of this DJ", r.N, last.N)
		}
		if r.IAT < last.IAT {
			return invalid("root %d is dated before root %d", r.N, last.N)
		}
		old = last.Keys
		if err := enough(e, old, last.Thr); err != nil {
			return err
		}
	}
	if err := enough(e, r.Keys, r.Thr); err != nil {
		return err
	}
	for _, g := range e.Sigs {
		if !slices.Contains(r.Keys, g.K) && !slices.Contains(old, g.K) {
			return fmt.Errorf("root signed by %s, which is in no set: %w", g.K, ErrUnauthorised)
		}
	}
	c.roots, c.ids, c.from = append(c.roots, r), append(c.ids, id), append(c.from, s)
	return nil
}

// enough wants thr signatures by distinct keys of the set; the envelope holds
// a key at most once.
func enough(e *Envelope, keys []Key, thr uint64) error {
	var n uint64
	for _, k := range keys {
		if e.SignedBy(k) {
			n++
		}
	}
	if n < thr {
		return fmt.Errorf("signed by %d keys of %d: %w", n, thr, ErrUnauthorised)
	}
	return nil
}

// DJ is the identity that the chain begins with.
func (c *Chain) DJ() DJ { return c.dj }

// Newest is the last root.
func (c *Chain) Newest() *Root { return c.roots[len(c.roots)-1] }

// Signed is the chain as it was signed, roots 1 to the newest, for keeping or
// passing on. The caller does not change it.
func (c *Chain) Signed() []Signed { return c.from }

// Root is root n, or nil.
func (c *Chain) Root(n uint64) *Root {
	if n < 1 || n > uint64(len(c.roots)) {
		return nil
	}
	return c.roots[n-1]
}

// Follows tells whether c is old, or old with more roots after it. ErrFork
// says that the two part ways; a shorter chain gives false.
func (c *Chain) Follows(old *Chain) (bool, error) {
	for i := range min(len(c.ids), len(old.ids)) {
		if c.ids[i] != old.ids[i] {
			return false, fmt.Errorf("root %d: %w", i+1, ErrFork)
		}
	}
	return len(c.ids) >= len(old.ids), nil
}

// may judges a publisher's signature: under the newest root, in its role, in
// its time.
func (c *Chain) may(k Key, role Role, dj DJ, rootn uint64, iat int64) error {
	r := c.Newest()
	if dj != c.dj {
		return fmt.Errorf("record of DJ %s, not of %s: %w", dj, c.dj, ErrUnauthorised)
	}
	if rootn != r.N {
		return fmt.Errorf("record under root %d, the newest is %d: %w", rootn, r.N, ErrUnauthorised)
	}
	if iat < r.IAT {
		return fmt.Errorf("record is dated before its root: %w", ErrUnauthorised)
	}
	for _, p := range r.Pub {
		if p.K == k && slices.Contains(p.Roles, role) && p.NBF <= iat && iat < p.Exp {
			return nil
		}
	}
	return fmt.Errorf("key %s has no role %s at that time: %w", k, role, ErrUnauthorised)
}

// OpenHead reads a signed head and judges its signer.
func (c *Chain) OpenHead(s Signed) (*Head, error) {
	h := new(Head)
	e, err := open(TypeHead, s.Env.Data, s.Payload.Data, h)
	if err == nil {
		err = c.may(e.Key(), RoleManifest, h.DJ, h.RootN, h.IAT)
	}
	if err != nil {
		return nil, fmt.Errorf("open head: %w", err)
	}
	return h, nil
}

// OpenManifest reads a signed manifest and judges its signer.
func (c *Chain) OpenManifest(s Signed) (*Manifest, error) {
	m := new(Manifest)
	e, err := open(TypeManifest, s.Env.Data, s.Payload.Data, m)
	if err == nil {
		err = c.may(e.Key(), RoleManifest, m.DJ, m.RootN, m.IAT)
	}
	if err == nil && m.Gen < c.Newest().LeastGen(m.Sel) {
		err = fmt.Errorf("generation %d is below the root's: %w", m.Gen, ErrUnauthorised)
	}
	if err != nil {
		return nil, fmt.Errorf("open manifest: %w", err)
	}
	return m, nil
}

// OpenGrant reads a signed grant and judges its signer.
func (c *Chain) OpenGrant(s Signed) (*Grant, error) {
	g := new(Grant)
	e, err := open(TypeGrant, s.Env.Data, s.Payload.Data, g)
	if err == nil {
		err = c.may(e.Key(), RoleGrant, g.DJ, g.RootN, g.IAT)
	}
	if err == nil && g.Gen < c.Newest().LeastGen(g.Sel) {
		err = fmt.Errorf("generation %d is below the root's: %w", g.Gen, ErrUnauthorised)
	}
	if err != nil {
		return nil, fmt.Errorf("open grant: %w", err)
	}
	return g, nil
}
