package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
)

// mark begins every block of a swarm. In its place a block of a real size has
// it too.
const mark = "\x00playnode/sim\x00"

// Filler is what brings a node its blocks; *fetch.Scheduler is one.
type Filler interface {
	// Ask calls done once with the block, when it is held here, or an error.
	Ask(ctx context.Context, c cid.Cid, w node.Want, done func(data []byte, err error))
	// Swarm is what it has given and received.
	Swarm() fetch.Swarm
	Close() error
}

// Grower brings a node what is small of a graph at once; *fetch.Bulk is one.
type Grower interface {
	// Trees has blocks below root here, as far as they come within most bytes.
	Trees(ctx context.Context, root cid.Cid, most int64, each func(c cid.Cid, size int)) error
}

const (
	// glimpse and firstBytes bound what a venue asks of a tree, as package follow
	// has them.
	glimpse, firstBytes = 2 * time.Second, 16 << 20
)

// SwarmConfig is one source that has everything and venues that want it all.
// A zero value means what is in parentheses.
type SwarmConfig struct {
	Venues, Blocks int // (20) (40)
	// Size is what a block weighs on the line (256 KiB), Bytes what it has here
	// (Size). Fewer save the machine's time, for a Fill that counts blocks; package
	// fetch goes by bytes a second, and on slow lines it is another story with any
	// but real sizes.
	Size, Bytes int
	// Steps are records, by their sizes in bytes, that a venue wants before it
	// knows of the rest: those of one step at once, and the steps one after the
	// other, each named by the first of the step before, at most 22 of them. It asks a peer for the
	// tree of them first, as package follow does, and then wants the rest for later.
	Steps [][]int
	// Source and Venue are their lines.
	Source, Venue Line
	// Undialable is the share of venues, from 0 to 1, that none can dial.
	Undialable float64
	// Hostile is the share of venues, from 0 to 1, that give wrong bytes, half
	// blocks and false promises, or flood, in equal parts, and all take what
	// they can. The others are counted.
	Hostile float64
	// Neighbours is how many other venues each one dials (5); all dial the
	// source.
	Neighbours int
	// Real is that they know one another as in "playnode testnet run swarm": each those
	// that came before it and can be dialled, and have Firewalls.
	Real bool
	// Within is the time in which all come (at once).
	Within time.Duration
	// Limit is when what is missing is not waited for any more (ten times the
	// floor, and a minute).
	Limit time.Duration
	// Seed draws who knows whom.
	Seed uint64
	// Fill opens what brings a node its blocks (package fetch). A Filler may be a
	// Grower.
	Fill func(n *Node, local *Store, seed uint64) Filler `json:"-"`
}

// stalled is how long without a block a venue that misses some is said to
// stall.
const stalled = 30 * time.Second

// settling is how long all have been here before they want anything, where they are
// Real.
const settling = 5 * time.Second

// SwarmReport is how it went. Shares and multiples are of the catalogue, which
// is Blocks times Size.
type SwarmReport struct {
	Venues     int   `json:"venues"`
	Undialable int   `json:"undialable"`
	Catalogue  int64 `json:"catalogueBytes"`
	// FloorSeconds is what the lines allow: the source sends everything once, all
	// uplinks together send what all venues take, and those that can be dialled
	// what the others take.
	FloorSeconds float64 `json:"floorSeconds"`
	// Seconds is until the last venue had everything, P50Seconds the median
	// venue; OverFloor is Seconds by FloorSeconds.
	Seconds    float64 `json:"seconds"`
	P50Seconds float64 `json:"p50Seconds"`
	OverFloor  float64 `json:"overFloor"`
	// SourceSent is the blocks that the source gave, SourceLine all that went
	// over its uplink.
	SourceSent float64 `json:"sourceSent"`
	SourceLine float64 `json:"sourceLine"`
	// Duplicates is the share of received block bytes that had come already.
	Duplicates float64 `json:"duplicates"`
	// Hostile is how many venues are, and not counted among Venues. Wrong blocks
	// are those that a venue took for right, Liars the times that one dropped a
	// peer for wrong bytes, Innocent those of them that met an honest one, and
	// Again the times that one that was dropped was asked once more.
	Hostile  int `json:"hostile,omitempty"`
	Wrong    int `json:"wrong,omitempty"`
	Liars    int `json:"liars,omitempty"`
	Innocent int `json:"innocent,omitempty"`
	Again    int `json:"again,omitempty"`
	// Frames is what a node said to others, on average, but blocks, ChatterBytes
	// what that was.
	Frames       float64 `json:"frames"`
	ChatterBytes float64 `json:"chatterBytes"`
	// Unfinished venues missed something at the limit. Stalls are gaps of more
	// than 30 s, LongestGap the longest.
	Unfinished int     `json:"unfinished"`
	Stalls     int     `json:"stalls"`
	LongestGap float64 `json:"longestGapSeconds"`
	// Classes is what was wanted by class, by all venues.
	Classes map[string]ClassReport `json:"classes"`
}

