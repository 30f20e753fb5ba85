package daemon

import (
	"bytes"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/node"
)

// TestGatewayTakesWantedRecords: the gateway keeps records of names that are
// followed here, as strictly as any other way, and no stranger's; and status
// says what is wrong with them.
func TestGatewayTakesWantedRecords(t *testing.T) {
	c := &clock{}
	c.unix.Store(1_800_000_000)
	b := newBox(t, c)
	n, err := b.net()
	if err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewServer(b.gateway(n))
	defer gateway.Close()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	name, err := ipns.NameOf(pub)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(seq uint64, v string, life time.Duration) []byte {
		t.Helper()
		r, err := ipns.Sign(key, node.NewBlock(cid.Raw, []byte(v)).CID, seq, c.now().Add(life))
		if err != nil {
			t.Fatal(err)
		}
		return r.Raw
	}
	put := func(raw []byte, want int) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", gateway.URL+"/routing/v1/ipns/"+name.String(), bytes.NewReader(raw))
		req.Header.Set("Content-Type", "application/vnd.ipfs.ipns-record")
		res, err := gateway.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Fatalf("put: %s, want %d", res.Status, want)
		}
	}
	says := func(kinds ...string) []Alert {
		t.Helper()
		s, err := b.status(t.Context(), struct{}{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ok := s.Alerts != nil && len(s.Alerts) == len(kinds)
		for i := range kinds {
			ok = ok && s.Alerts[i].Kind == kinds[i] && s.Alerts[i].Name == name.String() && s.Alerts[i].Text != ""
		}
		if !ok {
			t.Fatalf("status says %+v, want %v", s.Alerts, kinds)
		}
		return s.Alerts
	}
	put(sign(5, "a", time.Hour), 403)
	defer n.names.Watch(name, nil)()
	put(sign(5, "a", time.Hour), 200)
	put(sign(4, "a", 2*time.Hour), 400)
	put(sign(9, "a", -time.Second), 400)
	put([]byte("nonsense"), 400)
	says()
	put(sign(5, "b", 2*time.Hour), 200)
	if a := says(ipns.Equivocation); a[0].Seq != 5 || a[0].Settled || a[0].Since != nil {
		t.Errorf("%+v", a[0])
	}
	put(sign(6, "c", time.Hour), 200)
	if a := says(ipns.Equivocation); !a[0].Settled {
		t.Errorf("%+v", a[0])
	}
	ends := c.now().Add(time.Hour)
	c.forward(2 * time.Hour)
	if a := says(ipns.Equivocation, ipns.Stale); a[1].Seq != 6 || a[1].Since == nil || !a[1].Since.Equal(ends) {
		t.Errorf("%+v", a[1])
	}
}
