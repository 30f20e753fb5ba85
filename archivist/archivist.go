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
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// Archivist archives names. Safe for concurrent use.
type Archivist struct{ cfg Config }

// Report is what is held of one name.
type Report struct {
	Name ipns.Name
	Seq  uint64
	// Envelope is the CID that the name's record points at.
	Envelope cid.Cid
	// Blocks and Bytes are held; Missing blocks are not.
	Blocks  int
	Bytes   int64
	Missing int
}

// New makes an Archivist.
func New(cfg Config) *Archivist {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Archivist{cfg}
}

// Archive follows each target (a name or link, as follow.Follow takes) and
// returns when everything public of its newest version is held and pinned, and
// its record handed on to whoever wants it. With ask it asks peers for that
// record and reads all that is held; without, a record held is enough. There
// is a Report for each target in its order, also when err is not nil; err
// joins what went wrong with any.
func (a *Archivist) Archive(ctx context.Context, targets []string, ask bool, progress func(ipns.Name, follow.Progress)) ([]Report, error) {
	reports := make([]Report, len(targets))
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	var mu sync.Mutex // progress is called from one goroutine at a time
	for i, target := range targets {
		name, err := a.cfg.Follow.Follow(ctx, target)
		if err != nil {
			errs[i] = fmt.Errorf("archive: %w", err)
			continue
		}
		wg.Go(func() {
			opt := follow.Options{Ask: ask}
			if progress != nil {
				opt.Progress = func(p follow.Progress) {
					mu.Lock()
					defer mu.Unlock()
					progress(name, p)
				}
			}
			c, err := a.cfg.Follow.Sync(ctx, name, opt)
			if err == nil {
				err = errors.Join(a.spread(ctx, name, c), c.Refusal())
			}
			if err != nil {
				errs[i] = fmt.Errorf("archive: %w", err)
			}
			reports[i] = a.Report(name)
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

// Report is what is held of name now.
func (a *Archivist) Report(name ipns.Name) Report {
	r := Report{Name: name}
	for _, s := range a.cfg.Follow.Follows() {
		if s.Name == name {
			p := s.Progress
			r.Seq, r.Envelope = s.Seq, s.Envelope
			r.Blocks, r.Bytes, r.Missing = p.Blocks-p.Missing, p.Bytes, p.Missing
		}
	}
	return r
}

// Run keeps what is followed in sync until ctx ends; its error is ctx's. The
// Namer's Run beside it keeps the records alive.
func (a *Archivist) Run(ctx context.Context) error { return a.cfg.Follow.Run(ctx) }
