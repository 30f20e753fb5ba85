package player

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"testing"
	"time"

	"playnode/internal/audio/audiotest"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/publisher"
)

// tape is a set as it went out.
type tape struct {
	items []taped
	sound []float64 // left
	began time.Time // by the DJ's clock
}

// taped is an item, and how long after the set's beginning it went out.
type taped struct {
	LiveItem
	at time.Duration
}

// recorder is a publisher.Carrier that makes a tape.
type recorder struct {
	w *world
	*tape
}

func (r recorder) add(it LiveItem) {
	r.tape.items = append(r.tape.items, taped{it, r.w.clock().Sub(r.tape.began)})
}

func (r recorder) Record(_ context.Context, s manifests.Signed) error {
	l, err := manifests.DecodeLive(s.Payload.Data)
	r.add(LiveItem{Record: l})
	return err
}

func (r recorder) Segment(_ context.Context, s manifests.Signed, b manifests.Block) error {
	h, err := manifests.DecodeLiveHead(s.Payload.Data)
	r.add(LiveItem{Head: h, Sealed: b.Data})
	return err
}

// sourced is a source that takes its time.
type sourced struct {
	w    *world
	src  publisher.Source
	n    int
	rate int
	each func(n int)
}

func (s *sourced) Next(ctx context.Context) (publisher.Cut, error) {
	c, err := s.src.Next(ctx)
	if err != nil {
		return c, err
	}
	if c.Init != nil {
		s.rate = c.Init.Rate
	}
	s.w.pass(length(c.Len, s.rate))
	if s.each != nil {
		s.each(s.n)
	}
	c.Text = []string{"one", "", "", "four", "", "", "", "", ""}[min(s.n, 8)]
	s.n++
	return c, nil
}

// air plays so many seconds of music as a set of a playlist; each is called with each segment.
func (w *world) air(label string, seconds float64, each func(n int)) *tape {
	w.t.Helper()
	sound := audiotest.Music(44100, 2, int(44100*seconds), 21)
	b, err := os.ReadFile(encoded(w.t, w.t.TempDir(), "set.flac", 44100, 2, sound))
	if err != nil {
		w.t.Fatal(err)
	}
	tp := &tape{began: w.clock()}
	for b := bytes16(sound); len(b) > 0; b = b[4:] {
		tp.sound = append(tp.sound, float64(int16(binary.LittleEndian.Uint16(b)))/32768)
	}
	feed := publisher.NewFeed(publisher.FeedConfig{Streams: publisher.One(io.NopCloser(bytes.NewReader(b)))})
	if _, err := w.dj.OnAir(w.t.Context(), &sourced{w: w, src: feed, each: each}, publisher.SetOptions{Playlist: label, Carrier: recorder{w, tp}}); err != nil {
		w.t.Fatal(err)
	}
	return tp
}

// station plays a tape again, in a bubble, as a path brings it; and at once to who asks after its end.
type station struct {
	w     *world
	tape  *tape
	on    time.Duration // after the bubble's beginning
	delay func(i int) time.Duration
	lost  map[uint64]bool // segments that do not come within 300 ms
	// recorded has it brought as it is asked for.
	recorded bool
	asked    int // items
	from     int // who comes in is given the first segment, and then from this one on
}

// broadcast has the box's clock be the DJ's, in a bubble that has just begun.
func (w *world) broadcast(tp *tape, on time.Duration) *station {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.began = tp.began.Add(-on), time.Now()
	return &station{w: w, tape: tp, on: on, lost: map[uint64]bool{}}
}

func (s *station) OnAir(ctx context.Context, name ipns.Name, _ manifests.SelID) (Set, error) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(s.w.began.Add(s.on))):
	}
	return &playing{station: s}, ctx.Err()
}

type playing struct {
	*station
	i int
}

func (p *playing) Next(ctx context.Context) (LiveItem, error) {
	if p.i == len(p.tape.items) {
		return LiveItem{}, io.EOF
	}
	it := p.tape.items[p.i]
	due := p.w.began.Add(p.on + it.at + 20*time.Millisecond)
	if p.delay != nil {
		due = due.Add(p.delay(p.i))
	}
	if it.Head != nil && p.lost[it.Head.Seq] {
		due = due.Add(300 * time.Millisecond)
		it.LiveItem = LiveItem{Missing: 1}
	}
	if p.recorded {
		due, p.asked = time.Now(), p.i+1
	}
	if p.i++; p.i == 2 && p.from > 2 {
		p.i = p.from
	}
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-t.C:
		return it.LiveItem, nil
	case <-ctx.Done():
		p.i--
		return LiveItem{}, ctx.Err()
	}
}

func (p *playing) Close() error   { return nil }
func (p *playing) Recorded() bool { return p.recorded }

// tuned starts a playback that hears a station.
func tuned(t *testing.T, w *world, s *station, req Request) *running {
	p := w.player()
	p.cfg.Sets = s
	return begin(t, p, req, func(*Player) {})
}

// revoke ends all that was granted.
func (w *world) revoke() {
	all, err := w.dj.Leases()
	var ids []manifests.LeaseID
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	if err == nil {
		_, err = w.dj.Revoke(context.Background(), ids)
	}
	if err != nil {
		w.t.Error(err)
	}
}
