package follow_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"playnode/fetch"
	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	nodehttp "playnode/node/http"
	"playnode/node/memory"
)

// gateway serves a box by HTTP and counts what it is asked for.
type gateway struct {
	*httptest.Server
	mu    sync.Mutex
	asked map[string]int // "car", "raw" or "ipns-record"
}

func newGateway(t *testing.T, b *box) *gateway {
	g := &gateway{asked: map[string]int{}}
	h := nodehttp.NewHandler(nodehttp.HandlerConfig{Blocks: b.Node, Record: func(name string) ([]byte, error) {
		rec, err := b.names.Newest(ipns.Name(name))
		return rec.Raw, err
	}})
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.asked[r.URL.Query().Get("format")]++
		g.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

// since is what was asked for since the last call.
func (g *gateway) since() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.asked
	g.asked = map[string]int{}
	return out
}

// far is a box that reaches nobody but a gateway, which it takes from a link.
func far(t *testing.T, g *gateway) *box {
	t.Helper()
	n := memory.NewWorld().Node("far")
	t.Cleanup(func() { n.Close() })
	c, err := nodehttp.NewClient(nodehttp.ClientConfig{URL: g.URL, HTTP: g.Client()})
	if err != nil {
		t.Fatal(err)
	}
	states := [2]*store{{m: map[string][]byte{}}, {m: map[string][]byte{}}}
	clock := func() time.Time { return now }
	names, err := ipns.New(ipns.Config{Store: states[0], Now: clock, Routers: []ipns.Router{ipns.Source(c.Record)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	b := &box{Node: n, names: names, states: states, clock: clock}
	b.fetch = fetch.New(fetch.Config{Local: n, Now: clock})
	b.follow, err = follow.New(follow.Config{
		Names: names, Fetch: b.fetch, Blocks: n, Pinner: n, Held: n, Store: states[1], Now: clock, Bulk: fetch.NewBulk(b.fetch),
		Origin: func(url string) {
			if url == g.URL {
				b.fetch.Add(fetch.Source{Name: "http", Getter: c})
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStreamed has a catalogue that is new come in one answer, and so each of
// its new tracks; many tracks come block by block, heads first.
func TestStreamed(t *testing.T) {
	_, d, _ := stage(t)
	g := newGateway(t, d.box)
	var entries []manifests.Entry
	entries = append(entries, d.track(900, 100))
	d.publish(1, entries...)
	b := far(t, g)
	link := manifests.Link{DJ: &d.id, Name: manifests.Name(d.name), Origins: []string{g.URL}}
	name := mustFollow(t, b, link.String())
	mustSync(t, b, name)
	// The record of the backup name, which is not there, is asked for as well.
	if asked := g.since(); asked["car"] != 1 || asked["raw"] != 0 {
		t.Errorf("a new catalogue took %v", asked)
	}
	if s := b.follow.Follows()[0]; !s.Whole || s.Progress.Held != 1 || s.Progress.Missing != 0 {
		t.Fatalf("%+v", s)
	}
	entries = append(entries, d.track(700, 100), d.track(800, 100))
	d.publish(2, entries...)
	mustSync(t, b, name)
	if asked := g.since(); asked["car"] != 2 || asked["raw"] > 12 {
		t.Errorf("two tracks more took %v", asked)
	}
	for range 12 {
		entries = append(entries, d.track(300, 100))
	}
	d.publish(3, entries...)
	mustSync(t, b, name)
	if asked := g.since(); asked["car"] != 0 || asked["raw"] < 12*4 {
		t.Errorf("twelve tracks more took %v", asked)
	}
	if s := b.follow.Follows()[0]; !s.Whole || s.Progress.Held != 15 || s.Progress.Missing != 0 {
		t.Fatalf("%+v", s)
	}
	// A link's origins are remembered.
	if !strings.Contains(string(b.states[1].m["name/"+string(name)]), g.URL) {
		t.Error("the origin is forgotten")
	}
}
