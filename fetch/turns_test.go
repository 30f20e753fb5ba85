package fetch

import (
	"testing"
	"time"

	"playnode/node"
)

// TestASlowLineCarriesFewBlocks has eight ask over a line that takes ten
// seconds a block: it learns that, and carries no more at a time for it.
func TestASlowLineCarriesFewBlocks(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGiver(Config{Now: func() time.Time { return now }}, nil, nil)
	type given struct {
		c      *client
		number uint32
	}
	var clients []*client
	for range 8 {
		c := &client{kick: make(chan struct{}, 1), hasty: make(chan struct{}, 1), since: now, wrote: now}
		for k := range uint32(8) {
			c.orders = append(c.orders, order{number: k, class: node.Later})
		}
		clients = append(clients, c)
	}
	var line []given
	most := 0
	for second := range 300 {
		now = now.Add(time.Second)
		for _, c := range clients {
			g.mu.Lock()
			g.overdue(c, now)
			g.mu.Unlock()
			if _, o, any := g.compose(c, nil); any {
				line = append(line, given{c, o.number})
			}
		}
		if second >= 100 { // it is known by then
			most = max(most, len(line))
		}
		if second%10 == 9 {
			g.mu.Lock()
			g.arrived(line[0].c, []uint32{line[0].number}, now)
			g.mu.Unlock()
			line = line[1:]
		}
	}
	if most > 2*slowTurns {
		t.Errorf("%d blocks were under way at once", most)
	}
	for i, c := range clients {
		if len(c.orders) > 8-3 {
			t.Errorf("asker %d was given %d blocks", i, 8-len(c.orders))
		}
	}
}
