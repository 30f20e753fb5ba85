package player

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"playnode/internal/audio"
	"playnode/manifests"
)

// slowed is a steady decoder each of whose blocks takes so long, but the first.
type slowed struct {
	steady
	each  time.Duration
	begun bool
}

func (s *slowed) Read(dst []float32) (int, error) {
	if s.begun {
		<-time.After(s.each)
	}
	s.begun = true
	return s.steady.Read(dst)
}

// TestADeckBeginsAheadOfItself: what begins has more than its first block decoded,
// unless that takes longer than anybody waits.
func TestADeckBeginsAheadOfItself(t *testing.T) {
	for _, c := range []struct {
		each, took time.Duration
		blocks     int
	}{{2 * time.Millisecond, 6 * time.Millisecond, headStart}, {time.Second, headWait, 0}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			d := startDeck(ctx, cancel, item{entry: &manifests.Entry{}}, &manifests.Info{}, &slowed{steady: steady{audio.Format{Rate: 44100, Channels: 2}, 400_000}, each: c.each}, 0)
			defer d.close()
			<-d.full
			began := time.Now()
			d.lead(ctx)
			if took := time.Since(began); took != c.took || len(d.full) != c.blocks {
				t.Errorf("a block takes %v: %d more after %v", c.each, len(d.full), took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := startDeck(ctx, cancel, item{entry: &manifests.Entry{}}, &manifests.Info{}, &steady{audio.Format{Rate: 44100, Channels: 2}, 100}, 0)
		defer d.close()
		<-d.full
		began := time.Now()
		if d.lead(ctx); time.Since(began) != 0 {
			t.Errorf("a track of one block: %v", time.Since(began))
		}
	})
}