// ClassReport is of what was wanted for one class: its bytes, and when the
// median and the 95th of 100 venues had all of it, from when it came.
type ClassReport struct {
	Bytes      int64   `json:"bytes"`
	P50Seconds float64 `json:"p50Seconds"`
	P95Seconds float64 `json:"p95Seconds"`
}

func (c *SwarmConfig) complete() {
	set := func(v *int, zero int) {
		if *v == 0 {
			*v = zero
		}
	}
	set(&c.Venues, 20)
	set(&c.Blocks, 40)
	set(&c.Size, 256<<10)
	set(&c.Bytes, c.Size)
	set(&c.Neighbours, 5)
	c.Bytes = max(c.Bytes, len(mark)+8)
	if c.Limit == 0 {
		c.Limit = c.Within + time.Minute + time.Duration(10*c.floor()*float64(time.Second))
	}
	if c.Fill == nil {
		c.Fill = func(n *Node, local *Store, seed uint64) Filler {
			meet := func(ctx context.Context, addr, _ string) error { return n.Connect(ctx, addr) }
			s := fetch.New(fetch.Config{
				Local: local, Streams: n, Peers: n, Meet: meet, Dialled: n.Dialled,
				Now: time.Now, After: time.After, Rand: rand.New(rand.NewPCG(seed, 0)),
			})
			return struct {
				*fetch.Scheduler
				*fetch.Bulk
			}{s, fetch.NewBulk(s)}
		}
	}
}

// whole is the catalogue in bytes, if a block has so many.
func (c *SwarmConfig) whole(size int) int64 {
	n := int64(c.Blocks) * int64(size)
	for _, step := range c.Steps {
		for _, size := range step {
			n += int64(size)
		}
	}
	return n
}

// wanted is one block that venues want.
type wanted struct {
	node.Block
	class node.Class
}

// wants are all that there is, step by step.
func (c *SwarmConfig) wants() (steps [][]wanted) {
	n := uint64(0)
	var rest []wanted
	for i := range c.Blocks {
		class := node.Later
		if len(c.Steps) == 0 {
			class = classOf(i, c.Blocks)
		}
		data := make([]byte, c.Bytes)
		binary.BigEndian.PutUint64(data[copy(data, mark):], n)
		n++
		rest = append(rest, wanted{node.NewBlock(cid.Raw, data), class})
	}
	var below []wanted
	for _, sizes := range slices.Backward(c.Steps) {
		var step []wanted
		for i, size := range sizes {
			if i > 0 {
				below = nil
			}
			n++
			step = append(step, wanted{record(n, size, below), node.Next})
		}
		below = step
		steps = append(steps, step)
	}
	slices.Reverse(steps)
	return append(steps, rest)
}

// record is the n-th block, of about size bytes, that links to those below: in
// DAG-CBOR, a list of links and of bytes.
func record(n uint64, size int, below []wanted) node.Block {
	if len(below) > 22 {
		panic("a record with more links than its first byte can tell")
	}
	data := []byte{0x80 | byte(len(below)+1)}
	for _, x := range below {
		c := x.CID.Bytes()
		data = append(append(data, 0xd8, 42, 0x58, byte(len(c)+1), 0), c...)
	}
	pad := max(8, size-len(data)-5)
	data = binary.BigEndian.AppendUint32(append(data, 0x5a), uint32(pad))
	return node.NewBlock(cid.DagCBOR, append(binary.BigEndian.AppendUint64(data, n), make([]byte, pad-8)...))
}

// shut is how many venues none can dial.
func (c *SwarmConfig) shut() int { return int(c.Undialable*float64(c.Venues) + .5) }

