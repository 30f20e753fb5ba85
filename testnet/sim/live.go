package sim

import (
	"context"
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
	// Venues come within Within (at once) after the set has begun, or the first
	// of them when Come says, and Crowd others within five seconds, after half
	// of the time.
	Venues, Crowd int
	Within        time.Duration
	Come          []time.Duration
	// Ready has the venues' boxes run and be connected before the set begins; else
	// a box dials when its venue comes.
	Ready bool
	// Length is how long she is on air (two minutes).
	Length time.Duration
	// Pace is how long a segment is (1 s), Size what it has in bytes, sealed
	// (17,400: 128 kbit/s).
	Pace time.Duration
	Size int
	// Source and Venue are their lines, which they know the rate of, unless
	// Unsaid says that nobody has told them.
	Source, Venue Line
	Unsaid        bool
	// Plain has nobody pass anything on: each venue has the set from the DJ's
	// box over one stream, as a radio's server sends it over HTTP.
	Plain bool
	// Undialable is the share of venues, from 0 to 1, that none can dial.
	Undialable float64
	// Neighbours is how many other venues each one dials (5); all dial the DJ.
	Neighbours int
	// Kills is how many who carry the set for others are killed a minute, from
	// KillFrom (a kill's time from the beginning) to KillTo (the end), of which
	// Silent, from 0 to 1, without a word. Others come in their place ten seconds
	// later.
	Kills            float64
	Silent           float64
	KillFrom, KillTo time.Duration
	// Seedbox, when it has a rate, is an archivist's line, which comes after
	// Lent (at once). What it changed is told of as much time before as there
	// is between half of what is left and the end.
	Seedbox Line
	Lent    time.Duration
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
	// CrowdBeginP95 is Begin of the crowd.
	CrowdBeginP95 float64 `json:"crowdBeginP95"`
	// Delay is from when the DJ cut a segment until a venue had it, and all
	// before.
	DelayP50 float64 `json:"delayP50"`
	DelayP95 float64 `json:"delayP95"`
	DelayMax float64 `json:"delayMax"`
	// Begin and Lag are a listener's (package ear): from when it asked until the
	// first sample, where two segments were on air by then, and how long ago
	// what it hears was played.
	BeginP50 float64 `json:"beginP50"`
	BeginP95 float64 `json:"beginP95"`
	LagP50   float64 `json:"lagP50"`
	LagP95   float64 `json:"lagP95"`
	// Unheard is the share of segments that a listener did not hear, what it
	// left out to catch up included.
	Unheard float64 `json:"unheard"`
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
	// SeedboxBits is what an archivist's box gave at most; Before and After are
	// how it was for a while before it came, and at the end.
	SeedboxBits int64      `json:"seedboxBits"`
	Before      *LivePhase `json:"before,omitempty"`
	After       *LivePhase `json:"after,omitempty"`
	// FarShare is, of what venues in LANs received, the share from outside.
	FarShare float64 `json:"farShare"`
}

// LivePhase is how it was for a while: rates are means, depths of its end.
type LivePhase struct {
	SourceMean  int64   `json:"sourceMean"`
	SeedboxMean int64   `json:"seedboxMean"`
	Depth       int     `json:"depth"`
	MeanDepth   float64 `json:"meanDepth"`
	LagP50      float64 `json:"lagP50"`
	LagP95      float64 `json:"lagP95"`
	Unheard     float64 `json:"unheard"`
	Deaf        int     `json:"deaf"` // who had asked, and heard nothing yet
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

	mu     sync.Mutex // guards what follows
	all    []*listener
	begin  time.Time
	cut    []time.Time   // by number; as many as are on air
	ended  bool          // there will be no more
	aired  chan struct{} // closed when that changes
	before depths        // when the seedbox came
}

// Live tells the story once. Where time is not virtual it takes as long as it
// says.
func Live(ctx context.Context, cfg LiveConfig) (LiveReport, error) {
	cfg.complete()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stage{cfg: cfg, world: NewWorld(Config{}), dj: livetest.New(1, time.Now()), rand: rand.New(rand.NewPCG(cfg.Seed, 3)), aired: make(chan struct{})}
	s.source = s.box("dj", cfg.Source, false, 0)
	s.wg.Go(func() { s.source.carrier.Run(ctx) })
	<-time.After(time.Millisecond)
	air, err := s.source.carrier.Go(s.dj.Record())
	if err != nil {
		return LiveReport{}, err
	}
	defer air.Close()
	if cfg.Plain {
		s.source.node.Handle(plainProtocol, s.serve)
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
	ready := time.Duration(0) // until all are connected
	if cfg.Ready {
		ready = 5 * time.Second
	}
	for i, v := range venues {
		wait := time.Duration(0)
		if v.crowd {
			wait = cfg.Length/2 + time.Duration(s.rand.Int64N(int64(5*time.Second)))
		} else if i < len(cfg.Come) {
			wait = cfg.Come[i]
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
		if cfg.Ready {
			s.run(ctx, v, know)
		}
		s.wg.Go(func() {
			select {
			case <-time.After(ready + wait):
				if !cfg.Ready {
					s.run(ctx, v, know)
				}
				s.come(v)
			case <-ctx.Done():
			}
		})
	}
	<-time.After(ready)
	s.begin = time.Now()
	s.wg.Go(func() { s.count(ctx) })
	if cfg.Seedbox.Up > 0 {
		seedbox := s.box("seedbox", cfg.Seedbox, false, 0)
		s.wg.Go(func() { s.lend(ctx, seedbox) })
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
		v.runs.Wait()
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
	upload := line.Up
	if s.cfg.Unsaid {
		upload = 0
	}
	seed := s.rand.Uint64()
	l.carrier, _ = live.New(live.Config{
		Streams: n, Peers: n, Chain: s.dj.Chain, Now: time.Now, Near: near, Upload: upload,
		Meet:     func(ctx context.Context, addr, _ string) error { return n.Connect(ctx, addr) },
		Dialable: func() bool { return !shut }, Rand: rand.New(rand.NewPCG(seed, 5)),
	})
	return l
}
