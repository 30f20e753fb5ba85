package testnet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"playnode/daemon"
	"playnode/testnet/netns"
)

// set is a set on air, and who hears it.
type set struct {
	*cast
	line  netns.Line
	r     *OnAirReport
	world *netns.World
	venue []*listener

	hearing sync.WaitGroup
	begin   time.Time // when the set went on air
	last    time.Time // when its last segment did
	given   int64     // what the DJ's daemon had when it was last asked

	mu    sync.Mutex // guards lines
	lines []reading  // a second apart
}

// reading is what all boxes' lines had sent at a time.
type reading struct {
	at   time.Time
	sent []int64
}

// listener is a venue that hears the set.
type listener struct {
	*role
	box  int
	file string // what it hears goes there; "" where it comes later

	received int64 // what it had, in bytes of blocks, when it was last asked

	mu      sync.Mutex // guards what follows
	join    time.Duration
	lags    []float64
	missing int64
	samples int64
	gone    bool // killed or cut off
	err     error
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
	wc := netns.Config{Boxes: []netns.BoxConfig{{Line: s.line}, {Line: netns.Line{Up: 1_250_000, Down: 1_250_000, Delay: 10 * time.Millisecond}}}, Seed: 1}
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, at := range rnd.Perm(s.r.Venues) {
		wc.Boxes = append(wc.Boxes, netns.BoxConfig{Line: s.line, Undialable: at < s.r.Undialable})
	}
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
		if !wc.Boxes[v.box].Undialable {
			reached = append(reached, v.addr())
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
			if v.missing = e.Missing; !v.gone {
				v.lags = append(v.lags, float64(*e.Lag)/1000)
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

// read notes what all lines have sent, every second.
func (s *set) read(ctx context.Context) error {
	for {
		x := reading{at: time.Now()}
		for _, b := range s.world.Boxes {
			c, err := b.Counters()
			if err != nil {
				return err
			}
			x.sent = append(x.sent, c.Sent)
		}
		s.mu.Lock()
		s.lines = append(s.lines, x)
		s.mu.Unlock()
		if err := pass(ctx, time.Second); err != nil {
			return err
		}
	}
}

// mean is what a box's line has sent of late, in bits a second.
func (s *set) mean(box int, over time.Duration) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return rate(s.lines, box, over)
}

// rate is what a box's line sent in the last while of lines, in bits a second.
func rate(lines []reading, box int, over time.Duration) int64 {
	end := len(lines) - 1
	begin := end
	for begin > 0 && lines[end].at.Sub(lines[begin].at) < over {
		begin--
	}
	if begin == end {
		return 0
	}
	return int64(8 * float64(lines[end].sent[box]-lines[begin].sent[box]) / lines[end].at.Sub(lines[begin].at).Seconds())
}

// busiest is who gives the most to others, of those who are still there.
func (s *set) busiest() (most *listener, gave int64) {
	for _, v := range s.venue {
		if x := s.mean(v.box, 10*time.Second); !v.gone && x > gave {
			most, gave = v, x
		}
	}
	return most, gave
}

// missed counts what all miss who are still there.
func (s *set) missed() (n int64) {
	for _, v := range s.venue {
		v.mu.Lock()
		if !v.gone {
			n += v.missing
		}
		v.mu.Unlock()
	}
	return n
}

// hold waits until all venues hold the set as a track, and what that cost the
// DJ's line.
func (s *set) hold(ctx context.Context) error {
	ended := time.Now()
	if err := pass(ctx, time.Until(s.last.Add(time.Second))); err != nil {
		return err
	}
	before, err := s.world.Boxes[onAirDJ].Counters()
	if err != nil {
		return err
	}
	for _, v := range s.venue { // one by one: the cores are wanted for sound
		if v.daemon == nil {
			continue
		}
		took, err := when(ctx, ended, time.Minute, func() (bool, string, error) {
			f, _, err := v.followed(ctx)
			return f.Held == 2, fmt.Sprintf("%s holds %d tracks and misses %d", v.name, f.Held, f.Missing), err
		})
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
	return s.blocks(ctx)
}

// blocks counts what the DJ's daemon has given since it was last asked, and
// what those got who hear the whole set.
func (s *set) blocks(ctx context.Context) error {
	var st daemon.Status
	if err := s.roles[onAirDJ].must(ctx, &st, "status"); err != nil {
		return err
	}
	s.given, s.r.AfterBlocks = st.Traffic.Sent, st.Traffic.Sent-s.given
	s.r.Again = 0
	for _, v := range s.venue {
		if v.file == "" || v.gone {
			continue
		}
		st = daemon.Status{}
		if err := v.must(ctx, &st, "status"); err != nil {
			return err
		}
		s.r.Again = max(s.r.Again, st.Traffic.Received-v.received)
		v.received = st.Traffic.Received
	}
	return nil
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
