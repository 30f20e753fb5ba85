package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"playnode/node"
)

// bear is how long a class bears the silence of the sources already asked
// before one more is.
var bear = [...]time.Duration{
	node.Now:   150 * time.Millisecond,
	node.Next:  500 * time.Millisecond,
	node.Soon:  2 * time.Second,
	node.Later: 5 * time.Second,
}

// answer is how one ask ended.
type answer struct {
	from string
	data []byte
	err  error
}

// race asks sources in order, each after the one before has failed or been
// silent for too long, and returns the first block that verifies.
func (s *Scheduler) race(ctx context.Context, f *flight) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sources := s.trusted()
	answers := make(chan answer, len(sources)) // every ask can end, listened to or not
	asked, running := 0, 0
	var silence <-chan time.Time
	ask := func() {
		if asked == len(sources) {
			silence = nil
			return
		}
		src := sources[asked]
		asked++
		running++
		want := s.wanted(f)
		go func() {
			data, err := src.Get(ctx, f.id, want)
			answers <- answer{src.Name, data, err}
		}()
		silence = s.cfg.After(s.patience(want, len(sources)-asked))
	}
	ask()
	var last error
	for running > 0 {
		select {
		case a := <-answers:
			running--
			if data, ok := s.judge(ctx, f, a); ok {
				return data, nil
			}
			last = a.err
			ask()
		case <-silence:
			ask()
		case <-f.hurry:
			ask()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if last != nil && errors.Is(last, node.ErrVerify) {
		return nil, fmt.Errorf("%w: %w", node.ErrNotFound, last)
	}
	return nil, node.ErrNotFound
}

// judge counts one answer and tells whether it is the block.
func (s *Scheduler) judge(ctx context.Context, f *flight, a answer) ([]byte, bool) {
	wrong := errors.Is(a.err, node.ErrVerify)
	if a.err == nil {
		sum, err := f.id.Prefix().Sum(a.data)
		wrong = err != nil || !sum.Equals(f.id) || len(a.data) > node.MaxBlock
	}
	good := a.err == nil && !wrong
	s.count(a.from, func(k *Count) {
		switch {
		case good:
			k.Blocks++
			k.Bytes += int64(len(a.data))
		case wrong:
			k.Failed++
			k.Dropped = true
		case ctx.Err() == nil:
			k.Failed++
		}
	})
	return a.data, good
}

// patience is how long to wait for those asked by now, left more being there.
func (s *Scheduler) patience(w node.Want, left int) time.Duration {
	d := bear[min(int(w.Class), len(bear)-1)]
	if !w.Deadline.IsZero() {
		d = min(d, w.Deadline.Sub(s.cfg.Now())/time.Duration(left+2))
	}
	return max(d, 0)
}

func (s *Scheduler) trusted() []Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Source
	for _, src := range s.sources {
		if !s.counts[src.Name].Dropped {
			out = append(out, src)
		}
	}
	return out
}

func (s *Scheduler) wanted(f *flight) node.Want {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.want
}
