package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"playnode/live"
	"playnode/live/livetest"
)

// LiveConfig is a DJ on air and venues that hear her. A zero value means what
// is in parentheses.
type LiveConfig struct {
	// Venues come within Within (at once) after the set has begun, and Crowd
	// others within five seconds, after half of the time.
	Venues, Crowd int
	Within        time.Duration
	// Length is how long she is on air (two minutes).
	Length time.Duration
	// Pace is how long a segment is (1 s), Size what it has in bytes, sealed
	// (17,400: 128 kbit/s).
	Pace time.Duration
	Size int
	// Source and Venue are their lines, which they know the rate of.
	Source, Venue Line
	// Undialable is the share of venues, from 0 to 1, that none can dial.
	Undialable float64
	// Neighbours is how many other venues each one dials (5); all dial the DJ.
	Neighbours int
	// Kills is how many who carry the set for others are killed a minute, of
	// which Silent, from 0 to 1, without a word. Others come in their place
	// ten seconds later.
	Kills  float64
	Silent float64
	// Seedbox, when it has a rate, is an archivist's line.
	Seedbox Line
	// LANs is how many networks of their own LAN venues each are in.
	LANs, LAN int
	// Patience is as live.Carrier.Hear has it (3 s).
	Patience time.Duration
	// Seed draws who knows whom, and who is killed.
	Seed uint64
}

func (c *LiveConfig) complete() {
	for _, z := range []struct {
		v    *int
		zero int
	}{{&c.Venues, 50}, {&c.Size, 17_400}, {&c.Neighbours, 5}} {
		if *z.v == 0 {
			*z.v = z.zero
		}
	}
	for _, z := range []struct {
		v    *time.Duration
		zero time.Duration
	}{{&c.Length, 2 * time.Minute}, {&c.Pace, time.Second}, {&c.Patience, 3 * time.Second}} {
		if *z.v == 0 {
			*z.v = z.zero
		}
	}
}

// LiveReport is how it went. Seconds and shares; rates are bits a second, the
// highest over any ten seconds.
type LiveReport struct {
	Venues     int `json:"venues"`
	Undialable int `json:"undialable"`
	Killed     int `json:"killed"`
	// SourceBits is what went over the DJ's uplink at most, SourceMean all the
	// time.
	SourceBits int64 `json:"sourceBits"`
	SourceMean int64 `json:"sourceMean"`
	// RelayShare is the most that any other box sent of what its line bears.
	RelayShare float64 `json:"relayShare"`
	// Sound is from when a venue asked until it had a segment, Join until it
	// had the one that was the newest when it asked, or a later one; of those
	// in the crowd apart.
	SoundP95 float64 `json:"soundP95"`
	JoinP50  float64 `json:"joinP50"`
	JoinP95  float64 `json:"joinP95"`
	JoinMax  float64 `json:"joinMax"`
	CrowdP50 float64 `json:"crowdP50"`
	CrowdP95 float64 `json:"crowdP95"`
	// Delay is from when the DJ cut a segment until a venue had it, and all
	// before.
	DelayP50 float64 `json:"delayP50"`
	DelayP95 float64 `json:"delayP95"`
	DelayMax float64 `json:"delayMax"`
	// Missed is the share of segments that were not there in time, by those who
	// were not killed.
	Missed  float64 `json:"missed"`
	Heard   int     `json:"heard"`
	MissedN int     `json:"missedCount"`
	Deaf    int     `json:"deaf"` // venues that never had a segment
	// Depth is the most boxes between the DJ and a venue at the end, MeanDepth
	// of all.
	Depth     int     `json:"depth"`
	MeanDepth float64 `json:"meanDepth"`
	// Twice is the share of received bytes that had come already.
	Twice   float64 `json:"twice"`
	Pulled  int     `json:"pulled"`
	Parents float64 `json:"parents"` // found by a venue, a minute
	// SeedboxBits is what an archivist's box gave at most.
	SeedboxBits int64 `json:"seedboxBits"`
	// FarShare is, of what venues in LANs received, the share from outside.
	FarShare float64 `json:"farShare"`
}

