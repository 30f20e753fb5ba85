package node

import (
	"sync"
	"time"
)

// Budgets bounds what each peer may ask for, in a unit of the caller's: Burst
// at once, and Rate a second after that. The fields are set before the first
// Spend and not changed after it. Safe for concurrent use.
type Budgets struct {
	Burst, Rate float64
	// Peers is how many peers are remembered; who is forgotten begins anew.
	Peers int
	// Now is the clock.
	Now func() time.Time

	mu   sync.Mutex // guards left
	left map[string]budget
}

// budget is what a peer had left, as of a time.
type budget struct {
	left float64
	at   time.Time
}

// Spend takes n from a peer's budget, or tells that there is not enough, and
// takes nothing.
func (b *Budgets) Spend(peer string, n float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now()
	has, ok := b.left[peer]
	if !ok {
		for p := range b.left { // any
			if len(b.left) < b.Peers {
				break
			}
			delete(b.left, p)
		}
		if b.left == nil {
			b.left = map[string]budget{}
		}
		has = budget{b.Burst, now}
	}
	has.left = min(b.Burst, has.left+max(0, now.Sub(has.at).Seconds())*b.Rate)
	has.at = now
	enough := has.left >= n
	if enough {
		has.left -= n
	}
	b.left[peer] = has
	return enough
}
