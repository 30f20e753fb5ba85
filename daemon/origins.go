package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	nodehttp "playnode/node/http"
)

// maxOrigins bounds the origins that links give, all names together.
const maxOrigins = 16

// origins are the gateways and mirrors that are asked for blocks and records:
// those of the settings, and those that links gave since. It is an
// ipns.Router that carries no records. Safe for concurrent use.
type origins struct {
	fetch *fetch.Scheduler
	line  *node.Line
	local bool // loopback may be dialled for strangers

	mu      sync.Mutex // guards what follows
	known   map[string]bool
	linked  int // of links
	clients []*nodehttp.Client
}

// add has the gateway at url asked from now on; a stranger's is dialled with
// care. Again is no error.
func (o *origins) add(url string, stranger bool) error {
	cfg := nodehttp.ClientConfig{URL: url, Line: o.line}
	if stranger {
		cfg.Allow = o.allow
	}
	c, err := nodehttp.NewClient(cfg)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[url] {
		return nil
	}
	if stranger && o.linked == maxOrigins {
		return fmt.Errorf("links gave %d origins already", maxOrigins)
	}
	if stranger {
		o.linked++
	}
	if o.known == nil {
		o.known = map[string]bool{}
	}
	o.known[url] = true
	o.clients = append(o.clients, c)
	o.fetch.Add(fetch.Source{Name: "http " + url, Getter: c})
	return nil
}

// allow judges where the host of a link's origin may be: on this LAN, where a
// venue's own mirror stands, and anywhere else; not on this box, nor where
// only machines of one wire or cloud are meant to ask.
func (o *origins) allow(a netip.Addr) error {
	switch {
	case a.IsLoopback() && o.local:
	case !a.IsValid(), a.IsLoopback(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("a link's origin may not lead to %s", a)
	}
	return nil
}

// Put carries no record anywhere: origins are read.
func (o *origins) Put(context.Context, ipns.Name, []byte, func(string)) error { return nil }

// Get asks all at once; see ipns.Router.
func (o *origins) Get(ctx context.Context, name ipns.Name, found func([]byte)) error {
	o.mu.Lock()
	clients := o.clients
	o.mu.Unlock()
	var mu sync.Mutex // one call of found at a time
	var wg sync.WaitGroup
	var err error
	for _, c := range clients {
		wg.Go(func() {
			raw, e := c.Record(ctx, string(name))
			mu.Lock()
			defer mu.Unlock()
			if e != nil {
				err = e
				return
			}
			found(raw)
		})
	}
	wg.Wait()
	return err
}

// any tells whether there are origins.
func (o *origins) any() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.clients) > 0
}

// company is the peers as a source. While none is connected it fails at once
// where there are origins, so that these are not kept waiting.
type company struct {
	peers interface {
		node.Getter
		Connected() []string
	}
	origins *origins
}

func (c company) Get(ctx context.Context, id cid.Cid, w node.Want) ([]byte, error) {
	if c.origins.any() && len(c.peers.Connected()) == 0 {
		return nil, fmt.Errorf("get %s: no peer is connected: %w", id, node.ErrNotFound)
	}
	return c.peers.Get(ctx, id, w)
}

// validOrigin refuses what a link cannot carry.
func validOrigin(url string) error {
	if !manifests.ValidOrigin(url) {
		return usage("origin %.200q is not like https://music.example", url)
	}
	return nil
}
