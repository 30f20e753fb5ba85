package testnet

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/daemon"
)

// stock is what a box held of blocks shortly before the set ended.
type stock struct {
	*role
	heard    *listener        // nil for the archivist's
	held     map[string]int64 // sizes by multihash
	received int64            // bytes of blocks by its daemon's account
	twice    int64            // of them, that had come already
}

// underWay is how many of the newest segments may be on their way to a box that
// hears the set.
const underWay = 8

// during tells how the set is heard between two shares of it.
func (s *set) during(ctx context.Context, from, to float64, p *OnAirPhase) error {
	if err := s.until(ctx, from); err != nil {
		return err
	}
	missed, began := s.missed(), time.Now()
	before, err := s.roles[onAirDJ].carries(ctx)
	if err != nil {
		return err
	}
	if err := s.until(ctx, to); err != nil {
		return err
	}
	after, err := s.roles[onAirDJ].carries(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	p.SourceSaid = int64(8 * float64(after.Sent-before.Sent) / now.Sub(began).Seconds())
	p.SourceBits, p.SeedboxBits = s.meter.Mean(onAirDJ, began, now), s.meter.Mean(onAirSeedbox, began, now)
	p.Missed = s.missed() - missed
	var lags []float64
	n := 0
	for _, v := range s.venues() {
		v.mu.Lock()
		for _, x := range v.told {
			if x.at.After(began) {
				lags = append(lags, x.lag)
			}
		}
		v.mu.Unlock()
		if !v.runs() {
			continue
		}
		c, err := v.carries(ctx)
		switch {
		case err != nil && !v.runs(): // it was killed meanwhile
			continue
		case err != nil:
			return err
		}
		if c.Depth >= 0 {
			p.Depth = max(p.Depth, c.Depth)
			p.MeanDepth += float64(c.Depth)
			n++
		}
	}
	p.MeanDepth /= float64(max(1, n))
	p.LagP50, p.LagP95 = part(lags, .5), part(lags, .95)
	if seedbox := s.roles[onAirSeedbox]; seedbox.daemon != nil {
		c, err := seedbox.carries(ctx)
		p.Children = c.Children
		return err
	}
	return nil
}

// carries is how the one set on air goes by a box; its depth is -1 where none
// does.
func (r *role) carries(ctx context.Context) (daemon.Carries, error) {
	var st daemon.Status
	if err := r.must(ctx, &st, "status"); err != nil || len(st.Carries) != 1 {
		return daemon.Carries{Depth: -1}, err
	}
	return st.Carries[0], nil
}

// stock notes what everybody holds, and how many segments are on air.
func (s *set) stock(ctx context.Context) error {
	var st daemon.Status
	if err := s.roles[onAirDJ].must(ctx, &st, "status"); err != nil {
		return err
	}
	s.given = st.Traffic.Sent
	if len(st.Carries) == 1 {
		s.r.SourceSaid = int64(8 * float64(st.Carries[0].Sent) / time.Since(s.begin).Seconds())
	}
	boxes := []*stock{{role: s.roles[onAirSeedbox]}}
	for _, v := range s.venues() {
		if v.runs() {
			boxes = append(boxes, &stock{role: v.role, heard: v})
		}
	}
	for _, b := range boxes {
		st = daemon.Status{}
		if err := b.must(ctx, &st, "status"); err != nil {
			return err
		}
		b.received, b.twice = st.Traffic.Received, st.Traffic.Duplicate
		var err error
		if b.held, err = b.Blocks(); err != nil {
			return err
		}
		s.stocked = append(s.stocked, b)
	}
	s.known = int(s.cut.Load())
	return nil
}

// hold waits until all hold the set as a track, and tells what that took.
func (s *set) hold(ctx context.Context, aired daemon.Aired) error {
	ended := time.Now()
	if err := pass(ctx, time.Until(s.last.Add(time.Second))); err != nil {
		return err
	}
	before, err := s.world.Boxes[onAirDJ].Counters()
	if err != nil {
		return err
	}
	holds := func(r *role) (time.Duration, error) {
		return when(ctx, ended, time.Minute, func() (bool, string, error) {
			f, _, err := r.followed(ctx)
			return f.Held == 2, fmt.Sprintf("%s holds %d tracks and misses %d", r.name, f.Held, f.Missing), err
		})
	}
	for _, v := range s.venues() { // one by one: the cores are wanted for sound
		if !v.runs() {
			continue
		}
		took, err := holds(v.role)
		if err != nil {
			return err
		}
		s.r.HeldMs = took.Milliseconds()
	}
	after, err := s.world.Boxes[onAirDJ].Counters()
	if err != nil {
		return err
	}
	s.r.AfterLine = after.Sent - before.Sent
	if _, err := holds(s.roles[onAirSeedbox]); err != nil {
		return err
	}
	var st daemon.Status
	if err := s.roles[onAirDJ].must(ctx, &st, "status"); err != nil {
		return err
	}
	s.r.AfterBlocks = st.Traffic.Sent - s.given
	return s.account(ctx, aired)
}

// account tells what everybody was sent once the set was over. Whoever asks for
// blocks asks for none that it holds, so what comes twice is of what it lacked.
func (s *set) account(ctx context.Context, aired daemon.Aired) error {
	track, err := cid.Decode(aired.Track)
	if err != nil {
		return fmt.Errorf("the set's track: %w", err)
	}
	dj := s.roles[onAirDJ]
	var segments []string // multihashes, in order
	if err := dj.Below(track, func(c cid.Cid) {
		if c.Prefix().Codec == cid.Raw {
			segments = append(segments, string(c.Hash()))
		}
	}); err != nil {
		return err
	}
	if len(segments) != int(aired.Segments) {
		return fmt.Errorf("the track of a set of %d segments has %d leaves", aired.Segments, len(segments))
	}
	sizes, err := dj.Blocks()
	if err != nil {
		return err
	}
	number := map[string]int{}
	for i, hash := range segments {
		number[hash] = i
		s.r.SegmentBytes += sizes[hash]
	}
	s.r.SegmentBytes /= int64(len(segments))
	once := map[int]int64{}
	for _, b := range s.stocked {
		var st daemon.Status
		if err := b.must(ctx, &st, "status"); err != nil {
			return err
		}
		now, err := b.Blocks()
		if err != nil {
			return err
		}
		first := len(segments) // the first that it held
		for hash := range b.held {
			if i, ok := number[hash]; ok {
				first = min(first, i)
			}
		}
		x := OnAirBox{Name: b.name}
		for hash, size := range now {
			i, media := number[hash]
			switch {
			case b.held[hash] > 0:
			case !media:
				x.Records += size
			case i < s.known-underWay && (i < first || b.heard != nil && (b.heard.gone || b.heard.missing > 0)):
				x.Lacked += size
				once[i] = size
			}
		}
		if x.Lacked > 0 {
			x.Twice = st.Traffic.Duplicate - b.twice
		}
		x.Again = max(0, st.Traffic.Received-b.received-x.Records-x.Lacked-x.Twice)
		s.r.Boxes = append(s.r.Boxes, x)
		s.r.Lacked, s.r.Again = s.r.Lacked+x.Lacked, max(s.r.Again, x.Again)
	}
	for _, size := range once {
		s.r.LackedOnce += size
	}
	return nil
}
