package lease

import (
	"encoding/json"
	"fmt"
	"time"

	"playnode/manifests"
)

// Clock is what the box knows of the time. Safe for concurrent use.
type Clock interface {
	// Wall is the system's clock in Unix seconds, and whether it is
	// synchronised with a source outside the box.
	Wall() (unix int64, synchronised bool)
	// Boot is how long the box has been up, sleep included, and an id that
	// another boot does not have; "" where there is none to be had.
	Boot() (id string, up time.Duration)
}

// floor is a least time of one DJ's, kept over restarts: it advances with the
// box's uptime only.
type floor struct {
	T    int64         `json:"t"` // Unix seconds at Up
	Boot string        `json:"boot"`
	Up   time.Duration `json:"up"`
}

func (f floor) at(boot string, up time.Duration) int64 {
	if f.Boot == boot && up > f.Up {
		return f.T + int64((up-f.Up)/time.Second)
	}
	return f.T
}

// rebase counts the time between two boots as none.
func (f *floor) rebase(r reading) {
	if f.Boot != r.boot {
		f.Boot, f.Up = r.boot, r.up
	}
}

// floors is one DJ's row: what is certain, and what an iat that was accepted
// without a synchronised clock claims on top of it.
type floors struct {
	RootN uint64 `json:"rootn"`
	Solid floor  `json:"solid"`
	Claim *floor `json:"claim,omitempty"`
	IAT   int64  `json:"iat,omitempty"` // of the claim
}

// clockState is the venue's memory of time. Its owner's mutex guards it.
type clockState struct {
	clock Clock
	high  int64 // highest synchronised wall clock ever seen
	djs   map[manifests.DJ]*floors
}

// reading is one look at the clock.
type reading struct {
	wall int64
	sync bool
	boot string
	up   time.Duration
}

func (c *clockState) read() reading {
	var r reading
	r.wall, r.sync = c.clock.Wall()
	r.boot, r.up = c.clock.Boot()
	if r.sync {
		c.high = max(c.high, r.wall)
	}
	return r
}

// now is the time for a DJ's leases, and firm, at most that, the time up to
// which keys may be erased: while now rests on a claim that no synchronised
// clock has confirmed, playing stops by it, but only what the box's own clock
// agrees to is erased. (A box that is never told that its clock is
// synchronised would else never erase anything.)
func (c *clockState) now(dj manifests.DJ, r reading) (t, firm int64) {
	t = c.high
	claimed := int64(0)
	if f := c.djs[dj]; f != nil {
		c.settle(f, r)
		t = max(t, f.Solid.at(r.boot, r.up))
		if f.Claim != nil {
			claimed = f.Claim.at(r.boot, r.up)
		}
	}
	firm = max(t, min(claimed, r.wall))
	t = max(t, claimed)
	if !r.sync && r.wall > t {
		t = min(r.wall, t+manifests.Day)
		firm = t
	}
	return t, firm
}

// settle makes a row of another boot's begin to advance with this one, and
// judges its claim once the clock is synchronised: it becomes certain, or is
// undone where it was dated over a day ahead.
func (c *clockState) settle(f *floors, r reading) {
	f.Solid.rebase(r)
	if f.Claim != nil {
		f.Claim.rebase(r)
	}
	if f.Claim == nil || !r.sync {
		return
	}
	if f.IAT <= r.wall+manifests.Day {
		f.raise(f.Claim.at(r.boot, r.up), r)
	}
	f.Claim, f.IAT = nil, 0
}

func (f *floors) raise(t int64, r reading) {
	f.Solid = floor{max(f.Solid.at(r.boot, r.up), t), r.boot, r.up}
}

// accept raises a DJ's floor by a record's iat under root rootN of hers,
// dated rootIAT. A root newer than the one known starts the floor anew; a
// former one's records raise nothing.
func (c *clockState) accept(dj manifests.DJ, rootN uint64, rootIAT, iat int64, r reading) error {
	if r.sync && iat > r.wall+manifests.Day {
		return fmt.Errorf("record dated %d, the clock says %d: %w", iat, r.wall, ErrFuture)
	}
	f := c.djs[dj]
	if f == nil {
		f = &floors{RootN: rootN}
		c.djs[dj] = f
	}
	c.settle(f, r)
	if rootN < f.RootN {
		return nil // what a former root vouched for is used, and raises nothing
	}
	if rootN > f.RootN {
		*f = floors{RootN: rootN, Solid: floor{c.high, r.boot, r.up}}
		iat = max(iat, rootIAT)
	}
	switch {
	case r.sync || iat <= max(c.high, f.Solid.at(r.boot, r.up)):
		f.raise(iat, r)
	case f.Claim == nil || iat > f.Claim.at(r.boot, r.up):
		f.Claim, f.IAT = &floor{iat, r.boot, r.up}, iat
	}
	return nil
}

const (
	floorRow = "floor/"
	highRow  = "time/high"
)

// rows are all floors as they stand, to be persisted.
func (c *clockState) rows(r reading) (map[string][]byte, error) {
	out := make(map[string][]byte, len(c.djs)+1)
	for dj, f := range c.djs {
		g := *f
		g.raise(0, r)
		if f.Claim != nil {
			g.Claim = &floor{f.Claim.at(r.boot, r.up), r.boot, r.up}
		}
		b, err := json.Marshal(g)
		if err != nil {
			return nil, err
		}
		out[floorRow+dj.String()] = b
	}
	b, err := json.Marshal(c.high)
	out[highRow] = b
	return out, err
}

// load reads a row that rows wrote.
func (c *clockState) load(key string, value []byte) error {
	if key == highRow {
		return json.Unmarshal(value, &c.high)
	}
	dj, err := manifests.ParseDJ(key[len(floorRow):])
	if err != nil {
		return err
	}
	f := new(floors)
	c.djs[dj] = f
	if err := json.Unmarshal(value, f); err != nil {
		return err
	}
	for _, x := range []*floor{&f.Solid, f.Claim} {
		if x != nil && x.Boot == "" {
			x.Boot = "of another process" // it may have been another boot
		}
	}
	return nil
}

// snapshot is a copy of a DJ's floors, for restore.
func (c *clockState) snapshot(dj manifests.DJ) *floors {
	f := c.djs[dj]
	if f == nil {
		return nil
	}
	g := *f
	if f.Claim != nil {
		claim := *f.Claim
		g.Claim = &claim
	}
	return &g
}

func (c *clockState) restore(dj manifests.DJ, f *floors) {
	if f == nil {
		delete(c.djs, dj)
	} else {
		c.djs[dj] = f
	}
}

// same tells whether two rows claim the same times, uptime apart.
func same(a, b *floors) bool {
	if a == nil || b == nil || a.RootN != b.RootN || (a.Claim == nil) != (b.Claim == nil) {
		return a == b
	}
	return a.Solid.T == b.Solid.T && (a.Claim == nil || a.Claim.T == b.Claim.T)
}
