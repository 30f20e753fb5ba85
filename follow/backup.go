package follow

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
)

const (
	// brief is how long the one name may still answer when the other has.
	brief = time.Second
	// doubt is how long it may when that other is the backup name: the name
	// itself is asked first and believed first.
	doubt = 3 * time.Second
)

// other is the DJ's name beside the one that is followed, if there is one.
func other(r *manifests.Root, name ipns.Name) ipns.Name {
	for _, n := range []manifests.Name{r.Names[1], r.Names[0]} {
		if p, err := ipns.ParseName(string(n)); err == nil && p != name {
			return p
		}
	}
	return ""
}

// resolve finds the record to believe: the name's own, or where the DJ's
// backup name is known and points elsewhere, the one with the newer version.
// Whoever stole the one name's key can freeze it, or point it at what is
// refused; then the other is what counts.
func (f *Follower) resolve(ctx context.Context, n *followed, name ipns.Name, opt Options) (ipns.Record, error) {
	if opt.Local {
		return f.cfg.Names.Newest(name)
	}
	f.mu.Lock()
	backup, head, dj := n.row.Backup, n.head, n.row.DJ
	f.mu.Unlock()
	if backup == "" {
		if opt.Ask {
			return f.cfg.Names.Ask(ctx, name)
		}
		return f.cfg.Names.Resolve(ctx, name)
	}
	var own, spare ipns.Record
	var ownErr error
	if opt.Ask {
		own, spare, ownErr = f.askBoth(ctx, name, backup, head)
	} else {
		own, spare, ownErr = f.heldBoth(ctx, name, backup, head)
	}
	switch {
	case ownErr != nil && spare.Raw == nil:
		return own, ownErr
	case ownErr != nil:
		return spare, nil
	case spare.Raw == nil || spare.Value == own.Value:
		return own, nil
	}
	return f.choose(ctx, own, spare, dj, head)
}

// lasting is the record held of a name, unless its time has passed.
func (f *Follower) lasting(name ipns.Name) (ipns.Record, bool) {
	rec, err := f.cfg.Names.Newest(name)
	return rec, err == nil && !f.cfg.Now().After(rec.EOL)
}

// heldBoth are the records here. The name itself is asked for where nothing
// else is new.
func (f *Follower) heldBoth(ctx context.Context, name, backup ipns.Name, head *headRow) (own, spare ipns.Record, err error) {
	own, ok := f.lasting(name)
	s, spared := f.lasting(backup)
	if spared {
		spare = s
	}
	switch {
	case ok:
	case spared && (head == nil || s.Value != head.Envelope.Cid):
		err = ipns.ErrNotFound
	default:
		own, err = f.cfg.Names.Resolve(ctx, name)
	}
	return own, spare, err
}

// askBoth asks for both names at once. The backup name holds nobody up for
// longer than brief; the name itself, once the other has answered, for no
// longer than doubt. What is held of the backup name counts as well, where it
// points at anything that is not here yet.
func (f *Follower) askBoth(ctx context.Context, name, backup ipns.Name, head *headRow) (own, spare ipns.Record, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		rec ipns.Record
		err error
	}
	first, second := make(chan answer, 1), make(chan answer, 1)
	go func() { rec, err := f.cfg.Names.Ask(ctx, name); first <- answer{rec, err} }()
	look := func() {
		go func() { rec, err := f.cfg.Names.Look(ctx, backup); second <- answer{rec, err} }()
	}
	look()
	var late, again <-chan time.Time
	for {
		select {
		case a := <-first:
			own, err = a.rec, a.err
			if spare.Raw == nil && again == nil {
				select {
				case b := <-second:
					spare = b.rec
				case <-time.After(brief):
				}
			}
			if s, ok := f.lasting(backup); ok && spare.Raw == nil && (err == nil || head == nil || s.Value != head.Envelope.Cid) {
				spare = s
			}
			return own, spare, err
		case b := <-second:
			if b.err != nil {
				again = time.After(brief)
				continue
			}
			spare, late = b.rec, time.After(doubt)
		case <-again:
			again = nil
			look()
		case <-late:
			return own, spare, ipns.ErrNotFound
		}
	}
}

