// Package archivist keeps catalogues alive for their DJs, and cannot read
// them: there is no path from here to a key.
//
// What comes in: names. What goes out: blocks and records, served to whoever
// asks by the node and the namer below. What is trusted: what follow trusts.
package archivist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
)

// spreading bounds the wait while a record is handed on; a DHT would take
// minutes, and Run re-puts there.
const spreading = 5 * time.Second

// Config is what an Archivist needs.
type Config struct {
	// Follow resolves, verifies, fetches and pins. Required.
	Follow *follow.Follower
	// Names keeps, answers for and re-puts the records. Required.
	Names *ipns.Namer
	// Elsewhere is a service that keeps copies.
	Elsewhere Elsewhere
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// Archivist archives names. Safe for concurrent use.
type Archivist struct {
	cfg    Config
	copies copies
}

// Report is what is held of one name.
type Report struct {
	Name ipns.Name
	// DJ is empty before first contact.
	DJ  string
	Seq uint64
	// Envelope is the CID that the name's record points at.
	Envelope cid.Cid
	// Blocks and Bytes are held; Missing blocks are not. Whole says that all
	// is, and pinned.
	Blocks  int
	Bytes   int64
	Missing int
	Whole   bool
	// Issued is when the DJ signed this version, End by when she meant to have
	// signed another; the zero times before first contact.
	Issued, End time.Time
	// RecordSeq and RecordEnd are the newest record's; zero without one.
	RecordSeq uint64
	RecordEnd time.Time
	// History is how many past versions are to be kept (follow.All: all), and
	// Past those that are, oldest first.
	History int
	Past    []follow.Past
	// Elsewhere is the state of the copy that is furthest behind, as a service
	// last told it; empty without one, or before.
	Elsewhere string
}

// Options say how Archive goes about it.
type Options struct {
	// Ask asks peers for the newest records and reads all that is held;
	// without it a record held is enough.
	Ask bool
	// History, when set, is how many past versions to keep from now on; nil
	// leaves that as it is.
	History *int
	// Placed waits until what is held is pinned elsewhere, too.
	Placed bool
	// Progress, when set, is called from one goroutine at a time.
	Progress func(ipns.Name, follow.Progress)
}

// New makes an Archivist.
func New(cfg Config) *Archivist {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Elsewhere.Looking <= 0 {
		cfg.Elsewhere.Looking = looking
	}
	return &Archivist{cfg: cfg, copies: copies{states: map[ipns.Name]string{}, failed: map[cid.Cid]int{}}}
}

// Archive follows each target (a name or link, as follow.Follow takes) and
// returns when everything public of its newest version is held and pinned, and
// its record handed on to whoever wants it. There is a Report for each target
// in its order, also when err is not nil; err joins what went wrong with any.
func (a *Archivist) Archive(ctx context.Context, targets []string, opt Options) ([]Report, error) {
	reports := make([]Report, len(targets))
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	var mu sync.Mutex // Progress is called from one goroutine at a time
	for i, target := range targets {
		name, err := a.cfg.Follow.Follow(ctx, target)
		if err == nil && opt.History != nil {
			err = a.cfg.Follow.SetHistory(ctx, name, *opt.History)
		}
		if err != nil {
			errs[i] = fmt.Errorf("archive: %w", err)
			continue
		}
		wg.Go(func() {
			so := follow.Options{Ask: opt.Ask}
			if opt.Progress != nil {
				so.Progress = func(p follow.Progress) {
					mu.Lock()
					defer mu.Unlock()
					opt.Progress(name, p)
				}
			}
			c, err := a.cfg.Follow.Sync(ctx, name, so)
			if err == nil {
				err = errors.Join(a.spread(ctx, name, c), c.Refusal())
			}
			if err == nil && opt.Placed && a.cfg.Elsewhere.Copies != nil {
				err = a.placed(ctx, name)
			}
			if err != nil {
				errs[i] = fmt.Errorf("archive: %w", err)
			}
			reports[i], err = a.report(name)
			errs[i] = errors.Join(errs[i], err)
		})
	}
	wg.Wait()
	return reports, errors.Join(errs...)
}

// spread hands on the records of both the DJ's names, as far as they are held.
func (a *Archivist) spread(ctx context.Context, name ipns.Name, c *follow.Catalogue) error {
	ctx, cancel := context.WithTimeout(ctx, spreading)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, n := range c.Chain.Newest().Names {
		if n := ipns.Name(n); n != name {
			wg.Go(func() { a.cfg.Names.Spread(ctx, n) })
		}
	}
	_, err := a.cfg.Names.Spread(ctx, name)
	if errors.Is(err, ipns.ErrNotFound) {
		err = nil // found by the other name
	}
	return err
}

// Reports is what is held now of every name that is followed here, by name.
func (a *Archivist) Reports() ([]Report, error) {
	var out []Report
	for _, s := range a.cfg.Follow.Follows() {
		r, err := a.report(s.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (a *Archivist) report(name ipns.Name) (r Report, err error) {
	r.Name = name
	for _, s := range a.cfg.Follow.Follows() {
		if s.Name != name {
			continue
		}
		p := s.Progress
		r.DJ, r.Seq, r.Envelope, r.Whole, r.History = s.DJ, s.Seq, s.Envelope, s.Whole, s.History
		r.Blocks, r.Bytes, r.Missing = p.Blocks-p.Missing, p.Bytes, p.Missing
		r.Issued, r.End = s.Issued, s.End
	}
	if rec, err := a.cfg.Names.Newest(name); err == nil {
		r.RecordSeq, r.RecordEnd = rec.Seq, rec.EOL
	}
	r.Elsewhere = a.copies.of(name)
	if r.Past, err = a.cfg.Follow.History(name); err != nil {
		return r, fmt.Errorf("report: %w", err)
	}
	return r, nil
}

// Verify reads and hashes what is held of names, or without names everything
// on this box, and fetches anew what is damaged or lost; see follow.Verify.
// The Check says how far it came, also when err is not nil.
func (a *Archivist) Verify(ctx context.Context, names []ipns.Name, progress func(follow.Check)) (follow.Check, error) {
	k := &follow.Checked{Progress: progress}
	all := len(names) == 0
	if all {
		for _, s := range a.cfg.Follow.Follows() {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if err := a.cfg.Follow.Verify(ctx, name, k); err != nil {
			return k.Sum(), err
		}
	}
	if all {
		if err := a.cfg.Follow.VerifyRest(ctx, k); err != nil {
			return k.Sum(), err
		}
	}
	return k.Sum(), nil
}

// Run keeps what is followed in sync, here and elsewhere, until ctx ends; its
// error is ctx's. The Namer's Run beside it keeps the records alive.
func (a *Archivist) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if a.cfg.Elsewhere.Copies != nil {
		wg.Go(func() { a.keepCopies(ctx) })
	}
	return a.cfg.Follow.Run(ctx)
}
