package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
	"playnode/node/memory"
)

// TestOriginsAllow judges where a link's origin may lead to.
func TestOriginsAllow(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.168.1.20": true, "10.0.0.1": true, "93.184.216.34": true, "fd00::1": true, "2001:db8::1": true, "100.64.0.1": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "0.0.0.0": false, "::": false, "169.254.169.254": false,
		"fe80::1": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
	} {
		o := &origins{}
		if err := o.allow(netip.MustParseAddr(addr)); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := (&origins{local: true}).allow(netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Errorf("in network none: %v", err)
	}
	if (&origins{}).allow(netip.Addr{}) == nil {
		t.Error("no address is allowed")
	}
}

// TestOriginsOfLinks has a link's origin on this box asked for nothing, by
// whatever name it goes, and no more of them kept than there may be.
func TestOriginsOfLinks(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer s.Close()
	disk := memory.NewWorld().Node("disk")
	defer disk.Close()
	o := &origins{fetch: fetch.New(fetch.Config{Local: disk, Now: time.Now})}
	byName := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	for _, url := range []string{s.URL, byName, s.URL} {
		if err := o.add(url, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.fetch.Get(t.Context(), node.NewBlock(cid.Raw, []byte("x")).CID, node.Want{}); !errors.Is(err, node.ErrNotFound) {
		t.Fatal(err)
	}
	if err := o.Get(t.Context(), "k51", func([]byte) { t.Error("a record") }); err == nil || !strings.Contains(err.Error(), "may not lead to") {
		t.Errorf("asking for a record: %v", err)
	}
	if asked.Load() != 0 {
		t.Errorf("it was asked %d times", asked.Load())
	}
	for i := range maxOrigins - 2 {
		if err := o.add(fmt.Sprintf("http://192.0.2.%d", i), true); err != nil {
			t.Fatal(err)
		}
	}
	if o.add("http://192.0.2.99", true) == nil {
		t.Error("one more than there may be")
	}
	if err := o.add("http://192.0.2.99", false); err != nil {
		t.Errorf("an origin of the settings: %v", err)
	}
}

// peers is a node.Getter with connections.
type peers struct {
	connected []string
	asked     int
}

func (p *peers) Connected() []string { return p.connected }
func (p *peers) Get(context.Context, cid.Cid, node.Want) ([]byte, error) {
	p.asked++
	return []byte("x"), nil
}

// TestCompany asks nobody where nobody is, if there is another way.
func TestCompany(t *testing.T) {
	c := node.NewBlock(cid.Raw, []byte("x")).CID
	disk := memory.NewWorld().Node("disk")
	defer disk.Close()
	o := &origins{fetch: fetch.New(fetch.Config{Local: disk, Now: time.Now})}
	p := &peers{}
	if _, err := (company{p, o}).Get(t.Context(), c, node.Want{}); err != nil || p.asked != 1 {
		t.Fatalf("without origins peers are waited for: %v", err)
	}
	if err := o.add("http://192.0.2.1", false); err != nil {
		t.Fatal(err)
	}
	if _, err := (company{p, o}).Get(t.Context(), c, node.Want{}); !errors.Is(err, node.ErrNotFound) || p.asked != 1 {
		t.Fatalf("with one, and no peer: %v", err)
	}
	p.connected = []string{"a"}
	if _, err := (company{p, o}).Get(t.Context(), c, node.Want{}); err != nil || p.asked != 2 {
		t.Fatalf("with a peer: %v", err)
	}
}
