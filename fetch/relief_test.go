package fetch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// said are the kinds of x's frames that have come, but greetings and asks.
func (x *stranger) said() (out []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, h := range x.heard {
		if h.kind != frameHello && h.kind != frameAsk {
			out = append(out, h.kind)
		}
	}
	return out
}

// TestALateBlockComesOnce: of one who is late and another who is asked as well for
// what nobody waits for, who begins gives it, and the other is asked no more.
func TestALateBlockComesOnce(t *testing.T) {
	for _, c := range []struct {
		name           string
		late, fresh    time.Duration // after which each begins; 0 for never
		lateHas, other []byte        // what each is told
	}{
		{"the late one begins", 700 * time.Millisecond, 0, []byte{frameWant, frameGot}, []byte{frameWant, frameCancel}},
		{"the other one begins", 0, 20 * time.Millisecond, []byte{frameWant, frameCancel}, []byte{frameWant, frameGot}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				b := leaf(1)
				n, s := w.box("box", nil)
				begins := func(after time.Duration) func(node.Stream, order) {
					return func(st node.Stream, o order) {
						if after == 0 {
							return
						}
						go func() {
							<-time.After(after)
							half := len(b.Data) / 2
							st.Write(append(partFrame(o.number, 0, len(b.Data), half), b.Data[:half]...))
							<-time.After(100 * time.Millisecond)
							st.Write(append(partFrame(o.number, half, len(b.Data), len(b.Data)-half), b.Data[half:]...))
						}()
					}
				}
				late, fresh := w.stranger("late", begins(c.late)), w.stranger("fresh", begins(c.fresh))
				w.Link(n, late.Node)
				done := make(chan error, 1)
				s.Ask(t.Context(), b.CID, node.Want{Class: node.Later}, func(_ []byte, err error) { done <- err })
				<-time.After(600 * time.Millisecond)
				w.Link(n, fresh.Node)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				if d := s.Swarm(); d.Duplicate != 0 || d.Rescued != 1 {
					t.Errorf("%+v", d)
				}
				if l, f := late.said(), fresh.said(); !slices.Equal(l, c.lateHas) || !slices.Equal(f, c.other) {
					t.Errorf("the late one heard %v, the other %v", l, f)
				}
			})
		})
	}
}
