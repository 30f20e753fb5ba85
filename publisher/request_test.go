package publisher

import (
	"errors"
	"testing"
	"time"

	"playnode/lease"
	"playnode/manifests"
)

// asker is a venue that asks: its identity is at hand.
type asker struct {
	venue
	id lease.Identity
}

func (w *world) asker() asker {
	w.t.Helper()
	id, err := lease.NewIdentity()
	if err != nil {
		w.t.Fatal(err)
	}
	rec, err := id.Record()
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := lease.NewVenue(lease.Config{Identity: id, Store: table{newWorld(w.t), map[string][]byte{}}, Clock: w})
	if err != nil {
		w.t.Fatal(err)
	}
	return asker{venue{v, manifests.DeviceText(rec)}, id}
}

// ask makes a request for what the newest version offers.
func (w *world) ask(p *Publisher, a asker, wish lease.Wish) []byte {
	w.t.Helper()
	c := w.read(p)
	if len(c.manifests[0].Offers) != 1 {
		w.t.Fatalf("%d offers", len(c.manifests[0].Offers))
	}
	wish.Offer = w.signedAt(c.manifests[0].Offers[0])
	_, file, err := a.id.Request(c.chain, w.now.Unix(), wish)
	if err != nil {
		w.t.Fatal(err)
	}
	return file
}

func (w *world) onOffer(rule Rule) (*Publisher, [][]byte) {
	w.t.Helper()
	p := w.start()
	paths, data := album(w.t, 1)
	mustPublish(w.t, p, paths, Options{Playlist: "main"})
	o, err := p.SetOffer(w.t.Context(), OfferTerms{Playlist: "main", Price: manifests.Price{Amount: 2500, Currency: "EUR"}, Per: 30 * day, Grace: day, Rule: rule})
	if err != nil {
		w.t.Fatal(err)
	}
	if o.Min != 30*manifests.Day || o.Max != 365*manifests.Day || o.N != 1 {
		w.t.Errorf("offer %+v", o)
	}
	return p, data
}

