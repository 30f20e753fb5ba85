package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"playnode/ipns"
	"playnode/node"
	"playnode/node/memory"
	"playnode/publisher"
)

// island is a node of a world on a virtual clock, as a daemon stands on one: all that it says goes to its neighbours
// there, and nothing to a socket.
type island struct{ *memory.Node }

func (island) Own(string) []byte                               { return nil }
func (island) OnChange(func())                                 {}
func (island) Learn([]byte) (node.Record, error)               { return node.Record{}, node.ErrNotFound }
func (island) Dial(context.Context, []byte, string) error      { return node.ErrNotFound }
func (island) Prefer(string, bool)                             {}
func (island) Near(string) bool                                { return false }
func (island) Relayed(string) bool                             { return false }
func (island) Announce(string, cid.Cid)                        {}
func (island) Find(context.Context, cid.Cid, int) (int, error) { return 0, node.ErrNotFound }
func (island) Reachability() node.Reachability                 { return node.PublicReach }
func (island) Relays() []string                                { return nil }
func (island) NearIP(netip.Addr) bool                          { return false }
func (island) Source() string                                  { return "memory" }
func (island) Routers() []ipns.Router                          { return nil }

// uptimes is a clock of a box that was switched on with its world.
type uptimes struct{ since time.Time }

func (u uptimes) Wall() (int64, bool)           { return time.Now().Unix(), true }
func (u uptimes) Boot() (string, time.Duration) { return "boot", time.Since(u.since) }

// islander is a whole daemon in such a world.
type islander struct {
	*Daemon
	n    *network
	stop func()
}

func settle(t *testing.T, w *memory.World, name string, began time.Time, args ...string) *islander {
	t.Helper()
	at := w.Node(name)
	return settleOn(t, island{at}, at.ID(), name, began, args...)
}