// listener is one who hears.
type listener struct {
	node    *Node
	lan     int
	crowd   bool
	carrier *live.Carrier
	stop    context.CancelFunc
	done    chan struct{}

	mu     sync.Mutex // guards what follows
	feed   *live.Feed
	asked  time.Time
	edge   uint64 // the newest number on air when it asked
	sound  time.Duration
	join   time.Duration
	heard  []time.Duration
	missed int
	killed bool
	sent   []int64 // over the line, by second
}

// stage is a set under way.
type stage struct {
	cfg    LiveConfig
	world  *World
	dj     *livetest.DJ
	source *listener
	rand   *rand.Rand
	wg     sync.WaitGroup
	lans   sync.Map // of peer to its network

	mu   sync.Mutex // guards what follows
	all  []*listener
	cut  map[uint64]time.Time
	edge uint64 // the next number
}

// Live tells the story once. Where time is not virtual it takes as long as it
// says.
func Live(ctx context.Context, cfg LiveConfig) (LiveReport, error) {
	cfg.complete()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stage{cfg: cfg, world: NewWorld(Config{}), dj: livetest.New(1, time.Now()), rand: rand.New(rand.NewPCG(cfg.Seed, 3)), cut: map[uint64]time.Time{}}
	s.source = s.box("dj", cfg.Source, false, 0)
	s.wg.Go(func() { s.source.carrier.Run(ctx) })
	<-time.After(time.Millisecond)
	air, err := s.source.carrier.Go(s.dj.Record())
	if err != nil {
		return LiveReport{}, err
	}
	defer air.Close()
	s.wg.Go(func() { s.count(ctx) })
	if cfg.Seedbox.Up > 0 {
		s.come(ctx, s.box("seedbox", cfg.Seedbox, false, 0), nil)
	}
	r := LiveReport{Venues: cfg.Venues + cfg.Crowd}
	var venues []*listener
	for i, at := range s.rand.Perm(cfg.Venues + cfg.Crowd) {
		shut := float64(at) < cfg.Undialable*float64(cfg.Venues+cfg.Crowd)
		if shut {
			r.Undialable++
		}
		lan := 0
		if cfg.LAN > 0 && i/cfg.LAN < cfg.LANs {
			lan = 1 + i/cfg.LAN
		}
		v := s.box(fmt.Sprint("venue", i), cfg.Venue, shut, lan)
		v.crowd = i >= cfg.Venues
		venues = append(venues, v)
	}
	for i, v := range venues {
		wait := time.Duration(0)
		if v.crowd {
			wait = cfg.Length/2 + time.Duration(s.rand.Int64N(int64(5*time.Second)))
		} else if cfg.Within > 0 {
			wait = time.Duration(s.rand.Int64N(int64(cfg.Within)))
		}
		var know []string
		for _, o := range s.rand.Perm(len(venues))[:min(cfg.Neighbours, len(venues))] {
			if v.crowd || !venues[o].crowd {
				know = append(know, venues[o].node.Addrs()[0])
			}
		}
		for o, w := range venues {
			if o != i && v.lan > 0 && w.lan == v.lan && (v.crowd || !w.crowd) {
				know = append(know, w.node.Addrs()[0])
			}
		}
		s.wg.Go(func() {
			select {
			case <-time.After(wait):
				s.come(ctx, v, know)
			case <-ctx.Done():
			}
		})
	}
	if cfg.Kills > 0 {
		s.wg.Go(func() { s.kill(ctx) })
	}
	err = s.play(ctx, air)
	s.sum(&r)
	cancel()
	s.wg.Wait()
	for _, l := range append(s.all, s.source) {
		if l.done != nil {
			<-l.done
		}
		l.node.Close()
	}
	for _, v := range venues {
		v.node.Close()
	}
	return r, err
}

