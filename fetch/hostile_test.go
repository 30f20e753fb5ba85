package fetch

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestHostileAskers break a rule each, and find the stream reset.
func TestHostileAskers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		giver, s := w.box("giver", func(c *Config) { c.Upload = 10_000 }, b)
		var many []byte
		for i := range maxOrders + 8 {
			many = appendWants(many, frameWant, []order{{uint32(i), node.Later, false, digestOf(b.CID)}})
		}
		for name, bytes := range map[string][]byte{
			"too many wants":   many,
			"an unknown frame": {99, 0, 0, 0},
			"a long frame":     {frameAsk, 255, 255, 255},
			"a giver's frame":  appendNumbers(nil, frameNot, []uint32{1}),
			"a second hello":   appendHello(nil, hello{}),
			"half a digest":    append(appendHead(nil, frameAsk, 20), make([]byte, 20)...),
			"a class":          append(appendHead(nil, frameWant, wantSize), append([]byte{0, 0, 0, 1, 9}, make([]byte, 32)...)...),
		} {
			_, st := w.asker(name, giver)
			st.Write(bytes)
			if _, err := io.Copy(io.Discard, st); err == nil {
				t.Errorf("%s: the stream ended well", name)
			}
		}
		synctest.Wait()
		if d := s.Swarm(); d.Given != 0 {
			t.Fatalf("%+v", d)
		}
	})
}

// TestHostileGivers break a rule each, and are left.
func TestHostileGivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := leaf(1)
		for name, say := range map[string][]byte{
			"a block unasked":  append(appendHead(nil, frameBlock, 6), 0, 0, 9, 9, 1, 2),
			"a long block":     {frameBlock, 255, 255, 255},
			"an asker's frame": appendNumbers(nil, frameCancel, []uint32{1}),
			"odd numbers":      append(appendHead(nil, frameGain, 5), 0, 0, 0, 0, 1),
			"a short held":     append(appendHead(nil, frameHeld, 6), 0, 0, 0, 1, 0, 9),
			"a later of none":  append(appendHead(nil, frameLater, 9), 0, 0, 0, 1, 0, 0, 0, 1, 3),
		} {
			w := newStage(t)
			n, s := w.box("box", nil)
			x := w.stranger("x", func(st node.Stream, o order) { st.Write(say) })
			w.Link(n, x.Node)
			done := make(chan error, 1)
			s.Ask(t.Context(), b.CID, node.Want{Class: node.Next}, func(_ []byte, err error) { done <- err })
			<-time.After(time.Second)
			if d := s.Swarm(); d.Asked != 0 {
				t.Errorf("%s: still asked: %+v", name, d)
			}
			good, _ := w.box("good", nil, b)
			w.Link(n, good)
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestEndlessPromises has a peer put a block off for ever: others are waited
// for, and it is not asked without end.
func TestEndlessPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		n, s := w.box("box", nil)
		x := w.stranger("x", func(st node.Stream, o order) { st.Write(appendLater(nil, o.number, 0, nil)) })
		w.Link(n, x.Node)
		ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
		defer cancel()
		if _, err := s.Get(ctx, b.CID, node.Want{Class: node.Later}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if n := len(x.wants()); n < maxPutOff || n > maxPutOff+2 {
			t.Fatalf("asked %d times", n)
		}
	})
}

// wrong is a source that has other bytes than it is asked for.
type wrong struct{}

func (wrong) Get(context.Context, cid.Cid, node.Want) ([]byte, error) { return []byte("other"), nil }

// TestOnlyALiarHasIt has one wait, in peace, for what nobody gives, and told
// of the liar in the end: also for a block that the liar was not asked for.
func TestOnlyALiarHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		looked := 0
		_, s := w.box("box", func(c *Config) {
			c.Sources = []Source{{Name: "mirror", Getter: wrong{}}}
			c.Now = func() time.Time {
				if looked++; looked > 100_000 {
					panic("it never rests")
				}
				return time.Now()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for n := range 2 {
			_, err := s.Get(ctx, leaf(n).CID, node.Want{Class: node.Later})
			if !errors.Is(err, node.ErrVerify) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "mirror") {
				t.Errorf("block %d: %v", n, err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
		}
		if !s.Counts()["mirror"].Dropped || s.Counts()["mirror"].Failed != 1 {
			t.Errorf("%+v", s.Counts()["mirror"])
		}
	})
}
