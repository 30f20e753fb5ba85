package testnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/daemon"
	"playnode/testnet/binary"
	"playnode/testnet/netns"
)

// SwarmReport is how a catalogue came to many venues at once. Multiples are of
// the catalogue. Package sim tells the same story, by the same words.
type SwarmReport struct {
	Venues     int `json:"venues"`
	Undialable int `json:"undialable"`
	// Neighbours is how many venues each one dials beside the DJ.
	Neighbours int   `json:"neighbours"`
	Catalogue  int64 `json:"catalogueBytes"`
	// Up and Down are every line's, in bytes a second, 0 for no limit; DelayMs is
	// what a packet takes over one.
	Up      int64   `json:"upBytes"`
	Down    int64   `json:"downBytes"`
	DelayMs float64 `json:"delayMs"`
	// FloorSeconds is what the uplinks allow, where those that can be dialled
	// give all that the others take, Seconds is until the last venue had
	// everything, P50Seconds the median one.
	FloorSeconds float64 `json:"floorSeconds"`
	Seconds      float64 `json:"seconds"`
	P50Seconds   float64 `json:"p50Seconds"`
	OverFloor    float64 `json:"overFloor"`
	// SourceSent is blocks that the DJ's daemon gave, SourceLine all that went
	// over its line, headers included; Duplicates is the share of received blocks
	// that had come already, all by their own account but the line.
	SourceSent float64 `json:"sourceSent"`
	SourceLine float64 `json:"sourceLine"`
	Duplicates float64 `json:"duplicates"`
	// ByBitswap is what of SourceSent went by bitswap; Rescued and Referred
	// are of all: blocks asked of one more, and wants that
	// were sent elsewhere; BySource is what venues received, by where from.
	ByBitswap float64            `json:"byBitswap"`
	Rescued   int64              `json:"rescued"`
	Referred  int64              `json:"referred"`
	BySource  map[string]float64 `json:"bySource"`
}

const (
	swarmNeighbours = 5
	swarmPort       = 4001
)

// crowd is what the stories of swarms differ in.
type crowd struct {
	size int64 // of the catalogue, in bytes of sound
	line netns.Line
	shut float64 // the share of venues that cannot be dialled
}

// swarm is of venues with equal uplinks. Two cores carry ten daemons at 500 kB/s
// each; at 2 MB/s they are measured, and not what goes over the lines.
func swarm(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	return crowd{10 << 20, netns.Line{Up: 500_000, Delay: 5 * time.Millisecond}, 0}.tell(ctx, cfg, dir)
}

// swarmShut is of venues that mostly sit behind firewalls, on lines as homes
// have them.
func swarmShut(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	return crowd{4 << 20, netns.Line{Up: 250_000, Down: 1_250_000, Delay: 10 * time.Millisecond}, .61}.tell(ctx, cfg, dir)
}

func (x crowd) tell(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	r := SwarmReport{Venues: 10, Neighbours: swarmNeighbours, Up: x.line.Up, Down: x.line.Down, DelayMs: float64(x.line.Delay.Milliseconds())}
	switch {
	case cfg.Nodes > 0:
		r.Venues = cfg.Nodes
	case cfg.Brief:
		r.Venues, x.size = 3, 1<<20
	}
	r.Undialable = int(x.shut*float64(r.Venues) + .5)
	c := &cast{program: cfg.Binary, dir: dir}
	defer c.leave()
	err := c.swarm(ctx, x, &r)
	switch {
	case err != nil || cfg.Brief:
	case r.SourceSent > 1.3:
		err = fmt.Errorf("the DJ sent the catalogue %.2f times", r.SourceSent)
	case r.OverFloor > 1.6:
		err = fmt.Errorf("it took %.2f times what the uplinks allow", r.OverFloor)
	case r.Duplicates > .05:
		err = fmt.Errorf("%.1f %% of the blocks came twice", 100*r.Duplicates)
	}
	return r, err
}