// settleOn is settle on any floor.
func settleOn(t *testing.T, on floor, id, name string, began time.Time, args ...string) *islander {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("network", "none", "")
	flags.StringArray("allow", nil, "")
	flags.StringArray("quiet-hours", nil, "")
	flags.Bool("metered", false, "")
	flags.String("zone", "", "")
	if err := flags.Parse(append(args, "--network=none", "--allow="+id)); err != nil { // who is a neighbour here is known to follow
		t.Fatal(err)
	}
	opt := Options{Dir: filepath.Join(t.TempDir(), name), Flags: flags, Serve: true, Now: time.Now, Clock: uptimes{began},
		node: func() (floor, error) { return on, nil }}
	if err := Init(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	b := &islander{Daemon: d}
	if b.n, err = d.net(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	d.tend(ctx, g, b.n)
	b.stop = func() {
		cancel()
		if err := errors.Join(g.Wait(), d.Close()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(name, err)
		}
	}
	return b
}

// looped is what an encoder sends for so long, at its own pace: a loop of mp3.
type looped struct {
	publisher.Source
	began time.Time
	sent  time.Duration
	until time.Duration
}

// loop has no end.
type loop struct {
	data []byte
	at   int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.data[l.at:])
	l.at = (l.at + n) % len(l.data)
	return n, nil
}

func onLoop(data []byte, until time.Duration) *looped {
	return &looped{Source: publisher.NewFeed(publisher.FeedConfig{Streams: publisher.One(io.NopCloser(&loop{data: data})), Target: 2 * time.Second}), began: time.Now(), until: until}
}

func (l *looped) Next(ctx context.Context) (publisher.Cut, error) {
	if l.sent >= l.until {
		return publisher.Cut{}, io.EOF
	}
	c, err := l.Source.Next(ctx)
	if err == nil {
		l.sent += time.Duration(c.Len) * time.Second / 8000
		select {
		case <-time.After(time.Until(l.began.Add(l.sent))):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return c, err
}

// noise is a few seconds of mp3 that are cheap to decode: frames alone.
func noise(t *testing.T) []byte {
	t.Helper()
	raw := make([]byte, 2*8000*8)
	for i, x := 0, uint32(1); i < len(raw); i += 2 {
		x = x*1664525 + 1013904223
		raw[i], raw[i+1] = byte(x>>16), byte(int8(x>>24)>>3)
	}
	c := exec.Command("lame", "--quiet", "-r", "-s", "8", "-m", "m", "-b", "8", "--nores", "-t", "-", "-")
	c.Stdin = bytes.NewReader(raw)
	out, err := c.Output()
	if err != nil {
		t.Fatal("lame: ", err)
	}
	return out
}

// use is the most that all boxes had in use together for a while, and each of them in blocks and in its database.
type use struct {
	heap             uint64
	goroutines, held int
	blocks, rows     [3]int64
}

// measure measures every few seconds for so long.
func measure(t *testing.T, all []*islander, long time.Duration) (u use) {
	t.Helper()
	for range 6 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		held := 0
		for i, b := range all {
			used, err := b.n.node.Used(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			u.blocks[i] = max(u.blocks[i], used)
			db, err := os.Stat(filepath.Join(b.repo.Dir, "playnode.db")) // its log goes up to 4 MiB and down again
			if err != nil {
				t.Fatal(err)
			}
			u.rows[i] = max(u.rows[i], db.Size())
			held += b.kept()
		}
		u.heap, u.goroutines, u.held = max(u.heap, m.HeapAlloc), max(u.goroutines, runtime.NumGoroutine()), max(u.held, held)
		<-time.After(long / 6)
	}
	return u
}

// Channels roll for a while on a virtual clock, two on the DJ's box at once: one is heard by a venue, which carries the
// other unread, and an archivist carries both. Once they have what they keep, nobody's memory grows, and nobody's disk.
// make channel has twelve hours of it.
func TestAChannelRolls(t *testing.T) {
	// What nothing wants is looked for every minute, and gone at the third.
	long, warm, part, keep := 8*time.Minute, 4*time.Minute, 30*time.Second, time.Minute
	if testing.Short() {
		long, warm = 5*time.Minute, 210*time.Second
	}
	if s := os.Getenv("PLAYNODE_CHANNEL"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		warm, part, keep = time.Hour, 10*time.Minute, 20*time.Minute
	}
	data := noise(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := memory.NewWorld()
		w.Delay = 20 * time.Millisecond
		dj, venue, archivist := settle(t, w, "dj", began), settle(t, w, "venue", began), settle(t, w, "archivist", began)
		all := []*islander{dj, venue, archivist}
		for i, a := range all {
			for _, b := range all[:i] {
				w.Link(a.n.node.(island).Node, b.n.node.(island).Node)
			}
		}
		name := string(dj.keys.Name())
		var airing, listening sync.WaitGroup
		for _, label := range []string{"day", "night"} {
			src := onLoop(data, long)
			airing.Go(func() {
				mouth := &mouthpiece{a: dj.n.air}
				defer mouth.end()
				tracks, err := dj.n.publisher.OnAir(t.Context(), src, publisher.SetOptions{Playlist: label, Title: "The " + label + " shift", Carrier: mouth, Part: part, Keep: keep, Hold: dj.n.follow.Hold})
				if err != nil || len(tracks) < 2 || len(tracks) > int(keep/part)+1 {
					t.Errorf("%s: %d tracks, %v", label, len(tracks), err)
				}
			})
		}
		<-time.After(5 * time.Second) // the playlist is there
		for _, b := range all[1:] {
			do(t, b, OpFollow, FollowRequest{Link: name})
		}
		do(t, dj, OpLeaseGrant, GrantRequest{Playlist: "day", Device: do(t, venue, OpID, struct{}{}).Device, For: 60 * 24 * time.Hour})
		for len(venue.venue.Leases()) == 0 { // by mailbox
			<-time.After(time.Second)
		}
		var heard Played
		var missing int64
		var title string
		listening.Go(func() {
			_, err := Call(t.Context(), venue, OpListen, ListenRequest{Play: PlayRequest{Name: name + "/day", Sink: "null"}, Wait: true}, func(e Event) {
				if e.Play != nil {
					missing, title = max(missing, e.Play.Missing), cmp.Or(e.Play.Title, title)
				}
				if e.Play != nil && e.Play.Played != nil {
					heard = *e.Play.Played
				}
			})
			if err != nil {
				t.Error("listen:", err)
			}
		})
		// Its title is told to who listens, and on the page.
		page := venue.Screenings()[0]
		page.Span()
		<-time.After(20 * time.Second)
		const says = "The day shift"
		if now := do(t, venue, OpCtl, CtlRequest{Do: "now"}); now.Live == nil || now.Live.Text != says || now.Title != says || page.Title() != says {
			t.Errorf("on is %+v, of %+v, and on the page %q", now.Title, now.Live, page.Title())
		}
		window := max(part, time.Minute) // in which what goes up comes down again
		var uses []use
		for at := warm; ; at = min(at+warm, long-window) {
			<-time.After(time.Until(began.Add(at)))
			u := measure(t, all, window)
			t.Logf("%s: heap %d kB, %d goroutines, blocks %d B, databases %d B, %d segments of no track yet", at, u.heap>>10, u.goroutines, u.blocks, u.rows, u.held)
			uses = append(uses, u)
			if at == long-window {
				break
			}
		}
		first, last := uses[0], uses[len(uses)-1]
		airing.Wait()
		listening.Wait()
		// Two boxes keep those of two channels, of 2 s each, for a part and until two versions are held.
		if most := 4 * int((part+3*time.Minute)/(2*time.Second)); first.held == 0 || last.held > most {
			t.Errorf("%d segments of no track yet, and then %d", first.held, last.held)
		}
		if last.heap > first.heap+first.heap/8+1<<20 || last.goroutines > first.goroutines+10 {
			t.Errorf("memory grows: %+v, %+v", first, last)
		}
		for i := range all {
			if last.blocks[i] > first.blocks[i]*5/4 || last.rows[i] > first.rows[i]+first.rows[i]/4+64<<10 || first.blocks[i] < 100_000 {
				t.Errorf("box %d: %d bytes of blocks and %d of rows, and then %d and %d", i, first.blocks[i], first.rows[i], last.blocks[i], last.rows[i])
			}
		}
		if title != says {
			t.Errorf("told of %q", title)
		}
		if got := time.Duration(heard.Samples) * time.Second / 8000; got < long-20*time.Second || missing > 0 {
			t.Errorf("heard %s of %s, %d segments missing", got, long, missing)
		}
		for _, b := range all {
			b.stop()
		}
	})
}

// kept counts the segments that a box has taken in of sets on air, and that are of no track yet.
func (b *islander) kept() (n int) {
	b.n.air.mu.Lock()
	defer b.n.air.mu.Unlock()
	for _, k := range b.n.air.kept {
		n += len(k.segments)
	}
	return n
}

// A metered venue hears the set that it has chosen to hear, and gives none of it; an archivist takes nothing in while
// its line is left to others, and goes on after that.
func TestASetOnLinesThatAreLeftToOthers(t *testing.T) {
	data := noise(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := memory.NewWorld()
		w.Delay = 20 * time.Millisecond
		hours := began.Add(2*time.Minute).Local().Format("15:04") + "-" + began.Add(4*time.Minute).Local().Format("15:04")
		dj, venue := settle(t, w, "dj", began), settle(t, w, "venue", began, "--metered")
		archivist, guest := settle(t, w, "archivist", began, "--quiet-hours="+hours), settle(t, w, "guest", began)
		link := func(a, b *islander) { w.Link(a.n.node.(island).Node, b.n.node.(island).Node) }
		link(dj, venue)
		link(dj, archivist)
		link(venue, guest)
		name := string(dj.keys.Name())
		const long = 6 * time.Minute
		var g sync.WaitGroup
		g.Go(func() {
			mouth := &mouthpiece{a: dj.n.air}
			defer mouth.end()
			if _, err := dj.n.publisher.OnAir(t.Context(), onLoop(data, long), publisher.SetOptions{Playlist: "bar", Carrier: mouth, Hold: dj.n.follow.Hold}); err != nil {
				t.Error(err)
			}
		})
		<-time.After(5 * time.Second) // the playlist is there
		do(t, dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: do(t, venue, OpID, struct{}{}).Device, For: 24 * time.Hour})
		for _, b := range []*islander{venue, archivist, guest} {
			do(t, b, OpFollow, FollowRequest{Link: name})
		}
		for len(venue.venue.Leases()) == 0 {
			<-time.After(time.Second)
		}
		var heard, missing int64
		g.Go(func() {
			_, err := Call(t.Context(), venue, OpListen, ListenRequest{Play: PlayRequest{Name: name + "/bar", Sink: "null"}, Wait: true}, func(e Event) {
				if e.Play != nil {
					missing = max(missing, e.Play.Missing)
				}
				if e.Play != nil && e.Play.Played != nil {
					heard = e.Play.Played.Samples
				}
			})
			if err != nil {
				t.Error("listen:", err)
			}
		})
		for _, c := range []struct {
			from, to time.Duration
			takes    bool
		}{{time.Minute, 110 * time.Second, true}, {200 * time.Second, 230 * time.Second, false}, {310 * time.Second, 350 * time.Second, true}} {
			<-time.After(time.Until(began.Add(c.from)))
			before := archivist.kept()
			<-time.After(time.Until(began.Add(c.to)))
			if took, most := archivist.kept()-before, int((c.to-c.from)/(2*time.Second)); c.takes && took < most-3 || !c.takes && took != 0 {
				t.Errorf("from %s to %s the archivist takes in %d of %d segments", c.from, c.to, took, most)
			}
		}
		g.Wait()
		if got := time.Duration(heard) * time.Second / 8000; got < long-20*time.Second || missing > 0 {
			t.Errorf("heard %s of %s, %d missing", got, long, missing)
		}
		if n := guest.kept(); n > 0 {
			t.Errorf("a metered venue gave %d segments", n)
		}
		for _, b := range []*islander{dj, venue, archivist, guest} {
			b.stop()
		}
	})
}
