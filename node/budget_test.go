package node

import (
	"fmt"
	"testing"
	"time"
)

func TestBudgets(t *testing.T) {
	now := time.Unix(1000, 0)
	b := &Budgets{Burst: 4, Rate: 2, Peers: 3, Now: func() time.Time { return now }}
	spend := func(peer string, n float64, want bool) {
		t.Helper()
		if got := b.Spend(peer, n); got != want {
			t.Errorf("%s spends %v: %v", peer, n, got)
		}
	}
	spend("a", 5, false) // and nothing is taken
	spend("a", 4, true)
	spend("a", 1, false)
	spend("b", 4, true) // each has its own
	now = now.Add(time.Second)
	spend("a", 2, true)
	spend("a", 1, false)
	now = now.Add(-time.Hour) // a clock that is set back gives nothing
	spend("a", 1, false)
	now = now.Add(24 * time.Hour)
	spend("a", 4, true)
	spend("a", 1, false) // no more than a burst is saved
	for i := range 100 {
		spend(fmt.Sprint(i), 1, true)
		if len(b.left) > 3 {
			t.Fatalf("%d peers are remembered", len(b.left))
		}
	}
}