// floor is in seconds.
func (c *SwarmConfig) floor() float64 {
	whole := float64(c.whole(c.Size))
	floor := 0.
	if c.Source.Up > 0 {
		floor = max(floor, whole/float64(c.Source.Up))
		if c.Venue.Up > 0 {
			up := func(venues int) float64 { return float64(c.Source.Up + c.Venue.Up*int64(venues)) }
			floor = max(floor, whole*float64(c.Venues)/up(c.Venues), whole*float64(c.shut())/up(c.Venues-c.shut()))
		}
	}
	if c.Venue.Down > 0 {
		floor = max(floor, whole/float64(c.Venue.Down))
	}
	return floor
}

// classOf is what block i of n is wanted for: the first ones are heads, half of
// the rest is today's.
func classOf(i, n int) node.Class {
	switch {
	case i < max(1, n/20):
		return node.Next
	case i < n/2:
		return node.Soon
	}
	return node.Later
}

var classNames = map[node.Class]string{node.Next: "next", node.Soon: "soon", node.Later: "later"}

// venue is one that fills up.
type venue struct {
	node   *Node
	local  *Store
	filler Filler

	mu   sync.Mutex // guards what follows
	came time.Time
	last time.Time // when a block came
	gap  time.Duration
	gaps int
	left map[node.Class]int
	done map[node.Class]time.Duration
}

// Swarm tells the story once. It has to run where time is virtual, in a bubble
// of testing/synctest, or it takes as long as it says.
func Swarm(ctx context.Context, cfg SwarmConfig) (SwarmReport, error) {
	cfg.complete()
	wc := Config{}
	if cfg.Bytes < cfg.Size {
		wc = Config{Mark: []byte(mark), Heavy: cfg.Bytes, Weight: int64(cfg.Size / cfg.Bytes)}
	}
	wc.Firewalls = cfg.Real
	w := NewWorld(wc)
	rnd := rand.New(rand.NewPCG(cfg.Seed, 1))
	steps := cfg.wants()
	var blocks []node.Block
	for _, x := range slices.Concat(steps...) {
		blocks = append(blocks, x.Block)
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Limit)
	defer cancel()
	source := w.Node(NodeConfig{Name: "source", Line: cfg.Source})
	defer source.Close()
	store := w.NewStore()
	if err := store.Put(ctx, blocks...); err != nil {
		return SwarmReport{}, err
	}
	giver := cfg.Fill(source, store, cfg.Seed)
	defer giver.Close()

	var venues []*venue
	var enemies []*hostile
	all := make([]*Node, cfg.Venues)
	r := SwarmReport{Hostile: int(cfg.Hostile*float64(cfg.Venues) + .5), Undialable: cfg.shut(), Catalogue: cfg.whole(cfg.Size), FloorSeconds: cfg.floor(), Classes: map[string]ClassReport{}}
	r.Venues = cfg.Venues - r.Hostile
	for i, at := range rnd.Perm(cfg.Venues) {
		n := w.Node(NodeConfig{Name: fmt.Sprint("venue", i), Line: cfg.Venue, Undialable: at < cfg.shut()})
		defer n.Close()
		all[i] = n
		if i < r.Hostile {
			enemies = append(enemies, newHostile(n, i%manners, blocks))
			continue
		}
		v := &venue{node: n, local: w.NewStore(), left: map[node.Class]int{}, done: map[node.Class]time.Duration{}}
		v.filler = cfg.Fill(n, v.local, cfg.Seed+uint64(i)+1)
		defer v.filler.Close()
		venues = append(venues, v)
	}
	begin := time.Now()
	if cfg.Real {
		begin = begin.Add(settling)
	}
	var wg sync.WaitGroup
	for i, n := range all {
		var know []string
		for _, o := range rnd.Perm(cfg.Venues)[:min(cfg.Neighbours, cfg.Venues)] {
			know = append(know, all[o].Addrs()[0])
		}
		if cfg.Real {
			know = nil
			for _, o := range rnd.Perm(i) {
				if !all[o].Undialable && len(know) < cfg.Neighbours {
					know = append(know, all[o].Addrs()[0])
				}
			}
		}
		wait := time.Duration(0)
		if cfg.Within > 0 {
			wait = time.Duration(rnd.Int64N(int64(cfg.Within)))
		}
		wg.Go(func() {
			pause(ctx, wait)
			connect(ctx, n, source.Addrs()[0], know)
			if cfg.Real {
				pause(ctx, settling-wait)
			}
			if i >= r.Hostile {
				venues[i-r.Hostile].come(ctx, steps)
			}
		})
	}
	wg.Wait()
	r.sum(cfg, venues, begin)
	r.judge(enemies, venues, blocks)
	given := giver.Swarm()
	r.Frames += float64(given.Frames) / float64(r.Venues+1)
	r.ChatterBytes += float64(given.Words) / float64(r.Venues+1)
	r.SourceSent = float64(given.Sent) / float64(cfg.whole(cfg.Bytes))
	r.SourceLine = float64(source.Carried().Sent) / float64(r.Catalogue)
	return r, nil
}

