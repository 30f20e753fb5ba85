package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"playnode/live"
)

const (
	// shown is how many segments of a set are held for pages.
	shown = 40
	// unwatched is after how long without a request a set is let go of.
	unwatched = time.Minute
)

// lookout has a set heard for pages, while somebody looks.
type lookout struct {
	a   *air
	set live.Set

	mu     sync.Mutex // guards what follows, and what its owner has
	runs   bool
	asked  time.Time
	ended  bool // no more will come
	closed bool // what heard it wants no more
}

// look has run hear the set, unless it does. mu is held.
func (l *lookout) look(run func()) {
	l.asked = l.a.d.now()
	if !l.runs && !l.ended && !l.closed {
		l.runs = true
		go run()
	}
}

// over tells whether nobody has looked for long.
func (l *lookout) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.asked.IsZero() && !l.runs && l.a.d.now().Sub(l.asked) >= unwatched
}

// hear gives each what comes, until the set ends, nobody has looked for long, or
// each wants no more.
func (l *lookout) hear(each func(live.Item) bool) {
	feed := l.a.carrier.Hear(l.set, 0)
	defer feed.Close()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.runs = false
	}()
	for {
		ctx, cancel := context.WithTimeout(l.a.d.life, unwatched)
		it, err := feed.Next(ctx)
		cancel()
		l.mu.Lock()
		idle := l.a.d.now().Sub(l.asked) >= unwatched
		quiet := errors.Is(err, context.DeadlineExceeded) && l.a.d.life.Err() == nil // her program may come back
		l.ended = l.ended || err != nil && !quiet
		l.mu.Unlock()
		if quiet && !idle {
			continue
		}
		if err != nil || idle {
			return
		}
		l.a.keep(l.set, it)
		if !each(it) {
			l.mu.Lock()
			l.closed = true
			l.mu.Unlock()
			return
		}
	}
}
