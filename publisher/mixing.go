package publisher

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
)

// rowMix is how a playlist is mixed, by its label.
const rowMix = "mix/"

// MixTerms is how a playlist's tracks are to follow each other; what is nil
// stays as it is.
type MixTerms struct {
	Playlist string
	// Fade is how long a track is laid over the one before, to the
	// millisecond, up to 30 s; 0 for not at all.
	Fade *time.Duration
	// Album levels an album as one.
	Album *bool
}

// CueTerms is what is heard of a track where it is crossfaded; what is nil
// stays as it is.
type CueTerms struct {
	Playlist string
	Track    cid.Cid
	In, Out  *time.Duration
	// Clear forgets what was said before.
	Clear bool
}

type mixRow struct {
	Fade  int
	Album bool     `json:",omitempty"`
	Cues  []cueRow `json:",omitempty"`
}

type cueRow struct {
	Track   cid.Cid
	In, Out *int64 `json:",omitempty"`
}

func mixRowOf(x manifests.Mixing) mixRow {
	r := mixRow{Fade: x.Fade, Album: x.Album}
	for t, q := range x.Cues {
		r.Cues = append(r.Cues, cueRow{t, q.In, q.Out})
	}
	return r
}

// mixing is how a playlist is mixed.
func (p *Publisher) mixing(label string) (manifests.Mixing, error) {
	var r mixRow
	if _, err := load(p.cfg.Store, rowMix+label, &r); err != nil {
		return manifests.Mixing{}, err
	}
	x := manifests.Mixing{Fade: r.Fade, Album: r.Album, Cues: make(map[cid.Cid]manifests.Cue, len(r.Cues))}
	for _, c := range r.Cues {
		x.Cues[c.Track] = manifests.Cue{In: c.In, Out: c.Out}
	}
	return x, nil
}

// unmixed is how a playlist is mixed without some of its tracks; puts is given
// its row. It is nil where that says the same.
func (p *Publisher) unmixed(label string, gone []cid.Cid, puts map[string][]byte) (*manifests.Mixing, error) {
	x, err := p.mixing(label)
	if err != nil {
		return nil, err
	}
	n := len(x.Cues)
	for _, c := range gone {
		delete(x.Cues, c)
	}
	if len(x.Cues) == n {
		return nil, nil
	}
	puts[rowMix+label] = marshal(mixRowOf(x))
	return &x, nil
}

// SetMixing says how a playlist is mixed and publishes that, sealed. It is
// durable when it returns.
func (p *Publisher) SetMixing(ctx context.Context, t MixTerms) (Playlist, error) {
	return p.remix(ctx, t.Playlist, func(_ Playlist, x *manifests.Mixing) error {
		if t.Fade != nil {
			ms := t.Fade.Milliseconds()
			if ms < 0 || ms > manifests.MaxFade {
				return fmt.Errorf("%w: a crossfade of %s is not within 0s to 30s", ErrTerms, *t.Fade)
			}
			x.Fade = int(ms)
		}
		if t.Album != nil {
			x.Album = *t.Album
		}
		return nil
	})
}

// SetCue says what is heard of a track of a playlist where it is crossfaded,
// and publishes that, sealed. It is durable when it returns.
func (p *Publisher) SetCue(ctx context.Context, t CueTerms) (Playlist, error) {
	return p.remix(ctx, t.Playlist, func(l Playlist, x *manifests.Mixing) error {
		i := l.find(t.Track)
		if i < 0 {
			return notIn(t.Track)
		}
		tr := l.Tracks[i]
		q := x.Cues[t.Track]
		if t.Clear {
			q = manifests.Cue{}
		}
		for _, b := range []struct {
			at *time.Duration
			to **int64
		}{{t.In, &q.In}, {t.Out, &q.Out}} {
			if b.at == nil {
				continue
			}
			n, ok := frames(*b.at, tr)
			if !ok {
				return fmt.Errorf("%w: %s is not within the track, which lasts %s", ErrTerms, *b.at, lasts(tr).Round(time.Millisecond))
			}
			*b.to = &n
		}
		from, to := int64(0), tr.Samples
		if q.In != nil {
			from = *q.In
		}
		if q.Out != nil {
			to = *q.Out
		}
		if from >= to {
			return fmt.Errorf("%w: nothing of the track lies between these cues", ErrTerms)
		}
		if q == (manifests.Cue{}) {
			delete(x.Cues, t.Track)
			return nil
		}
		x.Cues[t.Track] = q
		return nil
	})
}

// lasts is a track's length.
func lasts(t Track) time.Duration {
	return time.Duration(float64(t.Samples) / float64(t.Rate) * float64(time.Second))
}

// frames is the frame nearest to a time of a track; its end is one, also in
// whole milliseconds.
func frames(at time.Duration, t Track) (int64, bool) {
	if at < 0 || at > lasts(t)+time.Millisecond {
		return 0, false
	}
	rate := int64(t.Rate)
	whole, part := int64(at/time.Second), int64(at%time.Second)
	return min(whole*rate+(part*rate+int64(time.Second)/2)/int64(time.Second), t.Samples), true
}

// remix changes how a playlist is mixed, and publishes it.
func (p *Publisher) remix(ctx context.Context, label string, change func(Playlist, *manifests.Mixing) error) (Playlist, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := p.Playlist(label)
	if err != nil {
		return Playlist{}, err
	}
	x, err := p.mixing(label)
	if err == nil {
		err = change(l, &x)
	}
	if err == nil && !same(x, l.Mixing) {
		err = p.commit(ctx, edit{label: label, mixing: &x})
	}
	if err != nil {
		return Playlist{}, fmt.Errorf("mix %q: %w", label, err)
	}
	return p.Playlist(label)
}

func same(a, b manifests.Mixing) bool {
	equal := func(x, y *int64) bool { return x == y || x != nil && y != nil && *x == *y }
	return a.Fade == b.Fade && a.Album == b.Album && maps.EqualFunc(a.Cues, b.Cues, func(x, y manifests.Cue) bool {
		return equal(x.In, y.In) && equal(x.Out, y.Out)
	})
}
