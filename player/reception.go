package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"playnode/internal/audio/resample"
	"playnode/lease"
	"playnode/manifests"
)

const (
	// leastTarget and mostTarget bound how much of a set is waited for before
	// it is heard.
	leastTarget = time.Second
	mostTarget  = 8 * time.Second
	// calmFor is after how long without a dry ring less is waited for.
	calmFor = time.Minute
	// excess is how much more than mostTarget may wait to be heard, as where
	// the playback is paused; what is older is left out then.
	excess = 2 * time.Second
	// maxQueue and maxRecords bound what is kept of a set.
	maxQueue   = 32
	maxRecords = 4
	// longestSegment bounds what a segment may say that it lasts, in seconds.
	longestSegment = 60
	// askAgain is how often it is asked whether a lease goes on.
	askAgain = time.Minute
)

// reception is one set as it comes in: opened by the lease, or by its own key,
// and kept until it is heard. One goroutine takes, a deck's hears; all methods are safe for
// concurrent use.
type reception struct {
	keys Tuner
	now  func() time.Time
	came chan struct{} // holds one: there is more, or no more
	left chan struct{} // holds one: there is room for more
	// recorded says that all is heard that comes, as it is asked for.
	recorded bool

	mu      sync.Mutex // guards what follows
	id      manifests.LiveID
	tunings []*tuning // by number
	next    uint64    // the number after the newest segment's
	init    *manifests.MediaInit
	queue   []stretch
	held    time.Duration // in queue
	least   time.Duration // of target: two segments
	target  time.Duration // what is waited for before it is heard
	calm    time.Time     // when target was last changed, or found short
	text    string        // what is on
	brk     gap           // what lies before the next segment
	lacks   int           // how many segments are missing there
	lasted  time.Duration // the newest segment
	missed  int64         // segments that were not heard
	final   bool          // the set's last segment has come
	over    error         // why no more comes; nil while more may
	deaf    error         // why the newest segment may not be heard
	heard   bool          // a deck is at it
}

// tuning is a record, and what it has opened to.
type tuning struct {
	record *manifests.Live
	tuned  *lease.Tuned
	err    error // why it does not open
	asked  int64 // Unix seconds
}

// gap is what is between a segment and the one before it.
type gap int

const (
	whole  gap = iota
	broken     // segments are missing
	cutOut     // segments were left out
)

// stretch is a segment that was opened.
type stretch struct {
	*manifests.Segment
	seq    uint64
	init   *manifests.MediaInit // of what it is
	tuning *tuning
	brk    gap
	final  bool
}

func (s *stretch) lasts() time.Duration { return length(s.Len, s.init.Rate) }

func newReception(keys Tuner, now func() time.Time) *reception {
	return &reception{keys: keys, now: now, came: make(chan struct{}, 1), left: make(chan struct{}, 1), least: leastTarget, calm: time.Now()}
}

// run takes what comes until the set ends or ctx does; each calls offer, when
// there may be something to hear.
func (r *reception) run(ctx context.Context, set Set, offer func()) error {
	for {
		if err := r.room(ctx); err != nil {
			return err
		}
		it, err := set.Next(ctx)
		r.mu.Lock()
		if err == nil {
			err = r.take(it)
		}
		if err != nil {
			r.over = err
		}
		r.mu.Unlock()
		poke(r.came)
		offer()
		if err != nil {
			return err
		}
	}
}

