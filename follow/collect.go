package follow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// Priority is how dear a track is to this box; smaller goes later.
type Priority uint8

const (
	// Today plays within the day, or is this box's own: never let go.
	Today Priority = iota
	// Leased may play, later.
	Leased
	// Unleased is kept for others.
	Unleased
)

// Freed is what Collect has let go.
type Freed struct {
	Blocks int
	Bytes  int64
	// Versions counts past versions given up for want of room, Tails the
	// blocks of tracks.
	Versions, Tails int
	// Waiting counts blocks that nothing keeps and that are here until the
	// store's grace has passed.
	Waiting int
	// PutOff: somebody was writing, and nothing was looked at.
	PutOff bool
}

// spare is the part of a limit that is freed beyond what must be, so that
// each new block does not call for another round.
const spare = 20

// Collect lets go of what no pin, no followed name's newest version, no past
// version that is kept and none of Own reaches; and, while the store is over
// its limit or a track had no room since the last call, of this as well, in
// this order, as little as does it:
//
//  1. past versions, the oldest first, and the pin of a version that the
//     newest replaces while it is not whole yet;
//  2. tails of tracks that are Unleased, the last first;
//  3. tails of tracks that are Leased.
//
// Heads of tracks, records and all that is Today stay, whatever the limit. A
// class gives way only to one that is dearer. Blocks go after the store's
// grace, so what is let go shows at a later call. Should anything pinned be
// missing, nothing is let go: it is for Verify or Sync to mend first.
func (f *Follower) Collect(ctx context.Context) (freed Freed, err error) {
	if !f.collecting.TryLock() {
		return Freed{PutOff: true}, nil // the next call will do
	}
	defer f.collecting.Unlock()
	freed, err = f.collect(ctx)
	if err != nil {
		return freed, fmt.Errorf("collect: %w", err)
	}
	return freed, nil
}

// Hold keeps Collect from letting anything go until release is called, once:
// for whoever writes blocks that nothing reaches yet.
func (f *Follower) Hold() (release func()) {
	f.collecting.RLock()
	return f.collecting.RUnlock
}

func (f *Follower) collect(ctx context.Context) (freed Freed, err error) {
	used, err := f.cfg.Held.Used(ctx)
	if err != nil {
		return freed, err
	}
	f.mu.Lock()
	over, dearest := f.lack, f.lacking
	f.lack = 0
	f.mu.Unlock()
	if f.cfg.Limit > 0 && used > f.cfg.Limit {
		dearest = Today
	}
	if f.cfg.Limit > 0 && (used > f.cfg.Limit || over > 0) {
		over += used - f.allowance(Unleased)
	}
	k, err := f.mark(ctx)
	if err != nil {
		return freed, err
	}
	unwanted, bytes, err := f.unreached(ctx, k)
	if err != nil {
		return freed, err
	}
	for f.cfg.Limit > 0 && over > bytes {
		n, err := f.forget(ctx)
		if err != nil {
			return freed, err
		}
		if n == 0 {
			break
		}
		freed.Versions += n
		if k, err = f.mark(ctx); err != nil {
			return freed, err
		}
		if unwanted, bytes, err = f.unreached(ctx, k); err != nil {
			return freed, err
		}
	}
	tails, err := f.shorten(ctx, over-bytes, dearest)
	if err != nil {
		return freed, err
	}
	freed.Tails = len(tails)
	gone := append(unwanted, tails...)
	freed.Blocks, freed.Bytes, err = f.cfg.Held.Release(ctx, gone)
	freed.Waiting = len(gone) - freed.Blocks
	return freed, err
}

// allowance is how far blocks of a class may fill the store: what is dearer
// has a little to itself.
func (f *Follower) allowance(p Priority) int64 {
	return f.cfg.Limit - int64(p)*(f.cfg.Limit/spare)/int64(Unleased)
}

// unreached lists what k has not met.
func (f *Follower) unreached(ctx context.Context, k *Checked) (unwanted []cid.Cid, bytes int64, err error) {
	err = f.cfg.Held.Each(ctx, func(c cid.Cid, size int64) error {
		if !k.has(c) {
			unwanted = append(unwanted, c)
			bytes += size
		}
		return nil
	})
	return unwanted, bytes, err
}

