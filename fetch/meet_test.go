package fetch

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestWhoHasCompanyDialsNobody has a source put a block off and name somebody: one
// who exchanges with many that have it dials nobody, and who has few does, or many
// that turn out to be of no use; and asks the source again when it was told to.
func TestWhoHasCompanyDialsNobody(t *testing.T) {
	for _, c := range []struct {
		name   string
		others int
		hold   bool
		silent bool
		dialed bool
	}{
		{"few", company - 2, true, false, true},
		{"many", company, true, false, false},
		{"many who have nothing", company, false, false, true},
		{"many who say nothing", company, false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				b := leaf(1)
				n, s := w.box("box", nil)
				named := w.stranger("named", quick(b))
				source := w.stranger("source", func(st node.Stream, o order) {
					st.Write(appendLater(nil, o.number, 1000, []referral{{peer: named.ID(), addrs: named.Addrs()}}))
				})
				w.Link(n, source.Node)
				for i := range c.others {
					x := w.Node(fmt.Sprint("other", i))
					t.Cleanup(func() { x.Close() })
					x.Handle(BlocksProtocol, func(_ string, st node.Stream) {
						for {
							kind, body, err := frame(st)
							if err != nil {
								return
							}
							if base, digests, _ := parseAsk(body); kind == frameAsk && !c.silent {
								st.Write(appendHeld(nil, base, slices.Repeat([]bool{c.hold}, len(digests))))
							}
						}
					})
					w.Link(n, x)
				}
				s.Ask(t.Context(), b.CID, node.Want{Class: node.Soon}, func([]byte, error) {})
				<-time.After(900 * time.Millisecond)
				if n := len(source.wants()); c.others >= company && n > 1 {
					t.Errorf("who is not alone has asked the source %d times before it was to", n)
				}
				<-time.After(time.Minute)
				if dialed := slices.Contains(n.Connected(), named.ID()); dialed != c.dialed {
					t.Errorf("the one that was named is dialled: %t", dialed)
				}
			})
		})
	}
}
