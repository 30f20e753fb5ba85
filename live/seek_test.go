package live_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"playnode/live"
	"playnode/node"
)

// Who has asked as many as it may, none of whom has room, leaves one of them for
// each that is said to have some and can be asked, and none before.
func TestWhoHasNoRoomIsLeftForWhoHas(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj, gone := s.box("dj", nil), s.Node("gone")
		defer gone.Close()
		refer := func(x *box, addr string) []byte {
			return frame(18, cat([]byte{1, byte(len(x.ID()))}, []byte(x.ID()), []byte{0}, u16(9), []byte{1, byte(len(addr))}, []byte(addr)))
		}
		full := frame(17, cat([]byte{0, 0}, u16(0), u64(0), u64(0), []byte{2}, make([]byte, 7), []byte{1}, make([]byte, 7), []byte{2}, []byte{0}))
		known := make(chan struct{})
		var dials atomic.Int32
		late := s.box("late", func(c *live.Config) {
			c.Meet = func(ctx context.Context, addr, _ string) error {
				if dials.Add(1); addr == gone.Addrs()[0] {
					return errors.New("nobody is there")
				}
				return s.all[1].Connect(ctx, addr)
			}
		})
		var all []*stranger
		for i := range 8 {
			x := s.stranger(fmt.Sprint("x", i), func(st node.Stream) {
				st.Write(cat(full, refer(&box{Node: gone}, gone.Addrs()[0])))
				<-known
				st.Write(refer(dj, dj.Addrs()[0]))
			})
			s.Link(x.Node, late.Node)
			all = append(all, x)
		}
		asked := func() (n int) {
			for _, x := range all {
				n += x.times()
			}
			return n
		}
		air := dj.air(s)
		s.plays(air, 3, false)
		late.hear(s)
		<-time.After(time.Second)
		if n := asked(); n != 8 || dials.Load() != 1 {
			t.Errorf("eight who have no room were asked %d times, and who is not there %d times", n, dials.Load())
		}
		close(known)
		<-time.After(time.Second)
		if n := asked(); n != 8 || late.feed.Stats().Parent != dj.ID() {
			t.Errorf("eight who have no room were asked %d times: %+v", n, late.feed.Stats())
		}
	})
}
