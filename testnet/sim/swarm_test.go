package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
	"playnode/testnet/sim"
)

// naive fills up from any neighbour that it is told has a block, some at a
// time: by an oracle, and with no thought for the source. It is what the world
// is tested by, and what a swarm has to beat.
type naive struct {
	world *holders
	node  *sim.Node
	local *sim.Store
	rand  *rand.Rand
	slots chan struct{}

	mu  sync.Mutex // guards what follows
	did fetch.Swarm
}

// holders is the oracle: who holds what.
type holders struct {
	mu sync.Mutex // guards of
	of map[cid.Cid]map[string]bool
}

const naiveBlock = "/sim/naive"

func (h *holders) fill(n *sim.Node, local *sim.Store, seed uint64) sim.Filler {
	f := &naive{world: h, node: n, local: local, rand: rand.New(rand.NewPCG(seed, 0)), slots: make(chan struct{}, 8)}
	n.Handle(naiveBlock, func(_ string, s node.Stream) {
		defer s.Close()
		want, err := io.ReadAll(s)
		if err != nil {
			return
		}
		c, _ := cid.Cast(want)
		if data, err := local.Read(context.Background(), c); err == nil {
			f.mu.Lock()
			f.did.Sent += int64(len(data))
			f.mu.Unlock()
			s.Write(data)
		}
	})
	return f
}

func (f *naive) Swarm() fetch.Swarm { f.mu.Lock(); defer f.mu.Unlock(); return f.did }
func (f *naive) Close() error       { return nil }

// Ask begins in no order: all asks wait a while first.
func (f *naive) Ask(ctx context.Context, c cid.Cid, w node.Want, done func([]byte, error)) {
	f.mu.Lock()
	after := time.Duration(f.rand.Int64N(int64(time.Second)))
	f.mu.Unlock()
	go func() {
		<-time.After(after)
		f.slots <- struct{}{}
		data, err := f.get(ctx, c)
		<-f.slots
		done(data, err)
	}()
}