// mark meets all that is to stay.
func (f *Follower) mark(ctx context.Context) (*Checked, error) {
	k := &Checked{}
	pins, err := f.cfg.Pinner.Pins(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	var partly []cid.Cid
	for name, n := range f.names {
		if n.head != nil {
			partly = append(partly, n.head.Envelope.Cid)
		}
		past, err := loadPast(f.cfg.Store, name)
		if err != nil {
			f.mu.Unlock()
			return nil, err
		}
		for _, p := range past {
			partly = append(partly, p.Envelope.Cid)
		}
	}
	walks := slices.Collect(maps.Keys(f.walks))
	f.mu.Unlock()
	for _, w := range walks { // records of what is not accepted yet
		w.mu.Lock()
		for c := range w.known {
			k.first(c)
		}
		w.mu.Unlock()
	}
	// Two sets: a walk's records, and what is below a pin, are met whatever is
	// below them here; and a graph that may lack blocks is gone into anew.
	pinned := &Checked{}
	for _, p := range pins {
		if err := f.reach(ctx, k, pinned, p.Root, true); err != nil {
			return nil, fmt.Errorf("below the pin %s: %w", p.Name, err)
		}
	}
	if f.cfg.Own != nil {
		own, err := f.cfg.Own(func(c cid.Cid) bool { return pinned.has(c) })
		if err != nil {
			return nil, err
		}
		partly = append(partly, own...)
	}
	for _, c := range partly {
		if err := f.reach(ctx, k, pinned, c, false); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// reach has k meet root and all below it that deep has not been in; leaves are
// not read. Of what is whole, nothing may be missing.
func (f *Follower) reach(ctx context.Context, k, deep *Checked, root cid.Cid, whole bool) error {
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		k.first(c)
		if !deep.first(c) || c.Prefix().Codec == cid.Raw {
			continue
		}
		data, err := f.cfg.Blocks.Read(ctx, c)
		if errors.Is(err, node.ErrNotFound) && !whole {
			continue
		}
		if err != nil {
			return err
		}
		links, err := node.Links(c, data)
		if err != nil {
			return err
		}
		todo = append(todo, links...)
	}
	return nil
}

// forget gives up one past version of each name, the oldest, and where none
// is left the pin that stood in for a newest version that is not whole.
func (f *Follower) forget(ctx context.Context) (versions int, err error) {
	f.mu.Lock()
	heads := map[ipns.Name]headRow{}
	for name, n := range f.names {
		if n.head != nil {
			heads[name] = *n.head
		}
	}
	f.mu.Unlock()
	pins, err := f.cfg.Pinner.Pins(ctx)
	if err != nil {
		return 0, err
	}
	for name, head := range heads {
		past, err := loadPast(f.cfg.Store, name)
		if err != nil {
			return versions, err
		}
		for _, p := range pins {
			superseded := p.Name == pinOf(name, p.Root).Name && p.Root != head.Envelope.Cid
			oldest := len(past) > 0 && strings.HasPrefix(p.Name, pastPin(name)) && p.Root == past[0].Envelope.Cid
			if !oldest && (!superseded || len(past) > 1) {
				continue
			}
			if err := f.cfg.Pinner.Unpin(ctx, p); err != nil {
				return versions, err
			}
			versions++
		}
		if len(past) > 0 {
			f.cfg.Log.Warn("past version given up: the store is full", "name", name, "seq", past[0].Seq)
			if err := f.cfg.Store.Apply(nil, []string{past[0].key(name)}); err != nil {
				return versions, err
			}
		}
	}
	return versions, nil
}

// tail is a leaf that may go.
type tail struct {
	cid      cid.Cid
	size     int64
	priority Priority
}

// shorten gives up tails of tracks until over bytes are, of classes less dear
// than dearest, and returns them with those that earlier calls gave up and
// that are still here. Their names are no longer whole, and lose the pin that
// says so, before anything goes.
func (f *Follower) shorten(ctx context.Context, over int64, dearest Priority) (gone []cid.Cid, err error) {
	f.mu.Lock()
	given := maps.Clone(f.given)
	f.mu.Unlock()
	if over <= 0 && len(given) == 0 {
		return nil, nil
	}
	here := map[[32]byte]bool{}
	err = f.cfg.Held.Each(ctx, func(c cid.Cid, size int64) error {
		here[manifests.Digest(c)] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	for c, size := range given {
		if !here[manifests.Digest(c)] {
			f.mu.Lock()
			delete(f.given, c)
			f.mu.Unlock()
			continue
		}
		gone = append(gone, c)
		over -= size
	}
	if over <= 0 {
		return gone, nil
	}
	tails, of, err := f.tails(ctx, dearest)
	if err != nil {
		return gone, err
	}
	hurt := map[ipns.Name]bool{}
	for _, t := range tails {
		if over <= 0 {
			break
		}
		if _, already := given[t.cid]; already || !here[manifests.Digest(t.cid)] {
			continue
		}
		over -= t.size
		gone = append(gone, t.cid)
		for _, name := range of[t.cid] {
			hurt[name] = true
		}
		f.mu.Lock()
		f.given[t.cid] = t.size
		f.mu.Unlock()
	}
	for name := range hurt {
		if err := f.unwhole(ctx, name); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// tails are the leaves that may go for the sake of a class, the least dear
// first, and the names that have them. The ends of tracks, what a dearer
// track shares, and our own are not among them.
func (f *Follower) tails(ctx context.Context, dearest Priority) (tails []tail, of map[cid.Cid][]ipns.Name, err error) {
	stay, deep := &Checked{}, &Checked{}
	if f.cfg.Own != nil {
		own, err := f.cfg.Own(func(cid.Cid) bool { return false })
		if err != nil {
			return nil, nil, err
		}
		for _, c := range own {
			if err := f.reach(ctx, stay, deep, c, false); err != nil {
				return nil, nil, err
			}
		}
	}
	of = map[cid.Cid][]ipns.Name{}
	for _, s := range f.Follows() {
		if !s.Envelope.Defined() {
			continue
		}
		c, err := f.Newest(s.Name)
		if err != nil {
			return nil, nil, err
		}
		for _, sel := range c.Selections {
			for _, e := range sel.Entries {
				p := f.keep(e.Track)
				leaves, err := f.leaves(ctx, e)
				if err != nil {
					return nil, nil, err
				}
				for i, l := range leaves {
					switch {
					case p <= dearest || i == 0 || i == len(leaves)-1:
						stay.first(l.cid)
						continue
					case len(of[l.cid]) == 0:
						tails = append(tails, tail{l.cid, l.size, p})
					}
					of[l.cid] = append(of[l.cid], s.Name)
				}
			}
		}
	}
	tails = slices.DeleteFunc(tails, func(t tail) bool { return stay.has(t.cid) })
	slices.Reverse(tails) // the last tracks first
	slices.SortStableFunc(tails, func(a, b tail) int { return int(b.priority) - int(a.priority) })
	return tails, of, nil
}

// unwhole notes, durably, that the newest version of name is not all here.
func (f *Follower) unwhole(ctx context.Context, name ipns.Name) error {
	f.mu.Lock()
	n, ok := f.names[name]
	if !ok || n.head == nil {
		f.mu.Unlock()
		return nil
	}
	h := *n.head
	h.Whole = false
	err := f.cfg.Store.Apply(map[string][]byte{headKey(name): h.encode()}, nil)
	if err == nil {
		n.head = &h
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	f.again(n) // Run counts what is left, and fetches what there is room for
	return f.cfg.Pinner.Unpin(ctx, pinOf(name, h.Envelope.Cid))
}

// leaves are a track's, in order, as far as its tree is here.
func (f *Follower) leaves(ctx context.Context, e manifests.Entry) (out []tail, err error) {
	var visit func(c cid.Cid, size uint64, depth int) error
	visit = func(c cid.Cid, size uint64, depth int) error {
		if c.Prefix().Codec == cid.Raw {
			out = append(out, tail{cid: c, size: int64(size)})
			return nil
		}
		data, err := f.cfg.Blocks.Read(ctx, c)
		if errors.Is(err, node.ErrNotFound) || depth == maxDepth {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := readBranch(c, data, size)
		if err != nil {
			return err
		}
		for i, l := range b.links {
			if err := visit(l, b.sizes[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return out, visit(e.Track, e.Size, 1)
}

func (f *Follower) keep(track cid.Cid) Priority {
	if f.cfg.Keep == nil {
		return Unleased
	}
	return f.cfg.Keep(track)
}

// room takes size bytes of the limit for a leaf of a track until release is
// called, or notes that they lack.
func (f *Follower) room(ctx context.Context, size uint64, p Priority) (release func(), err error) {
	if f.cfg.Limit <= 0 {
		return func() {}, nil
	}
	used, err := f.cfg.Held.Used(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if used+f.coming+int64(size) <= f.allowance(p) {
		f.coming += int64(size)
		return func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.coming -= int64(size)
		}, nil
	}
	if f.lack == 0 || p < f.lacking {
		f.lacking = p
	}
	f.lack += int64(size)
	return nil, ErrFull
}

// givenUp tells whether a leaf that may still be here was given up.
func (f *Follower) givenUp(c cid.Cid) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.given[c]
	return ok
}

// taken forgets that a leaf was given up.
func (f *Follower) taken(c cid.Cid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.given, c)
}