// pause lets so much time of the world pass, unless it ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// connect has n connect to the source, and to those that it knows.
func connect(ctx context.Context, n *Node, source string, know []string) {
	for _, o := range know {
		// Who cannot be dialled is not waited for.
		go n.Connect(ctx, o)
	}
	n.Connect(ctx, source)
}

// come has a venue ask for everything, and wait for it.
func (v *venue) come(ctx context.Context, steps [][]wanted) {
	v.came = time.Now()
	v.last = v.came
	for _, x := range slices.Concat(steps...) {
		v.left[x.class]++
	}
	if g, ok := v.filler.(Grower); ok && len(steps) > 1 {
		within, cancel := context.WithTimeout(ctx, glimpse)
		g.Trees(within, steps[0][0].CID, firstBytes, nil) // what does not come is asked for
		cancel()
	}
	for _, step := range steps {
		var all sync.WaitGroup
		for _, x := range step {
			all.Add(1)
			v.filler.Ask(ctx, x.CID, node.Want{Class: x.class}, func(_ []byte, err error) {
				defer all.Done()
				v.got(x.class, err)
			})
		}
		all.Wait()
	}
}

// got counts a block that has come, or has not.
func (v *venue) got(k node.Class, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	gap := now.Sub(v.last)
	v.gap = max(v.gap, gap)
	if gap > stalled {
		v.gaps++
	}
	v.last = now
	if err != nil {
		return
	}
	if v.left[k]--; v.left[k] == 0 {
		v.done[k] = now.Sub(v.came)
	}
}

// sum is what the venues have to say.
func (r *SwarmReport) sum(cfg SwarmConfig, venues []*venue, begin time.Time) {
	var ends []float64
	took := map[node.Class][]float64{}
	var received, twice int64
	for _, v := range venues {
		v.mu.Lock()
		whole := true
		for k, left := range v.left {
			if left > 0 {
				whole = false
			} else {
				took[k] = append(took[k], v.done[k].Seconds())
			}
		}
		if whole {
			ends = append(ends, v.last.Sub(begin).Seconds())
		} else {
			r.Unfinished++
		}
		r.Stalls += v.gaps
		r.LongestGap = max(r.LongestGap, v.gap.Seconds())
		v.mu.Unlock()
		s := v.filler.Swarm()
		received, twice = received+s.Received, twice+s.Duplicate
		r.Frames += float64(s.Frames) / float64(r.Venues+1)
		r.ChatterBytes += float64(s.Words) / float64(r.Venues+1)
	}
	r.Seconds, r.P50Seconds = quantile(ends, 1), quantile(ends, .5)
	if r.FloorSeconds > 0 {
		r.OverFloor = r.Seconds / r.FloorSeconds
	}
	if received > 0 {
		r.Duplicates = float64(twice) / float64(received)
	}
	bytes := map[node.Class]int64{}
	for _, x := range slices.Concat(cfg.wants()...) {
		size := len(x.Data)
		if x.CID.Prefix().Codec == cid.Raw {
			size = cfg.Size
		}
		bytes[x.class] += int64(size) * int64(r.Venues)
	}
	for k, name := range classNames {
		r.Classes[name] = ClassReport{Bytes: bytes[k], P50Seconds: quantile(took[k], .5), P95Seconds: quantile(took[k], .95)}
	}
}

// quantile is the value below which a share q of v lies.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[int(q*float64(len(v)-1)+.5)]
}
