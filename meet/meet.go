// Package meet has the followers of a name find one another: each connected
// peer is asked whom else it knows that follows what we follow, and some of
// those are dialled, until every name has neighbours enough.
//
// What comes in: names that are followed here, and from peers signed records of
// where others can be reached. What goes out: connections, and to peers that
// follow the same name the records of others that do. What is trusted: a record
// of the peer that signed it, and nothing else that a peer says. That a peer
// knows a name is proved, that it follows it cannot be; a peer that does not
// know a name learns nothing about who follows it.
package meet

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// Store keeps records of peers over a restart; internal/repo's Bucket
// satisfies it.
type Store interface {
	Get(key string) ([]byte, error)     // nil, nil when absent
	Put(key string, value []byte) error // durable when it returns
}

// Config is what a Meeting needs. All from Finder on are optional.
type Config struct {
	Streams node.Streams
	Peers   node.Peers
	Records node.Records
	Company node.Company
	Reach   node.Reach
	// Names are those that are followed here, as text, now.
	Names func() []string
	Now   func() time.Time

	// Finder, where there is one, is asked who else holds the Head of a name,
	// which is the newest that is known here, held or not.
	Finder node.Finder
	Head   func(name string) cid.Cid
	// Store keeps those met, to be dialled after a restart.
	Store Store
	// Met, when set, is told of each peer that has proved that it knows a name,
	// when it first does, in a goroutine of its own.
	Met func(peer string)
	// Quiet gives no record of our own: we ask, and are not sent others.
	Quiet bool
	// Degree is how many neighbours a name is to have; 0 means 8.
	Degree int
	// Every is how often it is looked whether they are enough; 0 means a
	// minute.
	Every time.Duration
	Log   *slog.Logger
}

const (
	// distant is how many of a name's neighbours are sought away from this
	// building, so that those within never part from the rest.
	distant = 2
	// lasting is how long a peer counts as a follower since it proved that it
	// knows the name, and is introduced to others.
	lasting = time.Hour
	// gathering is how long after a name is first followed who is connected counts
	// as one who follows it: many do that come at once, and begin a moment after, and
	// each dial too many is a connection that stays.
	gathering = 2 * time.Second
	// anew is how often a peer is asked again, so that both stay known;
	// hungry how often while a name lacks neighbours.
	anew, hungry = 10 * time.Minute, time.Minute
	// keeping is how often who was met is written at the most, before the end.
	keeping = 10 * time.Second
	// maxMet bounds who is known as follower of one name, maxTold who was
	// only told of, maxToldBy how many of them by one peer.
	maxMet, maxTold, maxToldBy = 256, 64, 16
	// maxNames bounds the names of one box that take part.
	maxNames = 1024
	// asking and dialling bound what is under way at once.
	asking, dialling = 8, 4
	// tries is how often one is dialled in vain before it is forgotten, and
	// maxBlame how often in vain on the word of one peer, in an hour.
	tries, maxBlame = 3, 16
)

// Meeting is the followers of names, as far as they are known here. Safe for
// concurrent use.
type Meeting struct {
	cfg  Config
	kick chan struct{} // one slot: there may be something to do
	ask  chan struct{} // bounds questions under way
	dial chan struct{} // bounds dials under way

	budgets node.Budgets // in questions

	checked sync.Mutex         // guards records
	records map[string]*signed // by their bytes, verified

	mu     sync.Mutex // guards what follows
	names  map[string]*circle
	peers  map[string]*party
	blame  map[string]int // dials in vain, by who told
	blamed time.Time      // since when blame counts
	kept   time.Time      // when keep began last
}

// circle is what is known of one name's followers. Guarded by Meeting.mu.
type circle struct {
	met     map[string]follower // have proved that they know the name
	told    map[string]*rumour  // are said to
	since   time.Time           // it is followed
	found   time.Time           // when the Finder was last asked
	changed bool                // met is not as Store has it
}

// follower is one that was met.
type follower struct {
	record []byte // nil: it gave none
	seq    uint64
	at     time.Time
}

// rumour is one that somebody has told of.
type rumour struct {
	record []byte
	seq    uint64
	near   bool
	by     string
	failed int
	after  time.Time // not dialled before
	busy   bool
}

// party is a connected peer. Guarded by Meeting.mu.
type party struct {
	busy  bool
	mute  time.Time // when it failed to answer well; it is left alone for a while, or until it connects anew
	asked map[string]time.Time
	sent  string // the record of ours that it was given
}