func (f *naive) get(ctx context.Context, c cid.Cid) ([]byte, error) {
	for {
		var from []string
		f.world.mu.Lock()
		for _, p := range f.node.Connected() {
			if f.world.of[c] == nil || f.world.of[c][p] {
				from = append(from, p)
			}
		}
		f.world.mu.Unlock()
		if len(from) > 0 {
			f.mu.Lock()
			p := from[f.rand.IntN(len(from))]
			f.mu.Unlock()
			s, err := f.node.Open(ctx, p, naiveBlock)
			if err != nil {
				return nil, err
			}
			s.Write(c.Bytes())
			s.CloseWrite()
			data, err := io.ReadAll(s)
			s.Close()
			if b := node.NewBlock(cid.Raw, data); err == nil && b.CID == c {
				f.local.Put(ctx, b)
				f.mu.Lock()
				f.did.Received += int64(len(data))
				f.mu.Unlock()
				f.world.mu.Lock()
				if f.world.of[c] == nil {
					f.world.of[c] = map[string]bool{p: true}
				}
				f.world.of[c][f.node.ID()] = true
				f.world.mu.Unlock()
				return data, nil
			}
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// told runs a swarm in a bubble.
func told(t *testing.T, cfg sim.SwarmConfig) (r sim.SwarmReport) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = sim.Swarm(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	})
	b, _ := json.Marshal(r)
	t.Logf("in %.1f s: %s", time.Since(began).Seconds(), b)
	return r
}

// What the report says is what the world allows, whoever fills it: small blocks
// that stand for large ones, and large ones.
func TestReport(t *testing.T) {
	line := sim.Line{Up: 2_000_000, Down: 20_000_000, Delay: 5 * time.Millisecond}
	var before sim.SwarmReport
	for _, bytes := range []int{64 << 10, 64} {
		t.Run(fmt.Sprint(bytes), func(t *testing.T) {
			h := &holders{of: map[cid.Cid]map[string]bool{}}
			r := told(t, sim.SwarmConfig{Venues: 10, Blocks: 20, Size: 64 << 10, Bytes: bytes, Source: line, Venue: line, Undialable: .5, Fill: h.fill})
			if r.Undialable != 5 || r.Unfinished > 0 || r.Catalogue != 20*64<<10 {
				t.Errorf("%+v", r)
			}
			if r.FloorSeconds < .65 || r.FloorSeconds > .66 || r.OverFloor < 1 || r.Seconds < r.P50Seconds {
				t.Errorf("%.2f s, median %.2f, floor %.3f", r.Seconds, r.P50Seconds, r.FloorSeconds)
			}
			if r.SourceSent < 1 || r.SourceSent > 10 || r.SourceLine < r.SourceSent || r.SourceLine > 1.1*r.SourceSent {
				t.Errorf("the source sent %.2f of it, %.2f on the line", r.SourceSent, r.SourceLine)
			}
			if n := r.Classes["next"].Bytes + r.Classes["soon"].Bytes + r.Classes["later"].Bytes; n != 10*r.Catalogue {
				t.Errorf("%d bytes by class", n)
			}
			if before.Venues > 0 && (r.Seconds < .7*before.Seconds || r.Seconds > 1.4*before.Seconds) {
				t.Errorf("took %.2f s with %d bytes a block, %.2f with others", r.Seconds, bytes, before.Seconds)
			}
			before = r
		})
	}
}

// Venues on slow lines, most of which cannot be dialled, fill from one source,
// which sends little more than everything once. All have it, and nobody waits
// half a minute for a block.
func TestSlowLines(t *testing.T) {
	line := sim.Line{Up: 250_000, Down: 1_250_000, Delay: 10 * time.Millisecond}
	r := told(t, sim.SwarmConfig{Venues: 20, Blocks: 12, Source: line, Venue: line, Undialable: .61})
	if r.SourceSent > 1.5 || r.Duplicates > .1 || r.OverFloor > 2.5 || r.Unfinished > 0 || r.Stalls > 0 {
		t.Errorf("%+v", r)
	}
}

// A third of the swarm is hostile, each in its way. The others have everything,
// and nothing wrong, about as soon as if all were honest; who lies is asked no
// more after one block, and nobody is taken for a liar who is none.
func TestHostile(t *testing.T) {
	line := sim.Line{Up: 2_000_000, Delay: 5 * time.Millisecond}
	r := told(t, sim.SwarmConfig{Venues: 20, Source: line, Venue: line, Hostile: .3})
	if r.Hostile != 6 || r.Venues != 14 || r.Liars == 0 {
		t.Fatalf("nobody was hostile: %+v", r)
	}
	if r.Wrong > 0 || r.Innocent > 0 || r.Again > 0 || r.Unfinished > 0 || r.Stalls > 0 {
		t.Errorf("%+v", r)
	}
	if clean := 1.45; r.OverFloor > 1.4*clean {
		t.Errorf("it took %.2f times what the lines allow, and takes %.2f times without them", r.OverFloor, clean)
	}
}

// TestSwarm is no test but a measurement, for "make swarm": SWARM is its
// configuration as JSON, "{}" the smallest, SWARM_WORLDS of how many worlds it is, each
// with a seed of its own.
func TestSwarm(t *testing.T) {
	text, ok := os.LookupEnv("SWARM")
	if !ok {
		t.Skip("measured by make swarm")
	}
	var cfg sim.SwarmConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SWARM_FILL") == "naive" {
		cfg.Fill = (&holders{of: map[cid.Cid]map[string]bool{}}).fill
	}
	worlds, _ := strconv.Atoi(os.Getenv("SWARM_WORLDS"))
	for seed := range uint64(max(1, worlds)) {
		t.Run(fmt.Sprint(cfg.Seed+seed), func(t *testing.T) {
			t.Parallel()
			one := cfg
			one.Seed += seed
			told(t, one)
		})
	}
}

// steps are what package follow reads of a version of two tracks before it knows
// of all that is in it: from the head to the lists of tracks, mailboxes, what is
// sealed of the tracks, and their trees.
var steps = [][]int{
	{165}, {198}, {165}, {1528}, {169}, {739}, {54}, {49}, {249}, {205_659}, {1064}, {4136, 4136}, {2058, 2058}, {2983, 2983},
}