func (c *cast) swarm(ctx context.Context, x crowd, r *SwarmReport) error {
	wc := netns.Config{Boxes: []netns.BoxConfig{{Line: x.line}}, Seed: 1}
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, at := range rnd.Perm(r.Venues) {
		wc.Boxes = append(wc.Boxes, netns.BoxConfig{Line: x.line, Undialable: at < r.Undialable})
	}
	world, err := netns.Open(ctx, wc)
	if err != nil {
		return err
	}
	defer world.Close()
	music := filepath.Join(c.dir, "noise")
	if err := binary.Noise(music, x.size); err != nil {
		return err
	}
	enter := func(i int, name string) (*role, daemon.Identity, error) {
		x, id, err := c.enter(ctx, name)
		x.Within = world.Boxes[i].Within()
		x.listen = fmt.Sprintf("/ip4/%s/tcp/%d", world.Boxes[i].Addr(), swarmPort)
		return x, id, err
	}
	dj, id, err := enter(0, "dj")
	if err != nil {
		return err
	}
	if err := dj.must(ctx, nil, "publish", music); err != nil {
		return err
	}
	if err := dj.start(ctx); err != nil {
		return err
	}
	var venues []*role
	var reached []string // those of venues that can be dialled
	for i := range r.Venues {
		v, _, err := enter(i+1, fmt.Sprint("venue", i+1))
		if err != nil {
			return err
		}
		peers := []string{dj.addr()}
		for _, k := range rnd.Perm(len(reached))[:min(r.Neighbours, len(reached))] {
			peers = append(peers, reached[k])
		}
		if err := v.start(ctx, peers...); err != nil {
			return err
		}
		venues = append(venues, v)
		if !wc.Boxes[i+1].Undialable {
			reached = append(reached, v.addr())
		}
	}

	// All want everything.
	before, err := world.Boxes[0].Counters()
	if err != nil {
		return err
	}
	begin := time.Now()
	took := make([]float64, len(venues))
	var g errgroup.Group
	for i, v := range venues {
		g.Go(func() error {
			var f daemon.Followed
			if err := v.must(ctx, &f, "follow", id.Name, "--once", "--timeout", "5m"); err != nil {
				return err
			}
			took[i] = time.Since(begin).Seconds()
			if f.Missing != 0 || f.Held == 0 {
				return fmt.Errorf("%s holds %d tracks and misses %d", v.name, f.Held, f.Missing)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	after, err := world.Boxes[0].Counters()
	if err != nil {
		return err
	}
	var received, twice int64
	by := map[string]int64{}
	for _, v := range venues {
		var s daemon.Status
		if err := v.must(ctx, &s, "status"); err != nil {
			return err
		}
		received, twice = received+s.Traffic.Received, twice+s.Traffic.Duplicate
		r.Rescued, r.Referred = r.Rescued+s.Traffic.Rescued, r.Referred+s.Traffic.Referred
		for from, n := range s.Traffic.BySource {
			by[from] += n
		}
		r.Catalogue = s.Storage.Used
	}
	var s daemon.Status
	if err := dj.must(ctx, &s, "status"); err != nil {
		return err
	}
	whole := float64(r.Catalogue)
	r.FloorSeconds = whole / float64(r.Up) * max(1, float64(r.Undialable)/float64(r.Venues-r.Undialable+1))
	slices.Sort(took)
	r.Seconds, r.P50Seconds = took[len(took)-1], took[len(took)/2]
	r.OverFloor = r.Seconds / r.FloorSeconds
	r.ByBitswap, r.Referred = float64(s.Traffic.ByWay["bitswap"])/whole, r.Referred+s.Traffic.Referred
	r.BySource = map[string]float64{}
	for from, n := range by {
		r.BySource[from] = float64(n) / whole
	}
	r.SourceSent, r.SourceLine = float64(s.Traffic.Sent)/whole, float64(after.Sent-before.Sent)/whole
	r.Duplicates = float64(twice) / float64(max(1, received))
	return nil
}
