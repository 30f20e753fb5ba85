package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/bench/stock"
	"playnode/ipns"
	"playnode/node"
	"playnode/node/embedded"
)

const (
	// followers subscribe before an update; racers, half of them, join while
	// one is under way.
	followers, racers = 20, 50
	// updates is how often a name is published.
	updates = 30
	// tooLate is when an update is not waited for any more.
	tooLate = 20 * time.Second
)

// crowd is a DJ and followers on loopback, one way or the other. Follower i
// joins when it is told to, by connecting to the DJ and two other followers.
type crowd struct {
	join    func(ctx context.Context, i int) error
	publish func(ctx context.Context, n int) error
	heard   chan arrival
	close   func()
}

// arrival says that follower i had update n.
type arrival struct {
	i, n int
	at   time.Time
}

// names measures how an update of a name comes to its followers.
func (r *runner) names() error {
	for what, open := range map[string]func(int) (*crowd, error){"ours": r.ourSwarm, "stock": stockSwarm} {
		if err := r.subscribed(what, open); err != nil {
			return fmt.Errorf("names, %s: %w", what, err)
		}
		for range r.Rounds {
			if err := r.racing(what, open); err != nil {
				return fmt.Errorf("names, %s, racing: %w", what, err)
			}
		}
	}
	if err := r.inDHT(); err != nil {
		return fmt.Errorf("names, DHT: %w", err)
	}
	return r.newVenue()
}

// update publishes n and keeps under name how long it took to come to all who
// count, since it was published or they had begun to join.
func (r *runner) update(s *crowd, n int, since map[int]time.Time, name string) error {
	start := time.Now()
	if err := s.publish(r.ctx, n); err != nil {
		return err
	}
	end := time.After(tooLate)
	for left := len(since); left > 0; {
		select {
		case a := <-s.heard:
			began, ok := since[a.i]
			if !ok || a.n != n {
				continue
			}
			delete(since, a.i)
			left--
			if began.Before(start) {
				began = start
			}
			if name != "" {
				r.keep(name, float64(a.at.Sub(began).Microseconds())/1000)
			}
		case <-end:
			for range since {
				r.keep(name+" missing", 1)
				r.keep(name, float64(tooLate.Milliseconds()))
			}
			return nil
		}
	}
	return nil
}

func everyone(n int) map[int]time.Time {
	all := map[int]time.Time{}
	for i := range n {
		all[i] = time.Time{}
	}
	return all
}

func (r *runner) subscribed(what string, open func(int) (*crowd, error)) error {
	s, err := open(followers)
	if err != nil {
		return err
	}
	defer s.close()
	for i := range followers {
		if err := s.join(r.ctx, i); err != nil {
			return err
		}
	}
	for n := range updates + 1 {
		name := "update " + what
		if n == 0 {
			name = "" // the first finds them still shaking hands
		}
		if err := r.update(s, n+1, everyone(followers), name); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "  update %-21s p50 %.1f ms, p99 %.1f ms\n", what, r.median("update "+what), r.quantile("update "+what, .99))
	return nil
}

