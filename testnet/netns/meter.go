package netns

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Meter notes what all boxes' lines have sent, once a second. Its methods are
// safe for concurrent use.
type Meter struct {
	world *World

	mu       sync.Mutex // guards readings
	readings []reading  // the oldest first
}

// reading is what all boxes' lines had sent at a time.
type reading struct {
	at   time.Time
	sent []int64
}

// NewMeter makes one that has noted nothing; w is not closed while it runs.
func NewMeter(w *World) *Meter { return &Meter{world: w} }

// Run notes until ctx ends, whose error it returns.
func (m *Meter) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		x := reading{at: time.Now()}
		for _, b := range m.world.Boxes {
			c, err := b.Counters()
			if err != nil {
				return err
			}
			x.sent = append(x.sent, c.Sent)
		}
		m.mu.Lock()
		m.readings = append(m.readings, x)
		m.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// between are the readings from one time to another.
func (m *Meter) between(from, to time.Time) []reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	on := slices.Clone(m.readings)
	return slices.DeleteFunc(on, func(x reading) bool { return x.at.Before(from) || x.at.After(to) })
}

// Mean is what a box's line sent from one time to another, in bits a second,
// headers included.
func (m *Meter) Mean(box int, from, to time.Time) int64 { return rate(m.between(from, to), box) }

// Most is what it sent in its fullest span of so long, between two times.
func (m *Meter) Most(box int, over time.Duration, from, to time.Time) (most int64) {
	on := m.between(from, to)
	begin := 0
	for end := range on {
		for on[end].at.Sub(on[begin+min(1, end-begin)].at) >= over {
			begin++
		}
		if on[end].at.Sub(on[begin].at) >= over {
			most = max(most, rate(on[begin:end+1], box))
		}
	}
	return most
}

// rate is what a box's line sent over some readings.
func rate(on []reading, box int) int64 {
	if len(on) < 2 {
		return 0
	}
	a, b := on[0], on[len(on)-1]
	return int64(8 * float64(b.sent[box]-a.sent[box]) / b.at.Sub(a.at).Seconds())
}
