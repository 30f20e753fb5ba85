package follow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// repairs is how often what a pin finds missing is fetched again.
const repairs = 3

// Options say how Sync goes about it.
type Options struct {
	// Ask asks the peers first and fails with ErrNotFound when none answers;
	// without it a record held is enough. What is held is read and verified.
	Ask bool
	// Local asks nobody for anything: what is not here is ErrNotFound.
	Local bool
	// Resolved, when set, is called once the record that counts is known.
	Resolved func(ipns.Record)
	// Progress, when set, is called from one goroutine at a time, for the
	// sync that runs now even if another began it.
	Progress func(Progress)
}

// Sync resolves name, verifies what it points at, fetches everything public
// of it and pins it. Its records, mailboxes and metadata once here, the
// version is accepted: floors rise, durably, Newest gives it and OnNewer tells
// of it, while its tails still come. The old version's pin goes when the new
// one is whole. Where the DJ's backup name is known, the newer of both names'
// versions counts. Of a version that lies below what was accepted for some
// selections only, the others are accepted; Catalogue.Refused tells of those.
// The error wraps ErrNotFound, ErrVerify or node.ErrNoSpace, or
// is ctx's; what was held before stays.
func (f *Follower) Sync(ctx context.Context, name ipns.Name, opt Options) (*Catalogue, error) {
	n, err := f.lookup(name)
	if err != nil {
		return nil, fmt.Errorf("sync: %w", err)
	}
	if opt.Progress != nil {
		f.mu.Lock()
		n.listeners[&opt.Progress] = true
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(n.listeners, &opt.Progress)
		}()
	}
	select {
	case n.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("sync %s: %w", name, kindOf(ctx.Err()))
	}
	defer func() { <-n.busy }()
	c, err := f.sync(ctx, n, name, opt)
	if err != nil {
		err = fmt.Errorf("sync %s: %w", name, kindOf(err))
	}
	f.mu.Lock()
	if !errors.Is(err, context.Canceled) {
		if n.err = err; err == nil {
			n.err = c.Refusal()
		}
	}
	f.mu.Unlock()
	return c, err
}

