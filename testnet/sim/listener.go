package sim

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"playnode/live"
	"playnode/node"
	"playnode/testnet/ear"
)

// listener is one who hears.
type listener struct {
	node    *Node
	lan     int
	crowd   bool
	carrier *live.Carrier
	life    context.Context // from run on
	stop    context.CancelFunc
	runs    sync.WaitGroup
	done    chan struct{} // closed when all that runs has ended

	mu     sync.Mutex // guards what follows
	feed   *live.Feed // nil where nobody passes anything on
	came   ear.Set
	edge   int // the newest number on air when it asked
	sound  time.Duration
	join   time.Duration
	delays []time.Duration
	missed int
	killed bool
	sent   []int64 // over the line, by second
}

// run has a box run until it is stopped, and connect to those that it knows.
func (s *stage) run(ctx context.Context, l *listener, know []string) {
	l.life, l.stop = context.WithCancel(ctx)
	l.done = make(chan struct{})
	if s.cfg.Plain {
		return
	}
	l.runs.Go(func() { l.carrier.Run(l.life) })
	for _, a := range append(know, s.source.node.Addrs()[0]) {
		l.runs.Go(func() { l.node.Connect(l.life, a) })
	}
}

// come has a box that runs hear.
func (s *stage) come(l *listener) {
	ctx := l.life
	s.mu.Lock()
	s.all = append(s.all, l)
	l.edge, l.came.Asked, l.came.Pace = len(s.cut), time.Now(), s.cfg.Pace
	s.mu.Unlock()
	if s.cfg.Plain {
		s.wg.Go(func() {
			s.tuneIn(ctx, l)
			close(l.done)
		})
		return
	}
	feed := l.carrier.Hear(s.dj.Set(), s.cfg.Patience)
	l.mu.Lock()
	l.feed = feed
	l.mu.Unlock()
	l.runs.Go(func() {
		for {
			item, err := feed.Next(ctx)
			if err != nil {
				return
			}
			if item.Missing > 0 {
				s.heard(l, int(item.Seq), item.Missing, true)
			} else if item.Head != nil {
				s.heard(l, int(item.Seq), 1, false)
			}
		}
	})
	s.wg.Go(func() {
		l.runs.Wait()
		feed.Close()
		close(l.done)
	})
}

// heard notes n segments from seq on, which are here now, or lost.
func (s *stage) heard(l *listener, seq, n int, lost bool) {
	s.mu.Lock()
	cut := s.cut[seq]
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for i := range n {
		l.came.Note(seq+i, now, lost)
	}
	if lost {
		l.missed += n
		return
	}
	if l.sound == 0 {
		l.sound = now.Sub(l.came.Asked)
	}
	if seq+1 >= l.edge {
		if l.join == 0 {
			l.join = now.Sub(l.came.Asked)
		} else {
			l.delays = append(l.delays, now.Sub(cut))
		}
	}
}

// plainProtocol is a stream on which a set comes, a segment after the other:
// its number and its size, in 8 bytes each, and it.
const plainProtocol = "/sim/plain"

const (
	// burst is how many of the newest segments a stream begins with, behind how
	// many it may lack before it is ended, as servers for radio do it: 512 KiB
	// of them.
	burst, behind = 3, 30
	// tlsRounds is how many round trips a dial takes by TCP and TLS.
	tlsRounds = 2
	// redial is how soon a stream that has ended is asked for again.
	redial = time.Second
)

// serve is a stream that somebody asks the DJ's box for.
func (s *stage) serve(_ string, out node.Stream) {
	defer out.Close()
	s.mu.Lock()
	next := max(0, len(s.cut)-burst)
	s.mu.Unlock()
	segment := make([]byte, 16+s.cfg.Size)
	binary.BigEndian.PutUint64(segment[8:], uint64(s.cfg.Size))
	for {
		s.mu.Lock()
		edge, ended, aired := len(s.cut), s.ended, s.aired
		s.mu.Unlock()
		switch {
		case edge-next > behind, next == edge && ended:
			return
		case next == edge:
			<-aired
			continue
		}
		binary.BigEndian.PutUint64(segment, uint64(next))
		if _, err := out.Write(segment); err != nil {
			return
		}
		next++
	}
}

// tuneIn hears the set by such a stream, and by another where one ends.
func (s *stage) tuneIn(ctx context.Context, l *listener) {
	next := -1
	l.node.dial(ctx, s.source.node.Addrs()[0], tlsRounds)
	for ctx.Err() == nil {
		in, err := l.node.Open(ctx, s.source.node.ID(), plainProtocol)
		if err == nil {
			ended := context.AfterFunc(ctx, func() { in.Reset() })
			next = s.hearPlain(l, in, next)
			ended()
			in.Close()
		}
		select {
		case <-time.After(redial):
		case <-ctx.Done():
		}
	}
}

// hearPlain hears one stream to its end; next is the number that is to come,
// or -1 before the first.
func (s *stage) hearPlain(l *listener, in io.Reader, next int) int {
	segment := make([]byte, 16+s.cfg.Size)
	for {
		if _, err := io.ReadFull(in, segment); err != nil {
			return next
		}
		seq := int(binary.BigEndian.Uint64(segment))
		if next >= 0 && seq > next {
			s.heard(l, next, seq-next, true)
		}
		if seq >= next {
			s.heard(l, seq, 1, false)
			next = seq + 1
		}
	}
}
