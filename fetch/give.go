package fetch

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"playnode/node"
)

const (
	// askBurst digests may be asked about at once by a stream, askRate a
	// second after that: what is over waits.
	askBurst, askRate = 16 * maxAsk, maxAsk
	// maxWatched bounds the blocks whose coming one stream waits to be told
	// of, maxWatching those of all.
	maxWatched, maxWatching = 8192, 1 << 18
	// giveAbreast bounds the reads of our disk for others.
	giveAbreast = 8
	// busyAfter is the silence after which one who waits hears that we live.
	busyAfter = time.Second
)

// giver gives peers what is held here. Safe for concurrent use.
type giver struct {
	cfg          Config
	line, coming *bucket       // out and in
	slots        chan struct{} // reads of the disk
	down         <-chan struct{}

	mu        sync.Mutex // guards what follows, and the clients
	clients   map[string]*client
	watching  int
	watch     map[Digest][]watcher
	ledger    ledger
	latest    latest
	did       Swarm
	ringing   bool
	gathers   bool // a goroutine waits for more that is in no hurry
	turns     turns
	connected map[string]bool // as of looked
	looked    time.Time
}

// watcher is one who is told when a block comes.
type watcher struct {
	c      *client
	number uint32
}

// client is one stream that we give to. Guarded by giver.mu.
type client struct {
	peer   string
	stream node.Stream
	kick   chan struct{} // one slot: there is something to say
	gone   chan struct{} // closed when the stream has ended
	lazy   bool          // there is something to say, in no hurry

	small   []byte // frames to be written before any block
	gains   []uint32
	nots    []uint32
	orders  []order // to be given, as they came
	watched int
	since   time.Time       // it has been here
	named   time.Time       // it was told last who else is here
	alone   bool            // it has said since that it reaches nobody
	told    map[string]bool // of whom it was told, lately at least; true where they had been dialled
	wrote   time.Time       // something was last written
	writing bool
	parts   bool                 // it takes blocks in parts
	part    int                  // how large the next one is; only its writer's
	handing map[uint32]*handing  // what is being given
	head    uint32               // the last block that was given for a playhead; 0 once it has come
	clear   time.Time            // until when nothing else is given
	granted int                  // turns
	flying  map[uint32]time.Time // blocks given in turns, since when
	late    map[uint32]time.Time // those whose turns have ended, and that have not arrived
	beside  map[uint32]time.Time // and given beside the turns, some of them
	left    float64              // digests that may be asked about, as of at
	at      time.Time
}

func newGiver(cfg Config, coming *bucket, down <-chan struct{}) *giver {
	return &giver{
		cfg: cfg, line: newBucket(cfg.Upload, cfg, down), coming: coming, slots: make(chan struct{}, giveAbreast), down: down,
		clients: map[string]*client{}, watch: map[Digest][]watcher{},
		ledger: newLedger(), latest: latest{blocks: map[Digest]*loan{}},
	}
}

// tell adds what was given to out.
func (g *giver) tell(out *Swarm) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out.Given, out.Sent, out.Referred = len(g.clients), g.did.Sent, g.did.Referred
	out.Frames, out.Words = out.Frames+g.did.Frames, out.Words+g.did.Words
}

func (g *giver) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.clients {
		c.stream.Reset()
	}
}

// gained tells those who wait for a block that it is here, and keeps it at
// hand. It came from others: it is given to anyone, and not put off.
func (g *giver) gained(d Digest, data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(data) > smallBlock { // the others are put off for nobody
		g.ledger.gained(d)
	}
	g.remember(d, &loan{data: data})
	for _, w := range g.watch[d] {
		w.c.watched--
		g.watching--
		w.c.gains = append(w.c.gains, w.number)
		g.lazily(w.c)
	}
	delete(g.watch, d)
}

// waiting are those who are told when a block comes.
func (g *giver) waiting(d Digest) (peers []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.watch[d] {
		peers = append(peers, w.c.peer)
	}
	return peers
}

// forgo has peer not told of blocks that it says it holds. Where it lets go of one
// it asks anew.
func (g *giver) forgo(peer string, digests []Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.clients[peer]
	if c == nil || c.watched == 0 {
		return
	}
	for _, d := range digests {
		ws := g.watch[d]
		i := slices.IndexFunc(ws, func(w watcher) bool { return w.c == c })
		if i < 0 {
			continue
		}
		if ws = slices.Delete(ws, i, i+1); len(ws) == 0 {
			delete(g.watch, d)
		} else {
			g.watch[d] = ws
		}
		c.watched--
		g.watching--
	}
}