func TestFromOfferToMusic(t *testing.T) {
	w := newWorld(t)
	p, data := w.onOffer(ByHand)
	a, b := w.asker(), w.asker()
	two, err := b.id.Record()
	if err != nil {
		t.Fatal(err)
	}
	ref := "invoice 7"
	file := w.ask(p, a, lease.Wish{Devices: []manifests.Signed{two}, Len: 60 * manifests.Day, Payref: &ref})
	r, err := p.Receive(t.Context(), file)
	if err != nil || r.State != Pending || r.Label != "main" || len(r.Devices) != 2 || r.Price != (manifests.Price{Amount: 10000, Currency: "EUR"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := p.Receive(t.Context(), file); err != nil || again.ID != r.ID {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	if all, err := p.Requests(); err != nil || len(all) != 1 {
		t.Errorf("%d requests, %v", len(all), err)
	}
	done, err := p.Approve(t.Context(), r.ID)
	if err != nil || done.State != Approved || len(done.Leases) != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	// Approved again, asked again, after a restart: the same leases.
	p = w.start()
	for range 2 {
		again, err := p.Approve(t.Context(), r.ID)
		if err != nil || len(again.Leases) != 2 || again.Leases[0].ID != done.Leases[0].ID {
			t.Errorf("approved twice: %+v, %v", again, err)
		}
		again, err = p.Receive(t.Context(), file)
		if err != nil || again.State != Approved || again.Leases[1].ID != done.Leases[1].ID {
			t.Errorf("asked after the approval: %+v, %v", again, err)
		}
	}
	if n := len(mustLeases(t, p)); n != 2 {
		t.Errorf("%d leases for two devices", n)
	}
	// One by its file, one by mailbox.
	l, err := a.Import(done.Leases[0].File)
	if err != nil {
		t.Fatal(err)
	}
	g := l.Grant
	if g.Req == nil || RequestID(g.Req[:16]) != r.ID || *g.Payref != ref || *g.Price != (manifests.Price{Amount: 5000, Currency: "EUR"}) ||
		g.Grace != manifests.Day || g.Exp-g.NBF != 60*manifests.Day || g.Aud != a.id.Sign.Public() {
		t.Errorf("granted %+v", g)
	}
	m, got, _ := w.receive(p, b.venue)
	if len(got) != 1 {
		t.Fatal("no mailbox for the second device")
	}
	for _, v := range []venue{a.venue, b.venue} {
		if sound, _ := w.hear(v, m); string(sound[0]) != string(data[0]) {
			t.Error("another sound")
		}
	}
	rec, err := p.Receipt(done.Leases[1].ID)
	if err != nil || rec.Request == nil {
		t.Fatal("no receipt", err)
	}
	if asked, _, err := manifests.OpenRequest(*rec.Request); err != nil || asked.Venue != a.id.Sign.Public() {
		t.Errorf("receipt: %v", err)
	}
	if _, err := w.read(p).chain.OpenGrant(rec.Grant); err != nil {
		t.Errorf("receipt: %v", err)
	}
	// The payment is used up.
	other, err := p.Receive(t.Context(), w.ask(p, b, lease.Wish{Payref: &ref}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Approve(t.Context(), other.ID); !errors.Is(err, ErrTerms) {
		t.Errorf("a payment used twice: %v", err)
	}
	if err := p.Refuse(other.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.Refuse(r.ID); !errors.Is(err, ErrTerms) {
		t.Errorf("an approved request was refused: %v", err)
	}
	if _, err := p.Approve(t.Context(), RequestID{1}); !errors.Is(err, ErrNoRequest) {
		t.Errorf("no request: %v", err)
	}
}

func TestApprovalByRule(t *testing.T) {
	w := newWorld(t)
	p, _ := w.onOffer(Always)
	a := w.asker()
	r, err := p.Receive(t.Context(), w.ask(p, a, lease.Wish{}))
	if err != nil || r.State != Approved || len(r.Leases) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := a.Import(r.Leases[0].File); err != nil {
		t.Error(err)
	}
}

func TestRequestsThatDoNotStand(t *testing.T) {
	w := newWorld(t)
	p, _ := w.onOffer(ByHand)
	a := w.asker()
	file := w.ask(p, a, lease.Wish{})
	r, err := p.Receive(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	// Another price: the old offer is no longer listed.
	if _, err := p.SetOffer(t.Context(), OfferTerms{Playlist: "main", Price: manifests.Price{Amount: 9900, Currency: "EUR"}, Per: 30 * day}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Approve(t.Context(), r.ID); !errors.Is(err, ErrTerms) {
		t.Errorf("approved under an offer that is gone: %v", err)
	}
	fresh := w.ask(p, a, lease.Wish{})
	if r, err = p.Receive(t.Context(), fresh); err != nil || r.Price.Amount != 9900 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.now = w.now.Add(31 * day)
	if _, err := p.Approve(t.Context(), r.ID); !errors.Is(err, ErrTerms) {
		t.Errorf("approved after 31 days: %v", err)
	}
	if _, err := p.Receive(t.Context(), fresh); !errors.Is(err, lease.ErrRefused) {
		t.Errorf("31 days old: %v", err)
	}
	other := newWorld(t)
	q, _ := other.onOffer(ByHand)
	if _, err := q.Receive(t.Context(), fresh); !errors.Is(err, lease.ErrNotYours) {
		t.Errorf("another DJ's: %v", err)
	}
	for name, terms := range map[string]OfferTerms{
		"no playlist":       {Playlist: "none", Price: manifests.Price{Currency: "EUR"}, Per: day},
		"no currency":       {Playlist: "main", Per: day},
		"per nothing":       {Playlist: "main", Price: manifests.Price{Currency: "EUR"}},
		"a hook of nothing": {Playlist: "main", Price: manifests.Price{Currency: "EUR"}, Per: day, Rule: ByHook},
		"another rule":      {Playlist: "main", Price: manifests.Price{Currency: "EUR"}, Per: day, Rule: "perhaps"},
	} {
		if _, err := p.SetOffer(t.Context(), terms); !errors.Is(err, ErrTerms) && !errors.Is(err, ErrNoPlaylist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPendingRequestsAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p, _ := w.onOffer(ByHand)
	a := w.asker()
	for i := range maxPending + 1 {
		_, err := p.Receive(t.Context(), w.ask(p, a, lease.Wish{Start: w.now.Add(time.Duration(i) * time.Second).Unix()}))
		if (err != nil) != (i == maxPending) {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}
