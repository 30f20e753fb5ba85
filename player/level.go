package player

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
)

const (
	// levelPatience is how long, from when its own blocks are asked for, a track
	// that is ready waits for what is not here of its neighbours' metadata.
	levelPatience = 100 * time.Millisecond
	// maxSet bounds how many tracks have one level.
	maxSet = 512
)

// strength is how loud a stretch of music is, and its highest true peak.
type strength struct {
	power   float64 // mean, relative to 0 LUFS; 0 where nothing was measured
	seconds float64 // that it was measured over
	peak    float64 // dBTP
}

// add takes a track in. Integrated loudnesses are averaged as powers, each
// weighed by its track's length: what BS.1770 gives for all of them in one,
// but for what its gate leaves out of each. One channel is heard from two
// loudspeakers: 3 LU louder.
func (l *strength) add(i *manifests.Info) {
	if i.Loudness == nil || i.Rate == 0 {
		return
	}
	power, seconds := math.Pow(10, float64(i.Loudness.Integrated)/10_000), float64(max(1, i.Samples))/float64(i.Rate)
	if i.Channels == 1 {
		power *= 2
	}
	peak := float64(i.Loudness.Peak) / 1000
	if l.seconds > 0 {
		peak = max(peak, l.peak)
	}
	l.power = (l.power*l.seconds + power*seconds) / (l.seconds + seconds)
	l.seconds += seconds
	l.peak = peak
}

// gain brings it to the target loudness, its true peak never above -1 dBTP
// (EBU R128).
func (l strength) gain(target float64) float32 {
	if l.seconds == 0 || math.IsNaN(target) {
		return 1
	}
	return float32(math.Pow(10, min(target-10*math.Log10(l.power), -1-l.peak)/20))
}

// levelOf is a track's by itself.
func levelOf(i *manifests.Info) (l strength) {
	l.add(i)
	return l
}

// set is a stretch of a playlist that has one level.
type set struct {
	first, last int // places in the order
	level       strength
	whole       bool // nothing was missing of it when its first track began
}

// together tells whether b, which comes after a, has its level: it goes on
// where a ends, or the playlist levels albums as one and it is of the same.
func together(a, b *manifests.Info, albums bool) bool {
	if albums && a.Album != "" && a.Album == b.Album && albumArtist(a) == albumArtist(b) {
		return true
	}
	return continuous(a, b)
}

func albumArtist(i *manifests.Info) string {
	for _, t := range i.Tags {
		if t.Key == "albumartist" {
			return t.Value
		}
	}
	return ""
}

// order is a selection's order, opened once for each revision, and what was
// found out of it. It is let go with the lease.
type order struct {
	version cid.Cid
	items   []item

	mu    sync.Mutex              // guards what follows
	infos map[int]*manifests.Info // by place, as far as levels need them
	sets  []set
}

// around has what the level of place k takes come while its track's own blocks
// do: its neighbours' metadata is a packet each, and what is asked for when the
// track is ready comes behind the leaves that are sought ahead by then.
func (p *Player) around(ctx context.Context, ps *pass, k int, class node.Class) {
	if _, known := ps.order.level(k); known {
		return
	}
	var wg sync.WaitGroup
	for i := max(0, k-1); i <= min(k+1, len(ps.items)-1); i++ {
		wg.Go(func() { p.brief(ctx, ps, i, class) })
	}
	wg.Wait()
	p.level(ctx, ps, k, class, false)
}

// level is that of the set which place k is in, where that is known.
func (o *order) level(k int) (l strength, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.sets {
		if s.first <= k && k <= s.last && (s.whole || s.first < k) {
			return s.level, true
		}
	}
	return strength{}, false
}

// brief is a track's metadata, as far as levels need it.
func (p *Player) brief(ctx context.Context, ps *pass, k int, class node.Class) (*manifests.Info, error) {
	o := ps.order
	o.mu.Lock()
	i := o.infos[k]
	o.mu.Unlock()
	if i != nil {
		return i, nil
	}
	it := ps.items[k]
	sealed, err := p.cfg.Fetch.Get(ctx, it.entry.Info, node.Want{Class: class})
	if err != nil {
		return nil, err
	}
	if i, err = ps.unlocked.Info(*it.entry, sealed); err != nil {
		return nil, err
	}
	small := &manifests.Info{
		Album: i.Album, Disc: i.Disc, Number: i.Number, Tags: i.Tags, Codec: i.Codec, Delay: i.Delay,
		Rate: i.Rate, Channels: i.Channels, Samples: i.Samples, Loudness: i.Loudness,
	}
	o.mu.Lock()
	if o.infos == nil {
		o.infos = map[int]*manifests.Info{}
	}
	o.infos[k] = small
	o.mu.Unlock()
	return small, nil
}

// level is that of the set which place k of a pass is in. Where metadata is
// not here, and does not come in time, a set ends; if it is to sound, what is
// found out of the rest of it later has its level, until it begins anew.
func (p *Player) level(ctx context.Context, ps *pass, k int, class node.Class, sounds bool) (strength, error) {
	o := ps.order
	if l, known := o.level(k); known {
		return l, nil
	}
	own, err := p.brief(ctx, ps, k, class)
	if err != nil {
		return strength{}, err
	}
	s := set{first: k, last: k, level: levelOf(own), whole: true}
	join := func(a, b int) *manifests.Info { // the one of the neighbours a, b that is new
		ia, err := p.brief(ctx, ps, a, class)
		ib, berr := p.brief(ctx, ps, b, class)
		if err != nil || berr != nil {
			s.whole = false
			return nil
		}
		if ps.items[a].mixing != ps.items[b].mixing || !together(ia, ib, ps.items[a].mixing.Album) {
			return nil
		}
		if a < s.first {
			return ia
		}
		return ib
	}
	for s.first > 0 && s.last-s.first < maxSet {
		i := join(s.first-1, s.first)
		if i == nil {
			break
		}
		s.first--
		s.level.add(i)
	}
	for s.last+1 < len(ps.items) && s.last-s.first < maxSet {
		i := join(s.last, s.last+1)
		if i == nil {
			break
		}
		s.last++
		s.level.add(i)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.infos, func(k int, _ *manifests.Info) bool { return k < s.first-1 || k > s.last+1 })
	for i := range o.sets {
		x := &o.sets[i]
		if x.first > s.last || s.first > x.last {
			continue
		}
		if k > x.first { // a part of it has sounded
			s.level.power, s.level.seconds = x.level.power, x.level.seconds
			s.level.peak = max(s.level.peak, x.level.peak)
			s.first, s.last, s.whole = min(x.first, s.first), max(x.last, s.last), false
		}
		*x = s
		return s.level, nil
	}
	if s.whole || sounds {
		o.sets = append(o.sets, s)
	}
	return s.level, nil
}

// levelled is the gain of a deck that plays place k of a pass; what is not here
// by some time is left out. A track that was not measured is not raised: nobody
// knows its peaks.
func (b *Playback) levelled(ctx context.Context, ps *pass, k int, d *deck, by time.Time) float32 {
	if math.IsNaN(b.target) {
		return 1
	}
	l := levelOf(d.info)
	if ps.order != nil {
		ctx, cancel := context.WithDeadline(ctx, by)
		defer cancel()
		if s, err := b.p.level(ctx, ps, k, node.Now, true); err == nil {
			l = s
		}
	}
	if d.info.Loudness == nil {
		return min(1, l.gain(b.target))
	}
	return l.gain(b.target)
}