// A version's records come in one answer, and what is large of them goes to one,
// as everything does: ten venues that come at once and ask for them have the DJ
// send them once, and the rest from one another.
func TestRecordsGoOnce(t *testing.T) {
	line := sim.Line{Up: 250_000, Down: 1_250_000, Delay: 10 * time.Millisecond}
	var sent, over float64
	const worlds = 3
	for seed := range uint64(worlds) {
		r := told(t, sim.SwarmConfig{Venues: 10, Blocks: 33, Size: 128 << 10, Steps: steps, Source: line, Venue: line, Undialable: .7, Seed: seed})
		if r.Unfinished > 0 || r.Duplicates > .05 {
			t.Errorf("%+v", r)
		}
		sent, over = sent+r.SourceSent/worlds, over+r.OverFloor/worlds
	}
	t.Logf("the source sent %.2f catalogues, the last venue was done after %.2f times what the lines allow", sent, over)
	if sent > 1.3 || over > 1.5 {
		t.Errorf("the source sent %.2f catalogues, the last venue was done after %.2f times what the lines allow", sent, over)
	}
}

// TestMostlyShut: where six of ten cannot be dialled, and know only who came before them,
// all four that can be give to all six: one whose line idled was heard of by one of them,
// or had been tried in the moment in which it tried them.
func TestMostlyShut(t *testing.T) {
	line := sim.Line{Up: 235_000, Down: 1_175_000, Delay: 10 * time.Millisecond}
	var over, worst, twice float64
	const worlds = 8
	for seed := range uint64(worlds) {
		r := told(t, sim.SwarmConfig{Venues: 10, Blocks: 33, Size: 128 << 10, Steps: steps, Source: line, Venue: line, Undialable: .61, Seed: seed, Real: true})
		if r.Unfinished > 0 || r.SourceSent > 1.3 || r.Duplicates > .08 {
			t.Errorf("%+v", r)
		}
		over, worst, twice = over+r.OverFloor/worlds, max(worst, r.OverFloor), twice+r.Duplicates/worlds
	}
	t.Logf("%.2f times what the lines allow, %.2f at worst; %.3f came twice", over, worst, twice)
	if twice > .05 {
		t.Errorf("%.3f of all came twice", twice)
	}
	if over > 1.3 || worst > 1.4 {
		t.Errorf("it took %.2f times what the lines allow, %.2f at worst", over, worst)
	}
}

// TestBeside is no test but a measurement, for "make swarm": the story of a
// report of "playnode testnet run swarm", which SWARM_BESIDE names, told here,
// and how far both are apart.
func TestBeside(t *testing.T) {
	file, ok := os.LookupEnv("SWARM_BESIDE")
	if !ok {
		t.Skip("measured by make swarm")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var results []struct {
		Scenario string
		Report   struct {
			Venues, Undialable, Neighbours int
			CatalogueBytes                 int64
			UpBytes, DownBytes             int64
			DelayMs, Seconds, P50Seconds   float64
			SourceSent, SourceLine         float64
		}
	}
	if err := json.Unmarshal(text, &results); err != nil || len(results) == 0 {
		t.Fatal("no report: ", err)
	}
	var records int64
	for _, size := range slices.Concat(steps...) {
		records += int64(size)
	}
	for _, x := range results {
		real := x.Report
		// Headers and acknowledgements weigh nothing here; they have what they have
		// of the real source's line.
		free := func(bytes int64) int64 { return int64(float64(bytes) * real.SourceSent / real.SourceLine) }
		line := sim.Line{Up: free(real.UpBytes), Down: free(real.DownBytes), Delay: time.Duration(real.DelayMs * float64(time.Millisecond))}
		var simulated [3]float64 // the mean of some worlds
		const worlds = 3
		for seed := range uint64(worlds) {
			r := told(t, sim.SwarmConfig{
				Venues: real.Venues, Blocks: int((real.CatalogueBytes - records) >> 18), Steps: steps, Neighbours: real.Neighbours, Source: line, Venue: line,
				Undialable: float64(real.Undialable) / float64(real.Venues), Seed: seed, Real: true,
			})
			for i, v := range []float64{r.Seconds, r.P50Seconds, r.SourceSent} {
				simulated[i] += v / worlds
			}
		}
		for i, v := range []float64{real.Seconds, real.P50Seconds, real.SourceSent} {
			t.Logf("%s, %s: real %.2f, simulated %.2f, %+.0f %%", x.Scenario, []string{"last venue, s", "median venue, s", "source sends"}[i], v, simulated[i], 100*(simulated[i]/v-1))
		}
	}
}