// box is one of the world, which does nothing yet.
func (s *stage) box(name string, line Line, shut bool, lan int) *listener {
	n := s.world.Node(NodeConfig{Name: name, Line: line, Undialable: shut})
	l := &listener{node: n, lan: lan}
	s.lans.Store(n.ID(), lan)
	near := func(peer string) bool {
		at, ok := s.lans.Load(peer)
		return ok && lan > 0 && at == lan
	}
	seed := s.rand.Uint64()
	l.carrier, _ = live.New(live.Config{
		Streams: n, Peers: n, Chain: s.dj.Chain, Now: time.Now, Near: near, Upload: line.Up,
		Meet:     func(ctx context.Context, addr, _ string) error { return n.Connect(ctx, addr) },
		Dialable: func() bool { return !shut }, Rand: rand.New(rand.NewPCG(seed, 5)),
	})
	return l
}

// come has a box hear.
func (s *stage) come(ctx context.Context, l *listener, know []string) {
	ctx, l.stop = context.WithCancel(ctx)
	l.done = make(chan struct{})
	s.mu.Lock()
	s.all = append(s.all, l)
	l.edge, l.asked = s.edge, time.Now()
	s.mu.Unlock()
	var runs sync.WaitGroup
	runs.Go(func() { l.carrier.Run(ctx) })
	for _, a := range append(know, s.source.node.Addrs()[0]) {
		runs.Go(func() { l.node.Connect(ctx, a) })
	}
	feed := l.carrier.Hear(s.dj.Set(), s.cfg.Patience)
	l.mu.Lock()
	l.feed = feed
	l.mu.Unlock()
	runs.Go(func() {
		for {
			item, err := feed.Next(ctx)
			if err != nil {
				return
			}
			s.heard(l, item)
		}
	})
	s.wg.Go(func() {
		runs.Wait()
		feed.Close()
		close(l.done)
	})
}

func (s *stage) heard(l *listener, item live.Item) {
	s.mu.Lock()
	cut := s.cut[item.Seq]
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.missed += item.Missing
	if item.Head == nil {
		return
	}
	if l.sound == 0 {
		l.sound = now.Sub(l.asked)
	}
	if item.Seq+1 >= l.edge {
		if l.join == 0 {
			l.join = now.Sub(l.asked)
		} else {
			l.heard = append(l.heard, now.Sub(cut))
		}
	}
}

// play cuts segments until the set ends, and waits for the last to arrive.
func (s *stage) play(ctx context.Context, air *live.Air) error {
	next := time.NewTicker(s.cfg.Pace)
	defer next.Stop()
	n := int(s.cfg.Length / s.cfg.Pace)
	for i := range n {
		head, seg := s.dj.Next(time.Now(), s.cfg.Size, i == n-1)
		s.mu.Lock()
		s.cut[s.edge] = time.Now()
		s.edge++
		s.mu.Unlock()
		if err := air.Announce(head, seg); err != nil {
			return err
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err(i))
		}
	}
	<-time.After(2 * s.cfg.Patience)
	return nil
}

func err(i int) error { return fmt.Errorf("the set was cut off at segment %d", i) }