// New makes a Meeting, which answers peers from now on. Run does the rest.
func New(cfg Config) (*Meeting, error) {
	if cfg.Streams == nil || cfg.Peers == nil || cfg.Records == nil || cfg.Company == nil || cfg.Reach == nil || cfg.Names == nil || cfg.Now == nil {
		return nil, errors.New("make meeting: Streams, Peers, Records, Company, Reach, Names and Now are required")
	}
	if cfg.Degree <= 0 {
		cfg.Degree = 8
	}
	if cfg.Every <= 0 {
		cfg.Every = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Meeting{
		cfg: cfg, kick: make(chan struct{}, 1), ask: make(chan struct{}, asking), dial: make(chan struct{}, dialling),
		names: map[string]*circle{}, peers: map[string]*party{}, blame: map[string]int{}, records: map[string]*signed{},
		budgets: node.Budgets{Burst: burst, Rate: 1 / refill.Seconds(), Peers: maxBudgets, Now: cfg.Now},
	}
	m.mu.Lock()
	m.followed()
	m.mu.Unlock()
	cfg.Streams.Handle(Protocol, m.serve)
	return m, nil
}

// Look has the names looked at soon: one may be new.
func (m *Meeting) Look() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Neighbours are the connected peers that have proved that they know name,
// sorted.
func (m *Meeting) Neighbours(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.names[name]; c != nil {
		return m.neighbours(c, m.cfg.Peers.Connected())
	}
	return nil
}

func (m *Meeting) neighbours(c *circle, connected []string) []string {
	var out []string
	for _, p := range connected {
		if _, ok := c.met[p]; ok {
			out = append(out, p)
		}
	}
	return out
}

// Run asks and dials until ctx ends, whose error it returns.
func (m *Meeting) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer m.keep() // who was met last is who is dialled first
	m.cfg.Peers.OnConnect(m.arrived)
	m.cfg.Records.OnChange(m.moved)
	for {
		wait := time.NewTimer(m.round(ctx, &wg))
		select {
		case <-m.kick:
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
		wait.Stop()
	}
}

// arrived begins anew with a peer.
func (m *Meeting) arrived(peer string) {
	m.mu.Lock()
	delete(m.peers, peer) // a question under way knows its own
	m.mu.Unlock()
	m.Look()
}

// moved begins anew with what is near: this box may be in another network.
func (m *Meeting) moved() {
	m.checked.Lock()
	clear(m.records)
	m.checked.Unlock()
	m.Look()
}

// round looks at every name once and begins what is to do. It tells after how long
// it is to be called again.
func (m *Meeting) round(ctx context.Context, wg *sync.WaitGroup) (next time.Duration) {
	next = m.cfg.Every*3/4 + rand.N(m.cfg.Every/2)
	connected := m.cfg.Peers.Connected()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.followed()
	m.expire(connected)
	m.question(ctx, wg, connected)
	for name, c := range m.names {
		m.fill(ctx, wg, c, connected)
		m.find(ctx, wg, name, c, connected)
	}
	now, unkept := m.cfg.Now(), false
	for _, c := range m.names {
		unkept = unkept || c.unkept()
		if c.gathers(now) {
			next = min(next, gathering)
		}
	}
	switch {
	case !unkept:
	case now.Sub(m.kept).Abs() >= keeping:
		m.kept = now
		wg.Go(m.keep)
	default:
		next = min(next, keeping)
	}
	return next
}

// gathers tells whether c's name has just been followed.
func (c *circle) gathers(now time.Time) bool { return now.Sub(c.since).Abs() < gathering }

// followed takes new names in, with what Store knows, and drops others. m.mu
// is held.
func (m *Meeting) followed() {
	now := m.cfg.Names()
	now = now[:min(len(now), maxNames)]
	for name := range m.names {
		if !slices.Contains(now, name) {
			delete(m.names, name)
		}
	}
	for _, name := range now {
		if m.names[name] == nil {
			c := &circle{met: map[string]follower{}, told: map[string]*rumour{}, since: m.cfg.Now()}
			m.names[name] = c
			m.remember(name, c)
		}
	}
}

// expire forgets who has not been heard of for too long. m.mu is held.
func (m *Meeting) expire(connected []string) {
	now := m.cfg.Now()
	if now.Sub(m.blamed).Abs() > lasting {
		clear(m.blame)
		m.blamed = now
	}
	for p := range m.peers {
		if !slices.Contains(connected, p) && !m.peers[p].busy {
			delete(m.peers, p)
		}
	}
	for _, c := range m.names {
		for p, f := range c.met {
			if now.Sub(f.at).Abs() > lasting {
				delete(c.met, p)
				c.changed = true
				if !m.common(p) {
					m.cfg.Company.Prefer(p, false)
				}
			}
		}
	}
}

// common tells whether p has proved that it knows a name of ours. m.mu is
// held.
func (m *Meeting) common(p string) bool {
	for _, c := range m.names {
		if _, ok := c.met[p]; ok {
			return true
		}
	}
	return false
}

// question asks those connected peers that it is time to ask. m.mu is held.
func (m *Meeting) question(ctx context.Context, wg *sync.WaitGroup, connected []string) {
	now := m.cfg.Now()
	lacking := map[string]bool{}
	for name, c := range m.names {
		lacking[name] = len(m.neighbours(c, connected)) < m.cfg.Degree
	}
	rand.Shuffle(len(connected), func(i, j int) { connected[i], connected[j] = connected[j], connected[i] })
	for _, p := range connected {
		s := m.peers[p]
		if s == nil {
			s = &party{asked: map[string]time.Time{}}
			m.peers[p] = s
		}
		if s.busy || now.Sub(s.mute).Abs() < anew {
			continue
		}
		var about []string
		// What it passes on of us may lead nowhere any more.
		due, moved := false, m.common(p) && string(m.own(p)) != s.sent
		for name, c := range m.names {
			at, before := s.asked[name]
			_, knows := c.met[p]
			age := now.Sub(at).Abs()
			// Who does not know a name may follow it later.
			due = due || !before || age > anew || knows && (moved || lacking[name] && age > hungry)
			if !before || age > hungry || knows && moved {
				about = append(about, name)
			}
		}
		if !due || len(about) == 0 {
			continue
		}
		select {
		case m.ask <- struct{}{}:
		default:
			return // who is done looks again
		}
		rand.Shuffle(len(about), func(i, j int) { about[i], about[j] = about[j], about[i] })
		about = about[:min(len(about), maxTags)]
		s.busy, s.sent = true, string(m.own(p))
		for _, name := range about {
			s.asked[name] = now
		}
		wg.Go(func() {
			err := m.put(ctx, p, about)
			m.mu.Lock()
			s.busy = false
			if err != nil && !errors.Is(err, errBusy) {
				s.mute = m.cfg.Now()
			}
			m.mu.Unlock()
			<-m.ask
			if err != nil && ctx.Err() == nil {
				m.cfg.Log.Debug("ask who else follows", "peer", p, "err", err)
			}
			m.Look()
		})
	}
}

// fill dials some that were told of while a name lacks neighbours: those near
// first, but for the few places that are kept for others. m.mu is held.
func (m *Meeting) fill(ctx context.Context, wg *sync.WaitGroup, c *circle, connected []string) {
	now := m.cfg.Now()
	lack, within := m.cfg.Degree, m.cfg.Degree-distant
	for _, p := range m.neighbours(c, connected) {
		lack--
		if m.cfg.Reach.Near(p) {
			within--
		}
	}
	gathers := c.gathers(now)
	asked := func(p string) bool {
		s := m.peers[p]
		return s != nil && !s.busy && len(s.asked) > 0
	}
	for _, p := range connected {
		if _, met := c.met[p]; gathers && !met && c.told[p] == nil {
			lack-- // one that may be
		}
	}
	var near, far []string
	for p, r := range c.told {
		switch {
		case r.busy || slices.Contains(connected, p) && !asked(p):
			lack-- // one that will be, if what was told is true
		case slices.Contains(connected, p):
			delete(c.told, p) // it was not
		case m.blame[r.by] >= maxBlame:
			delete(c.told, p)
		case now.Before(r.after) && r.after.Sub(now) <= lasting:
		case r.near:
			near = append(near, p)
		default:
			far = append(far, p)
		}
	}
	for _, l := range [][]string{near, far} {
		rand.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
	}
	first := near[:min(len(near), max(within, 0))]
	order := slices.Concat(first, far, near[len(first):])
	for _, p := range order[:min(len(order), max(lack, 0))] {
		select {
		case m.dial <- struct{}{}:
		default:
			return
		}
		r := c.told[p]
		r.busy = true
		wg.Go(func() {
			err := m.cfg.Records.Dial(ctx, r.record, r.by)
			m.mu.Lock()
			r.busy = false
			if err != nil && ctx.Err() == nil {
				m.cfg.Log.Debug("dial one who follows", "peer", p, "by", r.by, "err", err)
				m.blame[r.by]++
				r.failed++
				r.after = m.cfg.Now().Add(hungry << r.failed)
				if r.failed == tries && c.told[p] == r {
					delete(c.told, p)
				}
			}
			m.mu.Unlock()
			<-m.dial
			m.Look()
		})
	}
}

// find asks the Finder for holders of a name's head while neighbours lack.
// m.mu is held.
func (m *Meeting) find(ctx context.Context, wg *sync.WaitGroup, name string, c *circle, connected []string) {
	if m.cfg.Finder == nil || m.cfg.Head == nil {
		return
	}
	lack := m.cfg.Degree - len(m.neighbours(c, connected))
	now := m.cfg.Now()
	if lack <= m.cfg.Degree/2 || len(connected) == 0 || now.Sub(c.found).Abs() <= hungry {
		return
	}
	c.found = now
	wg.Go(func() {
		head := m.cfg.Head(name)
		if !head.Defined() {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, hungry)
		defer cancel()
		n, err := m.cfg.Finder.Find(ctx, head, lack)
		m.cfg.Log.Debug("found holders of a head", "name", name, "connected", n, "err", err)
	})
}
