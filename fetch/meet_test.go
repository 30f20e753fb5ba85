package fetch

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestWhoHasCompanyDialsNobody has a source put blocks off and name somebody: one
// who exchanges with many that have them dials nobody, and who has few does, or many
// that turn out to be of no use; and asks the source again when it was told to.
func TestWhoHasCompanyDialsNobody(t *testing.T) {
	for _, c := range []struct {
		name   string
		others int
		wants  int
		hold   bool
		give   bool
		silent bool
		dialed bool
	}{
		{"few", company - 2, 48, true, true, false, true},
		{"many", company, 48, true, true, false, false},
		{"many who give nothing", company, 48, true, false, false, true},
		{"many who have nothing", company, 1, false, false, false, true},
		{"many who say nothing", company, 1, false, false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				blocks := make([]node.Block, c.wants)
				for i := range blocks {
					blocks[i] = leaf(i)
				}
				n, s := w.box("box", nil)
				named := w.stranger("named", quick(blocks...))
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
							if orders, _ := parseWants(body); kind == frameWant && c.give {
								for _, o := range orders {
									<-time.After(300 * time.Millisecond)
									quick(blocks...)(st, o)
								}
							}
						}
					})
					w.Link(n, x)
				}
				for _, b := range blocks {
					s.Ask(t.Context(), b.CID, node.Want{Class: node.Soon}, func([]byte, error) {})
				}
				<-time.After(900 * time.Millisecond)
				n1 := len(source.wants())
				if c.wants == 1 && n1 > 1 {
					t.Errorf("who is not alone has asked the source %d times before it was to", n1)
				}
				if n1 == 0 {
					t.Error("the source was not asked")
				}
				<-time.After(7 * time.Second) // those who are silent are left after ten
				if dialed := slices.Contains(n.Connected(), named.ID()); dialed != c.dialed {
					t.Errorf("the one that was named is dialled: %t", dialed)
				}
			})
		})
	}
}