// room waits, where the set is recorded, until there is room for more of it.
func (r *reception) room(ctx context.Context) error {
	for {
		r.mu.Lock()
		full := r.recorded && (r.held >= mostTarget || len(r.queue) >= maxQueue)
		r.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-r.left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take has one item, and fails with io.EOF after the final one. mu is held.
func (r *reception) take(it LiveItem) error {
	switch {
	case it.Record != nil:
		r.id = it.Record.Live
		t := &tuning{record: it.Record}
		r.tune(t)
		if r.tunings = append(r.tunings, t); len(r.tunings) > maxRecords {
			r.tunings[0].close()
			r.tunings = r.tunings[1:]
		}
	case it.Missing > 0:
		r.next += uint64(it.Missing)
		r.missed += int64(it.Missing)
		r.lacks += it.Missing
		r.miss(broken)
	case it.Head != nil:
		if err := r.hear(it.Head, it.Sealed); err != nil {
			r.miss(broken)
			r.missed++
			r.lacks++
			r.next = it.Head.Seq + 1
		}
		if it.Head.Final {
			r.final = true
			return io.EOF
		}
	}
	return nil
}

// miss notes what lies before the next segment.
func (r *reception) miss(g gap) { r.brk = max(r.brk, g) }

// hear opens a segment and puts it behind the others.
func (r *reception) hear(h *manifests.LiveHead, sealed []byte) error {
	var t *tuning
	for _, x := range r.tunings {
		if l := x.record; l.Live == h.Live && l.Gen == h.Gen && l.Cur == h.Cur && l.From <= h.Seq {
			t = x
		}
	}
	if t == nil {
		return fmt.Errorf("segment %d is under no record: %w", h.Seq, lease.ErrRefused)
	}
	if r.deaf = r.ask(t); r.deaf != nil {
		return r.deaf
	}
	s, err := t.tuned.Open(h, sealed)
	if err != nil {
		return err
	}
	if s.Init != nil {
		r.init = s.Init
	}
	if r.init == nil {
		return errors.New("it is not known how its media begins")
	}
	if r.init.Rate > resample.MaxRate || s.Len > longestSegment*int64(r.init.Rate) {
		return fmt.Errorf("segment %d has %d ticks of %d a second: %w", h.Seq, s.Len, r.init.Rate, lease.ErrRefused)
	}
	if h.Seq != r.next {
		r.miss(cutOut)
		if !r.heard { // what was before only told how it begins
			clear(r.queue)
			r.queue, r.held = r.queue[:0], 0
		}
	}
	if s.Text != "" {
		r.text = s.Text
	}
	s.Text = r.text
	r.push(stretch{Segment: s, seq: h.Seq, init: r.init, tuning: t, brk: r.brk, final: h.Final})
	return nil
}

// push puts a stretch behind the others. mu is held.
func (r *reception) push(x stretch) {
	r.next, r.brk, r.lacks, r.lasted = x.seq+1, whole, 0, x.lasts()
	if x.Len > 0 {
		r.least = bound(2*x.lasts(), leastTarget, mostTarget)
	}
	r.target = max(r.target, r.least)
	r.queue = append(r.queue, x)
	r.held += x.lasts()
	if r.held > mostTarget+excess || len(r.queue) > maxQueue {
		r.trim(r.target)
	}
}

func bound(d, least, most time.Duration) time.Duration { return max(least, min(d, most)) }

// trim leaves out what is older than it need be for so much to be left.
func (r *reception) trim(leave time.Duration) {
	if r.recorded {
		return
	}
	from, held := 0, r.held
	for i := range r.queue {
		if i > 0 && r.queue[i].Open && held >= leave {
			from = i
		}
		held -= r.queue[i].lasts()
	}
	if len(r.queue) > maxQueue {
		from = max(from, 1)
	}
	for range from {
		r.held -= r.queue[0].lasts()
		r.queue = r.queue[1:]
		r.queue[0].brk = cutOut
	}
}

// tune opens a record. mu is held.
func (r *reception) tune(t *tuning) {
	t.close()
	t.asked = r.now().Unix()
	t.tuned, t.err = r.keys.Tune(t.record)
}

// ask tells why a record may not be heard now; it asks the lease anew where
// that may be otherwise. mu is held.
func (r *reception) ask(t *tuning) error {
	now := r.now().Unix()
	if t.err != nil && now != t.asked || t.err == nil && (now >= t.tuned.Until || now >= t.tuned.Period || now-t.asked >= int64(askAgain/time.Second)) {
		r.tune(t)
	}
	return t.err
}

func (t *tuning) close() {
	if t.tuned != nil {
		t.tuned.Close()
	}
}

// may tells why a stretch may not be heard any more.
func (r *reception) may(x *stretch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ask(x.tuning)
}

// ready tells whether there is enough to begin. mu is held.
func (r *reception) ready() bool {
	return len(r.queue) > 0 && (r.held >= r.target || r.over != nil || r.deaf != nil)
}

// begin lets a deck hear from here on, if there is enough; it leaves out what
// is older than it need be.
func (r *reception) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard || !r.ready() || r.held == 0 {
		return false
	}
	if !(r.queue[0].seq == 0 && r.queue[0].brk == whole) {
		for len(r.queue) > 1 && !r.queue[0].Open {
			r.held -= r.queue[0].lasts()
			r.queue = r.queue[1:]
		}
		r.queue[0].brk = cutOut
		r.trim(r.target)
	}
	r.heard = true
	return true
}

// leave says that no deck hears it any more.
func (r *reception) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = false
	if len(r.queue) > 0 {
		r.queue[0].brk = cutOut
	} else {
		r.brk = cutOut
	}
}

// pull is the next stretch. Where there is none it says why no more comes, or
// that it is still to come. After a dry ring there is none before there is
// enough.
func (r *reception) pull(enough bool) (x stretch, ok bool, over error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if enough && r.over == nil && r.deaf == nil && !r.ready() {
		return x, false, nil
	}
	if len(r.queue) == 0 {
		if r.deaf != nil {
			return x, false, r.deaf
		}
		return x, false, r.over
	}
	if enough {
		r.trim(r.target)
	}
	x = r.queue[0]
	r.queue[0] = stretch{}
	r.queue = r.queue[1:]
	r.held -= x.lasts()
	poke(r.left)
	if r.target > r.least && time.Since(r.calm) > calmFor {
		r.target, r.calm = max(r.least, r.target*9/10), time.Now()
	}
	return x, true, nil
}

// lacking is how long what is known to be missing next may last.
func (r *reception) lacking() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.brk != broken || len(r.queue) > 0 {
		return 0
	}
	return time.Duration(min(r.lacks, maxQueue)) * r.lasted
}

// dried says that the ring has: more is waited for from now on.
func (r *reception) dried() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target, r.calm = bound(r.target*3/2, r.least, mostTarget), time.Now()
}

// resume leaves out what a pause has made older than it need be, where so much
// is decoded already.
func (r *reception) resume(ahead time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(max(0, r.target-ahead))
}

// close forgets the keys.
func (r *reception) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tunings {
		t.close()
	}
}

// set is which it is.
func (r *reception) set() manifests.LiveID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// ended tells whether the set's last segment has come.
func (r *reception) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.final
}

// first is what is on where a deck begins.
func (r *reception) first() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return ""
	}
	return r.queue[0].Text
}

// waits tells whether there is something that no deck has heard.
func (r *reception) waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held > 0
}

// silenced is why the newest segment may not be heard, where nothing else can
// be.
func (r *reception) silenced() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard || r.held > 0 {
		return nil
	}
	return r.deaf
}

// stands is what waits to be heard, what is waited for, and what was missed.
func (r *reception) stands() (held, target time.Duration, missed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held, r.target, r.missed
}