// choose reads what both records point at, and takes the newer.
func (f *Follower) choose(ctx context.Context, own, spare ipns.Record, dj string, head *headRow) (ipns.Record, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type sight struct {
		rec ipns.Record
		v   *version
		err error
	}
	seen := make(chan sight, 2)
	for _, rec := range []ipns.Record{own, spare} {
		go func() {
			v, err := f.glance(ctx, rec, dj)
			seen <- sight{rec, v, err}
		}()
	}
	var best *sight
	var ownErr error
	var late <-chan time.Time
	for left := 2; left > 0; {
		select {
		case s := <-seen:
			left--
			if s.err != nil {
				if ctx.Err() == nil { // else something newer has come
					f.cfg.Log.Warn("what a name points at is refused, or nowhere to be had", "name", s.rec.Name, "err", s.err)
				}
				if s.rec.Name == own.Name {
					ownErr = s.err
				}
				continue
			}
			if best == nil || s.v.above(best.v) || !best.v.above(s.v) && s.rec.Name == own.Name {
				best = &s
			}
			late = time.After(doubt)
		case <-late:
			left = 0
		}
	}
	switch {
	case best == nil:
		return own, ownErr
	case best.rec.Name == own.Name || ownErr == nil:
		return best.rec, nil
	case head != nil && head.Envelope.Cid == spare.Value && head.Via != spare.Name:
		return own, ownErr // the backup name has nothing that is not here: the refusal is the news
	}
	return best.rec, nil
}

// glance reads and judges the head that a record points at.
func (f *Follower) glance(ctx context.Context, rec ipns.Record, dj string) (*version, error) {
	w := &walk{f: f, get: f.cfg.Fetch.Get, report: func(Progress) {}, known: map[cid.Cid]bool{}}
	v, err := readHead(ctx, w.record, f.cfg.Parallel, rec.Name, dj, rec.Value)
	if err != nil {
		return nil, err
	}
	if err := v.dated(f.cfg.Now().Unix()); err != nil {
		return nil, err
	}
	floors, err := loadFloors(f.cfg.Store, v.chain.DJ())
	if err != nil {
		return nil, err
	}
	_, _, err = floors.under(v)
	return v, err
}

// above orders versions of one DJ's.
func (v *version) above(o *version) bool {
	if v.head.RootN != o.head.RootN {
		return v.head.RootN > o.head.RootN
	}
	return v.head.Seq > o.head.Seq
}

// learned asks for a backup name that v was the first to tell of, and tells
// whether it points elsewhere.
func (f *Follower) learned(ctx context.Context, n *followed, before ipns.Name, v *version) bool {
	f.mu.Lock()
	backup := n.row.Backup
	f.mu.Unlock()
	if backup == "" || backup == before {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	rec, err := f.cfg.Names.Look(ctx, backup)
	return err == nil && rec.Value != v.envelope
}

// sift judges v against what was accepted before, and puts what is held in
// the place of what is refused.
func (f *Follower) sift(name ipns.Name, v *version) error {
	old, err := loadFloors(f.cfg.Store, v.chain.DJ())
	if err != nil {
		return err
	}
	_, refused, err := old.raise(v)
	if err != nil {
		f.cfg.Log.Warn("version refused", "name", name, "head", v.envelope, "err", err)
		return err
	}
	if len(refused) == 0 {
		return nil
	}
	held, err := f.Newest(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	v.keep(refused, held)
	return nil
}

// spare asks for the backup name, where it is known.
func (f *Follower) spare(ctx context.Context, n *followed) {
	f.mu.Lock()
	backup := n.row.Backup
	f.mu.Unlock()
	if backup == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if _, err := f.cfg.Names.Look(ctx, backup); err != nil && ctx.Err() == nil {
		f.cfg.Log.Debug("ask for the backup name", "name", backup, "err", err)
	}
}