// racing has half of the followers join within a second around an update.
func (r *runner) racing(what string, open func(int) (*crowd, error)) error {
	s, err := open(racers)
	if err != nil {
		return err
	}
	defer s.close()
	for i := range racers / 2 {
		if err := s.join(r.ctx, i); err != nil {
			return err
		}
	}
	if err := r.update(s, 1, everyone(racers/2), ""); err != nil {
		return err
	}
	since := everyone(racers)
	var mu sync.Mutex // guards errs
	var errs []error
	var wg sync.WaitGroup
	begin := time.Now()
	for i := racers / 2; i < racers; i++ {
		wait := time.Duration(rand.Int64N(int64(time.Second)))
		since[i] = begin.Add(wait)
		wg.Go(func() {
			select {
			case <-time.After(time.Until(begin.Add(wait))):
			case <-r.ctx.Done():
			}
			if err := s.join(r.ctx, i); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	<-time.After(time.Until(begin.Add(time.Second / 2)))
	name := "racing " + what
	err = r.update(s, 2, since, name)
	wg.Wait()
	if len(errs) > 0 {
		return errs[0]
	}
	fmt.Fprintf(os.Stderr, "  racing %-21s max %.1f ms, %d missing\n", what, r.quantile(name, 1), len(r.taken[name+" missing"]))
	return err
}

func (r *runner) inDHT() error {
	d, err := stock.NewDHT(r.ctx, followers)
	if err != nil {
		return err
	}
	defer d.Close()
	key, name, err := newName()
	if err != nil {
		return err
	}
	for n := range updates {
		rec, err := ipns.Sign(key, target(n), uint64(n+1), time.Now().Add(time.Hour))
		if err != nil {
			return err
		}
		if err := r.took("DHT put", func() error { return d.Put(r.ctx, name.RoutingKey(), rec.Raw) }); err != nil {
			return err
		}
		if err := r.took("DHT get", func() error {
			raw, err := d.Get(r.ctx, 1+n%(followers-1), name.RoutingKey())
			if err == nil && !bytes.Equal(raw, rec.Raw) {
				err = fmt.Errorf("an older record")
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// newVenue connects a box that has nothing to one follower and resolves.
func (r *runner) newVenue() error {
	key, name, err := newName()
	if err != nil {
		return err
	}
	f, err := r.ourPeer()
	if err != nil {
		return err
	}
	defer f.close()
	if _, _, err := f.names.Publish(r.ctx, key, target(0), 0, time.Now().Add(time.Hour)); err != nil {
		return err
	}
	for range updates {
		v, err := r.ourPeer()
		if err != nil {
			return err
		}
		err = r.took("resolve", func() error {
			if err := v.node.Connect(r.ctx, f.node.Addrs()[0]); err != nil {
				return err
			}
			_, err := v.names.Resolve(r.ctx, name)
			return err
		})
		v.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// took is time, in milliseconds and without a word.
func (r *runner) took(name string, f func() error) error {
	start := time.Now()
	err := f()
	r.keep(name, float64(time.Since(start).Microseconds())/1000)
	return err
}

func newName() (ed25519.PrivateKey, ipns.Name, error) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, "", err
	}
	name, err := ipns.NameOf(pub)
	return key, name, err
}

func target(n int) cid.Cid { return node.NewBlock(cid.Raw, fmt.Append(nil, n)).CID }

// rows is an ipns.Store in memory: the stock peers keep theirs there as well.
type rows struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (r *rows) Get(key string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.m[key], nil
}

func (r *rows) Put(key string, value []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[key] = value
	return nil
}

// ourPeer is an embedded node and the names on it.
type ourPeer struct {
	node  *embedded.Node
	names *ipns.Namer
	run   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

func (r *runner) ourPeer() (*ourPeer, error) {
	_, id, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.dir, "peer")
	if err != nil {
		return nil, err
	}
	n, err := embedded.New(r.ctx, embedded.Config{
		Dir: filepath.Join(dir, "node"), Identity: id, Network: embedded.None, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		return nil, err
	}
	p := &ourPeer{node: n}
	if p.names, err = ipns.New(ipns.Config{Store: &rows{m: map[string][]byte{}}, Now: time.Now, Peers: n, Topics: n}); err != nil {
		n.Close()
		return nil, err
	}
	p.run, p.stop = context.WithCancel(context.Background())
	return p, nil
}

func (p *ourPeer) start() { p.wg.Go(func() { p.names.Run(p.run) }) }

func (p *ourPeer) close() {
	p.stop()
	p.names.Close()
	p.node.Close()
	p.wg.Wait()
}

func (r *runner) ourSwarm(size int) (*crowd, error) {
	key, name, err := newName()
	if err != nil {
		return nil, err
	}
	var peers []*ourPeer
	s := &crowd{heard: make(chan arrival, 1000*size), close: func() {
		var wg sync.WaitGroup
		for _, p := range peers {
			wg.Go(p.close)
		}
		wg.Wait()
	}}
	for range size + 1 { // the last is the DJ
		p, err := r.ourPeer()
		if err != nil {
			s.close()
			return nil, err
		}
		peers = append(peers, p)
	}
	dj := peers[size]
	dj.start()
	s.publish = func(ctx context.Context, n int) error {
		_, _, err := dj.names.Publish(ctx, key, target(n), uint64(n), time.Now().Add(time.Hour))
		return err
	}
	s.join = func(ctx context.Context, i int) error {
		p := peers[i]
		p.names.Watch(name, func(rec ipns.Record) { s.heard <- arrival{i, int(rec.Seq), time.Now()} })
		p.start()
		for _, o := range []*ourPeer{dj, peers[(i+1)%size], peers[(i+7)%size]} {
			if err := p.node.Connect(ctx, o.node.Addrs()[0]); err != nil {
				return err
			}
		}
		return nil
	}
	return s, nil
}

func stockSwarm(size int) (*crowd, error) {
	key, name, err := newName()
	if err != nil {
		return nil, err
	}
	var peers []*stock.Peer
	s := &crowd{heard: make(chan arrival, 1000*size), close: func() {
		for _, p := range peers {
			p.Close()
		}
	}}
	for i := range size + 1 { // the last is the DJ
		seen := map[string]bool{}
		var mu sync.Mutex // guards seen
		p, err := stock.NewPeer(func(value []byte) {
			at := time.Now()
			mu.Lock()
			again := seen[string(value)]
			seen[string(value)] = true
			mu.Unlock()
			if rec, err := ipns.Open(name, value); err == nil && !again && i < size {
				s.heard <- arrival{i, int(rec.Seq), at}
			}
		})
		if err != nil {
			s.close()
			return nil, err
		}
		peers = append(peers, p)
	}
	dj := peers[size]
	s.publish = func(ctx context.Context, n int) error {
		rec, err := ipns.Sign(key, target(n), uint64(n), time.Now().Add(time.Hour))
		if err != nil {
			return err
		}
		return dj.Publish(ctx, name.RoutingKey(), rec.Raw)
	}
	s.join = func(ctx context.Context, i int) error {
		if err := peers[i].Subscribe(name.RoutingKey()); err != nil {
			return err
		}
		for _, o := range []*stock.Peer{dj, peers[(i+1)%size], peers[(i+7)%size]} {
			if err := peers[i].Connect(ctx, o); err != nil {
				return err
			}
		}
		return nil
	}
	return s, nil
}

// namesPage is the section of names.
func (r *runner) namesPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "Peers on loopback in one process. Milliseconds from publishing until a follower has verified the record: %d followers that had subscribed, %d updates; then %d, of whom half\njoin within a second around the update (from when they began to), %d rounds. Beside them stock pubsub as Kubo sets it up, and a DHT, which tells nobody: its followers must ask.\n\n",
		followers, updates, racers, r.Rounds)
	fmt.Fprintf(b, "| | p50 ms | p99 ms | max ms | never within %.0f s |\n|---|---:|---:|---:|---:|\n", tooLate.Seconds())
	for _, row := range [][2]string{
		{"update ours", "playnode, subscribed"}, {"update stock", "stock IPNS over pubsub, subscribed"},
		{"racing ours", "playnode, joins racing the update"}, {"racing stock", "stock IPNS over pubsub, joins racing the update"},
		{"DHT put", "a DHT of 20: put"}, {"DHT get", "a DHT of 20: get"},
		{"resolve", "a new venue connects to a follower and resolves"},
	} {
		fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %d of %d |\n", row[1], r.median(row[0]), r.quantile(row[0], .99), r.quantile(row[0], 1),
			len(r.taken[row[0]+" missing"]), len(r.taken[row[0]]))
	}
	var goals []goal
	for _, g := range []struct {
		want     string
		ms, most float64
	}{
		{"an update reaches 20 subscribed followers in at most 100 ms (p99)", r.quantile("update ours", .99), 100},
		{"and 50, joins racing it included, in at most 2 s (max)", r.quantile("racing ours", 1), 2000},
		{"a new venue resolves from a peer in less than 100 ms (p99)", r.quantile("resolve", .99), 100},
	} {
		goals = append(goals, goal{g.want, fmt.Sprintf("%.0f ms", g.ms), g.ms <= g.most})
	}
	writeGoals(b, goals...)
}