// poke has c's writer say what there is to say.
func (c *client) poke() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// lazily has c's writer say soon what there is to say: by then there may be more,
// and who waits for that is one for all clients. g.mu is held.
func (g *giver) lazily(c *client) {
	c.lazy = true
	if !g.gathers {
		g.gathers = true
		go g.gather()
	}
}

func (g *giver) gather() {
	select {
	case <-g.cfg.After(lazily):
	case <-g.down:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gathers = false
	for _, c := range g.clients {
		if c.lazy {
			c.lazy = false
			c.poke()
		}
	}
}

// give serves one stream of BlocksProtocol.
func (s *Scheduler) give(peer string, st node.Stream) {
	g := s.giver
	now := g.cfg.Now()
	c := &client{
		peer: peer, stream: st, kick: make(chan struct{}, 1), gone: make(chan struct{}), since: now, wrote: now, left: askBurst, at: now,
		part: leastPart,
	}
	if away := g.admit(c, now); away != nil {
		if g.line.takeAll(node.Now, len(away)) {
			st.Write(away)
		}
		st.Close()
		return
	}
	go g.speak(c)
	err := g.listen(c)
	st.Reset()
	g.part(c)
	g.cfg.Log.Debug("giving blocks ended", "peer", peer, "err", err)
}

func (g *giver) part(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(c.gone)
	if g.clients[c.peer] == c {
		delete(g.clients, c.peer)
	}
	c.orders = nil
	g.leave(c)
	if c.watched > 0 {
		for d, ws := range g.watch {
			ws = slices.DeleteFunc(ws, func(w watcher) bool { return w.c == c })
			if g.watch[d] = ws; len(ws) == 0 {
				delete(g.watch, d)
			}
		}
		g.watching -= c.watched
	}
}

// ring lets those who wait know that we live, and ends streams whose other
// side reads nothing, while there are any.
func (g *giver) ring() {
	for {
		select {
		case <-g.cfg.After(leastTurn):
		case <-g.down:
			return
		}
		g.mu.Lock()
		now := g.cfg.Now()
		for _, c := range g.clients {
			g.overdue(c, now)
			g.introduce(c, now)
			switch {
			case c.writing && now.Sub(c.wrote) >= givingUp:
				c.stream.Reset()
			case !c.writing && len(c.orders) > 0 && now.Sub(c.wrote) >= busyAfter && len(c.small) == 0:
				c.small = appendHead(c.small, frameBusy, 0)
				c.poke()
			}
		}
		if g.ringing = len(g.clients) > 0; !g.ringing {
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
	}
}

// listen reads what an asker says until it ends, or breaks a rule.
func (g *giver) listen(c *client) error {
	var body []byte
	for first := true; ; first = false {
		kind, n, err := readHead(c.stream)
		if err != nil {
			return err
		}
		if first != (kind == frameHello) {
			return fmt.Errorf("%w: type %d out of turn", errFrame, kind)
		}
		if cap(body) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if !g.coming.takeAll(node.Now, n) {
			return errClosed
		}
		if _, err := io.ReadFull(c.stream, body); err != nil {
			return err
		}
		if err := g.hear(c, kind, body); err != nil {
			return err
		}
		if cap(body) > 64<<10 {
			body = nil // asks are large and seldom
		}
	}
}

func (g *giver) hear(c *client, kind byte, body []byte) error {
	switch kind {
	case frameHello:
		h, err := parseHello(body, c.peer)
		if err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		x := g.ledger.guest(c.peer)
		x.addrs, x.dialled, c.parts = h.addrs, h.dialled, h.parts
		return nil
	case frameAsk:
		base, digests, err := parseAsk(body)
		if err != nil {
			return err
		}
		return g.answer(c, base, digests)
	case frameWant, frameHurry:
		orders, err := parseWants(body)
		if err != nil {
			return err
		}
		if kind == frameHurry {
			g.hurry(c, orders)
			return nil
		}
		return g.order(c, orders)
	case frameCancel:
		numbers, err := parseNumbers(body)
		if err != nil {
			return err
		}
		g.cancel(c, numbers)
		return nil
	case frameGot:
		numbers, err := parseNumbers(body)
		if err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.arrived(c, numbers, g.cfg.Now())
		return nil
	case frameDone:
		digests, err := parseDigests(body)
		if err != nil {
			return err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, d := range digests {
			g.ledger.holds(d, c.peer)
		}
		return nil
	}
	return fmt.Errorf("%w: type %d from an asker", errFrame, kind)
}

// answer tells which blocks are held, and has the others told of when they
// come.
func (g *giver) answer(c *client, base uint32, digests []Digest) error {
	if err := g.pace(c, len(digests)); err != nil {
		return err
	}
	held := make([]bool, len(digests))
	keeps := g.keeps(c.peer)
	for i, d := range digests {
		if keeps { // it asks anew now and then
			break
		}
		if held[i] = g.holds(d); held[i] {
			continue
		}
		if g.await(c, d, base+uint32(i)) {
			held[i] = g.holds(d) // it may have come before we waited for it
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c.small = appendHeld(c.small, base, held)
	c.poke()
	return nil
}

// pace has one who asks too much wait.
func (g *giver) pace(c *client, n int) error {
	for {
		g.mu.Lock()
		now := g.cfg.Now()
		c.left = min(askBurst, c.left+max(0, now.Sub(c.at).Seconds())*askRate)
		c.at = now
		enough := c.left >= float64(n)
		if enough {
			c.left -= float64(n)
		}
		g.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-g.cfg.After(time.Second):
		case <-g.down:
			return errClosed
		}
	}
}

func (g *giver) holds(d Digest) bool {
	has, err := g.cfg.Local.Has(context.Background(), cidOf(d))
	return err == nil && has
}

// await has c told when d comes; false when it waits for too much already.
func (g *giver) await(c *client, d Digest, number uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients[c.peer] != c {
		return false
	}
	for i, w := range g.watch[d] {
		if w.c == c {
			g.watch[d][i].number = number
			return true
		}
	}
	if c.watched >= maxWatched || g.watching >= maxWatching {
		return false
	}
	c.watched++
	g.watching++
	g.watch[d] = append(g.watch[d], watcher{c, number})
	return true
}

// order takes in wants: each is given in its turn, or put off at once.
func (g *giver) order(c *client, orders []order) error {
	if g.keeps(c.peer) { // who comes anew is told that nothing is here
		return errKeeps
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range orders {
		if len(c.orders) >= maxOrders {
			return fmt.Errorf("%w: over %d wants", errFrame, maxOrders)
		}
		if h := c.handing[o.number]; h != nil && !h.cancelled {
			return fmt.Errorf("%w: a want that is being given", errFrame)
		}
		if i := slices.IndexFunc(c.orders, func(q order) bool { return q.number == o.number }); i >= 0 {
			if c.orders[i].digest != o.digest {
				return fmt.Errorf("%w: two wants under one number", errFrame)
			}
			c.orders = slices.Delete(c.orders, i, i+1) // the last counts
		}
		c.alone = c.alone || o.alone
		if !g.defers(c, o) {
			c.orders = append(c.orders, o)
		}
	}
	c.poke()
	return nil
}

func (g *giver) hurry(c *client, orders []order) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range orders {
		if i := slices.IndexFunc(c.orders, func(q order) bool { return q.number == o.number }); i >= 0 {
			c.orders[i].class = o.class
		} else if h := c.handing[o.number]; h != nil {
			h.class = o.class
		}
	}
	c.poke() // it may wait for its turn
}

func (g *giver) cancel(c *client, numbers []uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range numbers {
		if k == noBlock {
			g.ledger.guest(c.peer).dialled = true
		} else if i := slices.IndexFunc(c.orders, func(o order) bool { return o.number == k }); i >= 0 {
			c.orders = slices.Delete(c.orders, i, i+1)
		} else if h := c.handing[k]; h != nil {
			h.cancelled = true
		}
	}
}

// read reads a block that is held, for one use.
func (g *giver) read(d Digest) (*loan, error) {
	if l := g.atHand(d); l != nil {
		if g.holds(d) { // what was let go is not given
			return l, nil
		}
		g.mu.Lock()
		g.release(l)
		g.mu.Unlock()
	}
	select {
	case g.slots <- struct{}{}:
	case <-g.down:
		return nil, errClosed
	}
	defer func() { <-g.slots }()
	l := &loan{uses: 1}
	var err error
	if lender, ok := g.cfg.Local.(node.Lender); ok {
		l.data, l.free, err = lender.Lend(context.Background(), cidOf(d))
	} else {
		l.data, err = g.cfg.Local.Read(context.Background(), cidOf(d))
	}
	if err == nil && len(l.data) > node.MaxBlock {
		if err = node.ErrVerify; l.free != nil {
			l.free()
		}
	}
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remember(d, l)
	return l, nil
}
