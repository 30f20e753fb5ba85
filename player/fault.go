package player

import (
	"slices"
	"time"
)

// maxFaults bounds what is remembered of what went wrong.
const maxFaults = 32

// Fault is something that went wrong while playing, for people.
type Fault struct {
	// Kind is "track", "sink", "lease" or one of Player.Fault's.
	Kind string
	// Track is the CID of a track; "" for the rest.
	Track   string
	Message string
	// Since is when it first happened, Last when it did for the Times'th
	// time.
	Since, Last time.Time
	Times       int
	// Mended is when it was over; zero while nobody knows that it is.
	Mended time.Time
}

// Faults are the last ones, the newest first.
func (p *Player) Faults() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.faults)
	slices.Reverse(out)
	return out
}

// Fault remembers one that was met around the sound, such as a disk that is
// full.
func (p *Player) Fault(kind string, err error) { p.fault(kind, "", err) }

// Mend says that those of a kind are over.
func (p *Player) Mend(kind string) { p.mend(kind, "") }

// fault remembers one. The same again is counted.
func (p *Player) fault(kind, track string, err error) {
	now := p.cfg.Now()
	f := Fault{Kind: kind, Track: track, Message: err.Error(), Since: now, Last: now, Times: 1}
	p.cfg.Log.Warn("fault", "kind", kind, "cid", track, "err", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.faults, func(o Fault) bool {
		return o.Kind == kind && o.Track == track && o.Message == f.Message && o.Mended.IsZero()
	}); i >= 0 {
		f.Since, f.Times = p.faults[i].Since, p.faults[i].Times+1
		p.faults = slices.Delete(p.faults, i, i+1)
	}
	if p.faults = append(p.faults, f); len(p.faults) > maxFaults {
		p.faults = slices.Delete(p.faults, 0, 1)
	}
}

// mend says that all faults of a kind, or of one track, are over.
func (p *Player) mend(kind, track string) {
	now := p.cfg.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.faults {
		if f := &p.faults[i]; f.Kind == kind && f.Track == track && f.Mended.IsZero() {
			f.Mended = now
		}
	}
}
