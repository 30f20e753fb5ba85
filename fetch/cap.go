package fetch

import (
	"sync"
	"time"

	"playnode/node"
)

const (
	// capBurst is how much of a capped line's time may be spent at once, and
	// capPiece the most bytes, so that no ten seconds have over 102 % of them.
	capBurst = 200 * time.Millisecond
	capPiece = 16 << 10
	// freePiece is the most bytes at once where there is no cap: fewer and larger
	// writes, of which still one a minute goes through on a poor line.
	freePiece = 256 << 10
	// capLeast is the lowest bound, in bytes a second.
	capLeast = 1 << 10
)

// bucket bounds bytes a second. Who waits is let through by class, and in turn
// within one. A nil bucket bounds nothing. Safe for concurrent use.
type bucket struct {
	rate  float64 // bytes a second
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
	down  <-chan struct{}

	mu      sync.Mutex // guards what follows
	left    float64
	at      time.Time
	waiting [node.Later + 1][]*turn
	driven  bool // a goroutine lets those who wait through
}

// turn is one who waits for n bytes.
type turn struct {
	n    float64
	come chan struct{} // closed when it has
}

// newBucket makes one of rate bytes a second; nil when there is no bound.
func newBucket(rate int64, cfg Config, down <-chan struct{}) *bucket {
	if rate <= 0 {
		return nil
	}
	return &bucket{rate: float64(max(rate, capLeast)), now: cfg.Now, after: cfg.After, down: down, at: cfg.Now()}
}

// piece is how many bytes may be asked for at once.
func (b *bucket) piece() int {
	if b == nil {
		return freePiece
	}
	return min(capPiece, int(b.rate*capBurst.Seconds()))
}

// debit takes n bytes that have gone already: all others wait for them, up to
// a second's worth.
func (b *bucket) debit(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spend(0)
	b.left = max(b.left-float64(n), -b.rate)
}

// takeAll waits for n bytes, however many.
func (b *bucket) takeAll(class node.Class, n int) bool {
	for n > 0 && b != nil {
		k := min(n, b.piece())
		if !b.take(class, k) {
			return false
		}
		n -= k
	}
	return true
}

// take waits for n bytes, at most a piece; false says that all has ended.
func (b *bucket) take(class node.Class, n int) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	if !b.driven && b.spend(float64(n)) {
		b.mu.Unlock()
		return true
	}
	t := &turn{float64(n), make(chan struct{})}
	b.waiting[class] = append(b.waiting[class], t)
	if !b.driven {
		b.driven = true
		go b.drive()
	}
	b.mu.Unlock()
	select {
	case <-t.come:
		return true
	case <-b.down:
		return false
	}
}

// spend takes n bytes if they are there. b.mu is held.
func (b *bucket) spend(n float64) bool {
	now := b.now()
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.left = min(b.left+d*b.rate, b.rate*capBurst.Seconds())
	}
	b.at = now
	if b.left < n {
		return false
	}
	b.left -= n
	return true
}

// drive lets those who wait through until none does.
func (b *bucket) drive() {
	for {
		b.mu.Lock()
		var wait time.Duration
		for wait == 0 {
			q := b.next()
			if q == nil {
				b.driven = false
				b.mu.Unlock()
				return
			}
			if t := (*q)[0]; b.spend(t.n) {
				close(t.come)
				*q = (*q)[1:]
			} else {
				wait = time.Duration((t.n-b.left)/b.rate*float64(time.Second)) + time.Microsecond
			}
		}
		b.mu.Unlock()
		select {
		case <-b.after(wait):
		case <-b.down:
			return
		}
	}
}

// next is the most urgent queue that is not empty. b.mu is held.
func (b *bucket) next() *[]*turn {
	for i := range b.waiting {
		if len(b.waiting[i]) > 0 {
			return &b.waiting[i]
		}
	}
	return nil
}
