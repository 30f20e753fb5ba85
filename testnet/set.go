package testnet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/daemon"
	"playnode/testnet/netns"
)

// set is a set on air, and who hears it.
type set struct {
	*cast
	boxes netns.Config
	r     *OnAirReport
	world *netns.World
	meter *netns.Meter
	kills []plannedKill
	order []int       // of venues, to be killed
	heirs []*listener // who come in the place of those

	mu    sync.Mutex // guards what follows, and r.Kills
	venue []*listener

	hearing sync.WaitGroup
	coming  errgroup.Group
	begin   time.Time    // when the set went on air
	last    time.Time    // when its last segment did
	cut     atomic.Int64 // segments that are on air
	given   int64        // of blocks by the DJ's daemon, shortly before the end
	stocked []*stock     // what boxes held then
	known   int          // how many segments were on air then
}

// listener is a venue that hears the set.
type listener struct {
	*role
	box   int
	file  string // what it hears goes there; "" where it comes later
	where string // how its daemon is dialled

	mu      sync.Mutex // guards what follows
	up      bool       // its daemon runs
	join    time.Duration
	told    []telling
	missing int64
	samples int64
	gone    bool // killed or cut off
	err     error
}

// runs tells whether its daemon does, hears whether it was not cut off either.
func (v *listener) runs() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.up
}

func (v *listener) hears() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.up && !v.gone
}

// lose takes v off those who are still there; false where it is off already.
func (v *listener) lose() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.gone
	v.gone = true
	return !was
}

// venues are those who have come so far, and those who will as was planned.
func (s *set) venues() []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.venue)
}

// telling is the lag that a venue told of, in seconds.
type telling struct {
	at  time.Time
	lag float64
}

// record is a track for the playlist, and a set: the demo's mp3s, over and over.
func (s *set) record(loops int) (track, file string, err error) {
	files, err := s.files()
	if err != nil {
		return "", "", err
	}
	var b bytes.Buffer
	for range loops {
		for _, f := range files[1:] {
			part, err := os.ReadFile(f)
			if err != nil {
				return "", "", err
			}
			b.Write(part)
		}
	}
	// What the tags and covers have is little.
	s.r.SetBytes = int64(b.Len())
	s.r.SetSeconds = float64(8*b.Len()) / 128_000
	file = filepath.Join(s.dir, "set.mp3")
	return files[0], file, os.WriteFile(file, b.Bytes(), 0o644)
}

// gather has the DJ publish a track, and the venues have it, and a lease.
func (s *set) gather(ctx context.Context, track string) error {
	wc, rnd := s.boxes, rand.New(rand.NewPCG(2, 2))
	var err error
	if s.world, err = netns.Open(ctx, wc); err != nil {
		return err
	}
	var ids []daemon.Identity
	for i := range wc.Boxes {
		name := fmt.Sprint("venue", i-onAirVenues+1)
		switch i {
		case onAirDJ:
			name = "dj"
		case onAirSeedbox:
			name = "seedbox"
		}
		x, id, err := s.enter(ctx, name)
		if err != nil {
			return err
		}
		x.Within = s.world.Boxes[i].Within()
		x.listen = fmt.Sprintf("/ip4/%s/tcp/%d", s.world.Boxes[i].Addr(), swarmPort)
		ids = append(ids, id)
		if i >= onAirVenues {
			s.venue = append(s.venue, &listener{role: x, box: i})
		}
	}
	dj := s.roles[onAirDJ]
	s.name = ids[onAirDJ].Name
	if err := dj.must(ctx, nil, "publish", "--playlist", "bar", track); err != nil {
		return err
	}
	for _, id := range ids[onAirVenues:] {
		if err := dj.must(ctx, nil, "lease", "grant", "bar", "--device", id.Device, "--for", "1d"); err != nil {
			return err
		}
	}
	if err := s.invite(ctx); err != nil {
		return err
	}
	if err := dj.must(ctx, nil, "publish"); err != nil {
		return err
	}
	if err := dj.start(ctx); err != nil {
		return err
	}
	var reached []string // those of venues that can be dialled
	for _, v := range s.venue {
		peers := []string{dj.addr()}
		for _, k := range rnd.Perm(len(reached))[:min(swarmNeighbours, len(reached))] {
			peers = append(peers, reached[k])
		}
		if err := v.start(ctx, peers...); err != nil {
			return err
		}
		v.where, v.up = v.addr(), true
		if !wc.Boxes[v.box].Undialable {
			reached = append(reached, v.where)
		}
	}
	for _, v := range s.venue {
		var f daemon.Followed
		if err := v.must(ctx, &f, "follow", s.name, "--once", "--timeout", "1m"); err != nil {
			return err
		}
	}
	return nil
}

// play is the DJ's hour; begin is told once it is on air.
func (s *set) play(ctx context.Context, file string, begin chan<- time.Time, aired *daemon.Aired) error {
	var news struct {
		Segments uint64          `json:"segments"`
		Track    string          `json:"track"`
		Tracks   json.RawMessage `json:"tracks"`
	}
	began := false
	dj := s.roles[onAirDJ]
	code, said, err := dj.run(ctx, func(m json.RawMessage) error {
		if err := json.Unmarshal(m, &news); err != nil {
			return err
		}
		if news.Tracks != nil {
			return json.Unmarshal(m, aired)
		}
		if !began {
			began = true
			begin <- time.Now()
		}
		s.last = time.Now()
		s.cut.Store(int64(news.Segments))
		return nil
	}, "live", "bar", file, "--title", "A night on air")
	if err == nil && (code != 0 || len(aired.Tracks) != 1) {
		err = fmt.Errorf("the set ended with %d and %d tracks: %s", code, len(aired.Tracks), said)
	}
	return err
}

// hear is a venue's evening.
func (s *set) hear(ctx context.Context, v *listener) {
	args := []string{"listen", s.name + "/bar", "--wait", "--sink", "null"}
	if v.file != "" {
		args[len(args)-1] = "raw:" + v.file
	}
	asked := time.Now()
	code, said, err := v.run(ctx, func(m json.RawMessage) error {
		var e daemon.PlayEvent
		if err := json.Unmarshal(m, &e); err != nil {
			return err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if e.Lag != nil {
			if v.join == 0 {
				v.join = time.Since(asked)
			}
			if !v.gone {
				v.missing, v.told = e.Missing, append(v.told, telling{time.Now(), float64(*e.Lag) / 1000})
			}
		}
		if e.Played != nil {
			v.samples = e.Samples
		}
		return nil
	}, args...)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil && code != 0 {
		err = fmt.Errorf("%s: listen ended with %d: %s", v.name, code, said)
	}
	v.err = err
}

// busiest is who gives the most to others, of those who are still there.
func (s *set) busiest() (most *listener, gave int64) {
	now := time.Now()
	for _, v := range s.venues() {
		if x := s.meter.Mean(v.box, now.Add(-10*time.Second), now); v.hears() && x > gave {
			most, gave = v, x
		}
	}
	return most, gave
}

// missed counts what all have missed, each until it was killed or cut off: it never
// falls.
func (s *set) missed() (n int64) {
	for _, v := range s.venues() {
		v.mu.Lock()
		n += v.missing
		v.mu.Unlock()
	}
	return n
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