// kindOf makes err wrap the sentinel that callers branch on.
func kindOf(err error) error {
	is := func(kinds ...error) bool {
		for _, k := range kinds {
			if errors.Is(err, k) {
				return true
			}
		}
		return false
	}
	switch {
	case is(ErrVerify, ErrNotFound, node.ErrNoSpace):
		return err
	case is(ipns.ErrInvalid, ipns.ErrRollback):
		return fmt.Errorf("%w: %w", ErrVerify, err)
	case is(ipns.ErrNotFound, ipns.ErrExpired, node.ErrNotFound, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

func (f *Follower) sync(ctx context.Context, n *followed, name ipns.Name, opt Options) (*Catalogue, error) {
	w := f.newWalk(n, opt)
	defer func() { f.endWalk(w) }()
	f.mu.Lock()
	fresh := n.head == nil
	f.mu.Unlock()
	settled := func(cid.Cid) {}
	if fresh && !opt.Local {
		settled = w.ahead(ctx, name)
	}
	rec, err := f.resolve(ctx, n, name, opt)
	if err != nil {
		settled(cid.Undef)
		return nil, err
	}
	if opt.Resolved != nil {
		opt.Resolved(rec)
	}
	settled(rec.Value)
	f.mu.Lock()
	head, dj, backup := n.head, n.row.DJ, n.row.Backup
	n.filling = false
	f.mu.Unlock()
	kept := !opt.Ask && head != nil && head.Whole && head.Envelope.Cid == rec.Value
	if kept {
		// A store that others use as well may have been told otherwise.
		pins, err := f.cfg.Pinner.Pins(ctx)
		if err != nil {
			return nil, err
		}
		kept = slices.Contains(pins, pinOf(name, rec.Value))
	}
	if kept {
		if err := f.renew(ctx, n, name, rec); err != nil {
			return nil, err
		}
		return f.Newest(name)
	}
	v, err := readVersion(ctx, w.record, f.cfg.Parallel, rec.Name, dj, rec.Value)
	if err != nil {
		return nil, err
	}
	if f.cfg.Synchronised == nil || f.cfg.Synchronised() {
		if err := v.dated(f.cfg.Now().Unix()); err != nil {
			return nil, err
		}
	}
	if err := f.covered(ctx, w, v); err != nil {
		return nil, err
	}
	if err := f.sift(name, v); err != nil {
		return nil, err
	}
	if f.cfg.Judge != nil {
		if err := f.cfg.Judge(v.catalogue(name)); err != nil {
			return nil, err
		}
	}
	c, err := f.accept(n, name, v, rec, w.count())
	if err != nil {
		return nil, err
	}
	// A backup name that v was the first to tell of is asked for meanwhile.
	filling, stop := context.WithCancel(ctx)
	defer stop()
	elsewhere := make(chan bool, 1)
	go func() {
		newer := opt.Ask && f.learned(ctx, n, backup, v)
		if newer {
			stop()
		}
		elsewhere <- newer
	}()
	for try := 1; ; try++ {
		err := f.fill(filling, w, v)
		if try == 1 && <-elsewhere {
			return f.sync(ctx, n, name, opt)
		}
		if err == nil {
			err = f.cfg.Pinner.Pin(ctx, pinOf(name, v.envelope))
		}
		for _, s := range v.held() {
			if err == nil {
				err = f.cfg.Pinner.Pin(ctx, pinOf(name, s.Envelope))
			}
		}
		if err == nil {
			break
		}
		if try > repairs || ctx.Err() != nil || !errors.Is(err, node.ErrNotFound) {
			return nil, err
		}
		// The pin has read and removed a damaged block: count and fetch anew.
		again := f.newWalk(n, opt)
		f.endWalk(w)
		w = again
		if _, err := readVersion(ctx, again.record, f.cfg.Parallel, rec.Name, dj, rec.Value); err != nil {
			return nil, err
		}
		if err := f.covered(ctx, again, v); err != nil {
			return nil, err
		}
	}
	return c, f.settle(ctx, n, name, v, w)
}

func (f *Follower) newWalk(n *followed, opt Options) *walk {
	w := &walk{f: f, get: f.cfg.Fetch.Get, thorough: opt.Ask, tails: node.Later, report: f.reporter(n), known: map[cid.Cid]bool{}}
	if w.local = opt.Local; w.local {
		w.get = func(ctx context.Context, c cid.Cid, _ node.Want) ([]byte, error) { return f.cfg.Blocks.Read(ctx, c) }
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.walks[w] = true
	return w
}

func (f *Follower) endWalk(w *walk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.walks, w)
}

// reporter hands progress to whoever listens. The name's status tells it only
// once the version is accepted.
func (f *Follower) reporter(n *followed) func(Progress) {
	return func(p Progress) {
		f.mu.Lock()
		if n.filling {
			n.progress = p
		}
		listeners := maps.Clone(n.listeners)
		f.mu.Unlock()
		for l := range listeners {
			(*l)(p)
		}
	}
}

// covered has the mailboxes and metadata here, and checks their form.
func (f *Follower) covered(ctx context.Context, w *walk, v *version) error {
	tracks := 0
	for i, m := range v.manifests {
		shards, err := getter(w.record).all(ctx, f.cfg.Parallel, m.Boxes)
		if err != nil {
			return fmt.Errorf("mailboxes of %s: %w", m.ID(), err)
		}
		if err := boxes(shards); err != nil {
			return err
		}
		if _, err := getter(w.record).all(ctx, f.cfg.Parallel, m.Meta); err != nil {
			return fmt.Errorf("metadata of %s: %w", m.ID(), err)
		}
		tracks += len(v.tracks[i].Entries)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress.Tracks = tracks
	return nil
}

// accept judges v against what was accepted before and, if it may stand,
// raises the floors and pins the DJ in one durable step.
func (f *Follower) accept(n *followed, name ipns.Name, v *version, rec ipns.Record, p Progress) (*Catalogue, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[name] != n {
		return nil, fmt.Errorf("%s is no longer followed: %w", name, ErrNotFound)
	}
	dj := v.chain.DJ()
	old, err := loadFloors(f.cfg.Store, dj)
	if err != nil {
		return nil, fmt.Errorf("read floors of %s: %w", dj, err)
	}
	next, refused, err := old.raise(v)
	for id, e := range refused {
		if v.refused[id] == nil {
			err = e // a floor has risen since it was sifted
		}
	}
	if err == nil && n.row.DJ != "" && n.row.DJ != dj.String() {
		err = refuse("another DJ was named meanwhile: %s", n.row.DJ)
	}
	if err != nil {
		f.cfg.Log.Warn("version refused", "name", name, "head", v.envelope, "err", err)
		return nil, err
	}
	head := &headRow{
		Envelope: link{v.envelope}, RootN: v.head.RootN, Seq: v.head.Seq, IAT: v.head.IAT, Exp: v.head.Exp,
		Since: f.cfg.Now().Unix(), Progress: p, Via: rec.Name, Record: rec.Raw,
	}
	for id, s := range v.kept {
		if head.Kept == nil {
			head.Kept = map[string]string{}
		}
		head.Kept[id.String()] = ""
		if s != nil {
			head.Kept[id.String()] = s.Envelope.String()
		}
		f.cfg.Log.Warn("selection refused; what is held of it stays", "name", name, "err", v.refused[id])
	}
	fresh := n.head == nil || n.head.Envelope != head.Envelope
	if !fresh {
		head.Since, head.Whole = n.head.Since, n.head.Whole
	}
	r := n.row
	r.DJ, r.Held = dj.String(), true
	r.Backup = other(v.chain.Newest(), name)
	puts := map[string][]byte{rowKey(name): r.encode(), headKey(name): head.encode(), floorsKey(dj): next.encode()}
	if fresh && n.head != nil && n.head.Whole && r.History != 0 {
		past := n.head.past()
		puts[past.key(name)] = mustJSON(past)
	}
	err = f.cfg.Store.Apply(puts, nil)
	if err != nil {
		return nil, fmt.Errorf("keep floors of %s: %w", dj, err)
	}
	if r.Backup != n.row.Backup {
		n.unspare()
		n.unspare = func() {}
		if r.Backup != "" {
			n.unspare = f.watch(n, r.Backup)
		}
	}
	c := v.catalogue(name)
	n.row, n.head, n.catalogue, n.progress, n.filling = r, head, c, p, true
	if fresh {
		for h := range f.newer {
			go h.f(c)
		}
	}
	return c, nil
}

// fill has everything below the version's records here.
func (f *Follower) fill(ctx context.Context, w *walk, v *version) error {
	var entries []manifests.Entry
	var rest []cid.Cid
	seen := map[cid.Cid]bool{}
	add := func(m *manifests.Manifest, all []manifests.Entry) {
		for _, e := range all {
			if !seen[e.Track] { // a track in two selections is one file
				seen[e.Track] = true
				entries = append(entries, e)
			} else {
				rest = append(rest, e.Info)
			}
		}
		rest = append(rest, m.Offers...)
		if m.Live != nil {
			rest = append(rest, *m.Live)
		}
	}
	for i, m := range v.manifests {
		add(m, v.tracks[i].Entries)
	}
	for _, s := range v.held() {
		add(s.Manifest, s.Entries)
	}
	w.mu.Lock()
	w.progress.Tracks = len(entries)
	w.mu.Unlock()
	// What is dearer first, should there be no room for all.
	slices.SortStableFunc(entries, func(a, b manifests.Entry) int { return int(f.keep(a.Track)) - int(f.keep(b.Track)) })
	if err := w.tracks(ctx, entries); err != nil {
		return err
	}
	if err := w.clips(ctx, v.card); err != nil {
		return err
	}
	if err := w.rest(ctx, rest); err != nil {
		return err
	}
	if n := w.lacking.Load(); n > 0 {
		return fmt.Errorf("%d blocks are left out: %w", n, ErrFull)
	}
	return nil
}

func pinOf(name ipns.Name, root cid.Cid) node.Pin {
	return node.Pin{Name: "follow/" + string(name), Root: root}
}

// settle notes that v is whole and pinned, and lets older versions go.
func (f *Follower) settle(ctx context.Context, n *followed, name ipns.Name, v *version, w *walk) error {
	f.mu.Lock()
	head, p := *n.head, w.count()
	head.Whole, head.Progress = true, p
	var err error
	if f.names[name] != n {
		err = fmt.Errorf("%s is no longer followed: %w", name, ErrNotFound)
	} else if err = f.cfg.Store.Apply(map[string][]byte{headKey(name): head.encode()}, nil); err == nil {
		n.head, n.progress = &head, p
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	keep := []cid.Cid{v.envelope}
	for _, s := range v.held() {
		keep = append(keep, s.Envelope)
	}
	return f.tidy(ctx, n, name, keep)
}

// Newest is the newest version accepted, from disk alone, also after a
// restart; ErrNotFound when there is none, or a record of it is damaged. Its
// tails may still be coming.
func (f *Follower) Newest(name ipns.Name) (*Catalogue, error) {
	n, err := f.lookup(name)
	if err != nil {
		return nil, fmt.Errorf("newest: %w", err)
	}
	f.mu.Lock()
	c, head, dj := n.catalogue, n.head, n.row.DJ
	f.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if head == nil {
		return nil, fmt.Errorf("newest of %s: nothing held yet: %w", name, ErrNotFound)
	}
	read := func(ctx context.Context, c cid.Cid) ([]byte, error) { return f.cfg.Blocks.Read(ctx, c) }
	via := head.Via
	if via == "" {
		via = name
	}
	v, err := readVersion(context.Background(), read, f.cfg.Parallel, via, dj, head.Envelope.Cid)
	if err == nil {
		err = v.reread(context.Background(), read, f.cfg.Parallel, head.Kept)
	}
	if err != nil {
		return nil, fmt.Errorf("newest of %s: %w", name, kindOf(err))
	}
	c = v.catalogue(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.catalogue == nil && n.head.Envelope == head.Envelope {
		n.catalogue = c
	}
	return c, nil
}