// count notes once a second what has gone over each line.
func (s *stage) count(ctx context.Context) {
	for {
		s.mu.Lock()
		for _, l := range append(s.all, s.source) {
			l.mu.Lock()
			l.sent = append(l.sent, l.node.Carried().Sent)
			l.mu.Unlock()
		}
		s.mu.Unlock()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// kill ends one after the other of those who carry for others.
func (s *stage) kill(ctx context.Context) {
	every := time.Duration(float64(time.Minute) / s.cfg.Kills)
	for i := 0; ; i++ {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		var relays []*listener
		for _, l := range s.all {
			l.mu.Lock()
			if !l.killed && l.feed != nil && l.node.Name != "seedbox" && l.feed.Stats().Children > 0 {
				relays = append(relays, l)
			}
			l.mu.Unlock()
		}
		if len(relays) == 0 {
			s.mu.Unlock()
			continue
		}
		l := relays[s.rand.IntN(len(relays))]
		silent := s.rand.Float64() < s.cfg.Silent
		heir := s.box(fmt.Sprint(l.node.Name, "'", i), l.node.Line, l.node.Undialable, l.lan)
		know := s.source.node.Addrs()
		for range s.cfg.Neighbours {
			know = append(know, s.all[s.rand.IntN(len(s.all))].node.Addrs()[0])
		}
		s.mu.Unlock()
		l.mu.Lock()
		l.killed = true
		l.mu.Unlock()
		if silent {
			l.node.Vanish()
			l.stop()
		} else {
			l.stop()
			l.node.Close()
		}
		s.wg.Go(func() {
			select {
			case <-time.After(10 * time.Second):
				s.come(ctx, heir, know)
			case <-ctx.Done():
			}
		})
	}
}

// most is the highest rate over any ten seconds, in bytes a second.
func most(sent []int64) (rate float64) {
	for i := range sent {
		if i >= 10 {
			rate = max(rate, float64(sent[i]-sent[i-10])/10)
		}
	}
	return rate
}

func (s *stage) sum(r *LiveReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sound, join, crowd, delay []float64
	var received, twice, near, inside int64
	depths, placed := 0, 0
	minutes := s.cfg.Length.Minutes()
	for _, l := range s.all {
		l.mu.Lock()
		st := l.feed.Stats()
		if l.killed {
			r.Killed++
			l.mu.Unlock()
			continue
		}
		if l.node.Name == "seedbox" {
			r.SeedboxBits = int64(8 * most(l.sent))
		}
		if l.sound == 0 {
			r.Deaf++
		} else {
			sound = append(sound, l.sound.Seconds())
			if l.crowd {
				crowd = append(crowd, l.join.Seconds())
			} else {
				join = append(join, l.join.Seconds())
			}
		}
		for _, d := range l.heard {
			delay = append(delay, d.Seconds())
		}
		r.Heard += len(l.heard)
		r.MissedN += l.missed
		if st.Depth >= 0 {
			r.Depth = max(r.Depth, st.Depth)
			depths += st.Depth
			placed++
		}
		received, twice = received+st.Received, twice+st.Twice
		r.Pulled += st.Pulled
		r.Parents += float64(st.Parents) / minutes
		if l.lan > 0 {
			near, inside = near+st.Near, inside+st.Received
		}
		if l.node.Up > 0 {
			r.RelayShare = max(r.RelayShare, most(l.sent)/float64(l.node.Up))
		}
		l.mu.Unlock()
	}
	r.SourceBits = int64(8 * most(s.source.sent))
	if n := len(s.source.sent); n > 1 {
		r.SourceMean = 8 * (s.source.sent[n-1] - s.source.sent[0]) / int64(n-1)
	}
	r.SoundP95, r.JoinP50, r.JoinP95, r.JoinMax = quantile(sound, .95), quantile(join, .5), quantile(join, .95), quantile(join, 1)
	r.CrowdP50, r.CrowdP95 = quantile(crowd, .5), quantile(crowd, .95)
	r.DelayP50, r.DelayP95, r.DelayMax = quantile(delay, .5), quantile(delay, .95), quantile(delay, 1)
	if n := r.Heard + r.MissedN; n > 0 {
		r.Missed = float64(r.MissedN) / float64(n)
	}
	if placed > 0 {
		r.MeanDepth = float64(depths) / float64(placed)
		r.Parents /= float64(placed)
	}
	if received > 0 {
		r.Twice = float64(twice) / float64(received)
	}
	if inside > 0 {
		r.FarShare = 1 - float64(near)/float64(inside)
	}
}
