package daemon

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/memory"
)

// searched is an island that counts how often all that is held is gone through.
type searched struct {
	island
	times atomic.Int64
}

func (s *searched) Each(ctx context.Context, f func(cid.Cid, int64) error) error {
	s.times.Add(1)
	return s.island.Each(ctx, f)
}

// While nothing comes or goes, what is held is gone through once an hour; what
// comes and is kept by nothing goes all the same.
func TestACalmBoxLooksThroughNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := memory.NewWorld().Node("box")
		on := &searched{island: island{at}}
		b := settleOn(t, on, at.ID(), "box", time.Now())
		defer b.stop()
		looks := func(during time.Duration) int64 {
			was := on.times.Load()
			<-time.After(during)
			synctest.Wait()
			return on.times.Load() - was
		}
		looks(90 * time.Second)
		if n := looks(50 * time.Minute); n != 0 {
			t.Errorf("gone through %d times within 50 minutes in which nothing came", n)
		}
		if n := looks(lookAnyway); n != 1 {
			t.Errorf("gone through %d times within an hour, want 1", n)
		}
		stray := node.NewBlock(cid.Raw, []byte("nobody's"))
		if err := at.Put(t.Context(), stray); err != nil {
			t.Fatal(err)
		}
		if n := looks(5 * time.Minute); n < 2 {
			t.Errorf("gone through %d times after something came", n)
		}
		if has, err := at.Has(t.Context(), stray.CID); has || err != nil {
			t.Errorf("what nothing keeps is here after 5 minutes: %v, %v", has, err)
		}
		looks(2 * time.Minute)
		if n := looks(50 * time.Minute); n != 0 {
			t.Errorf("gone through %d times once it was gone", n)
		}
	})
}
