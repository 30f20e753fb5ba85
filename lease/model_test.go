package lease

import (
	"flag"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"playnode/manifests"
)

// model is what a venue should have access to, told without a key: the
// grants that reached it, the revision in use, and the time.
type model struct {
	*testVenue
	known   map[manifests.LeaseID]manifests.Grant
	revoked map[[16]byte]map[manifests.LeaseID]bool // by generation
	m       *manifests.Manifest
}

// published is a revision with the grants that its mailboxes carry.
type published struct {
	m      *manifests.Manifest
	grants []manifests.Grant
}

// access is where the sound may go on.
func (o *model) access(now int64) bool {
	if o.m == nil {
		return false
	}
	p := manifests.Period(now, o.m.Unit)
	for id, g := range o.known {
		if g.GID == o.m.GID && !o.revoked[g.GID][id] && g.NBF <= now && now < g.End() && g.Win != nil &&
			g.Win.First <= p && p <= g.Win.Last && p >= o.m.Cur && p <= o.m.Cur+manifests.Ahead(o.m.Unit) {
			return true
		}
	}
	return false
}

// take is how a grant of some number becomes what the venue has.
func (o *model) take(g manifests.Grant, now int64) {
	old, ok := o.known[g.Lease]
	if now >= g.End() || ok && old.N > g.N || o.revoked[g.GID][g.Lease] {
		return
	}
	o.known[g.Lease] = g
}

// TestAccessIsWhereTheModelSays lets a DJ grant, renew, revoke, sleep and
// publish, and venues sync, replay old files, restart and have their clocks
// set back unseen, in any order.
func TestAccessIsWhereTheModelSays(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		f.Value.Set("15") // each seals thousands of mailboxes
		defer f.Value.Set(f.DefValue)
	}
	rapid.Check(t, func(rt *rapid.T) {
		d := newDJ(t, manifests.Day)
		d.addTrack("one")
		var newest published
		var files [][]byte // of any lease
		var fileOf []manifests.Grant
		venues := make([]*model, 3)
		owner := map[manifests.LeaseID]int{}
		for i := range venues {
			venues[i] = &model{testVenue: newVenue(t), known: map[manifests.LeaseID]manifests.Grant{}, revoked: map[[16]byte]map[manifests.LeaseID]bool{}}
		}
		publish := func() {
			newest = published{m: d.publish()}
			for _, x := range d.tenants {
				if g, err := manifests.DecodeGrant(x.Grant.Payload.Data); err == nil && x.live(d.now) {
					newest.grants = append(newest.grants, *g)
				}
			}
		}
		keep := func(g *manifests.Delivery, id Identity) {
			g.Roots, g.Name = d.roots, d.name
			decoded, err := manifests.DecodeGrant(g.Grant.Payload.Data)
			if err != nil {
				rt.Fatal(err)
			}
			files, fileOf = append(files, d.file(g, id)), append(fileOf, *decoded)
		}
		publish()
		hours := rapid.Int64Range(1, 20*24)
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
		rt.Repeat(map[string]func(*rapid.T){
			"grant": func(rt *rapid.T) {
				i := pick(len(venues))
				x := Tenant{Name: d.name, Terms: Terms{
					Device: manifests.Device{K: venues[i].id.Sign.Public(), PK: venues[i].id.Open.Public()},
					From:   d.now, Until: d.now + 3600*hours.Draw(rt, "hours"),
					Window: manifests.Day * rapid.Int64Range(0, 4).Draw(rt, "window"),
				}}
				g, err := d.sel.Draw(d.now, 1, d.pub, &x)
				if err != nil {
					rt.Fatal(err)
				}
				d.tenants = append(d.tenants, x)
				owner[x.Lease] = i
				keep(g, venues[i].id)
			},
			"renew": func(rt *rapid.T) {
				if len(d.tenants) == 0 {
					return
				}
				i := pick(len(d.tenants))
				d.renew(i, max(d.now, d.tenants[i].Until)+3600*hours.Draw(rt, "hours"))
				g, err := d.sel.delivery(d.tenants[i])
				if err != nil {
					rt.Fatal(err)
				}
				keep(g, venues[owner[d.tenants[i].Lease]].id)
			},
			"revoke": func(rt *rapid.T) {
				if len(d.tenants) == 0 {
					return
				}
				i := pick(len(d.tenants))
				d.tenants = slices.Delete(d.tenants, i, i+1)
				d.sel = d.sel.Revoke()
				publish()
			},
			"publish": func(*rapid.T) { publish() },
			"sync": func(rt *rapid.T) {
				v := venues[pick(len(venues))]
				v.receive(d, newest.m)
				v.m = newest.m
				carried := map[manifests.LeaseID]bool{}
				for _, g := range newest.grants {
					if g.Dev == v.id.Sign.Public() {
						carried[g.Lease] = true
						v.take(g, d.now)
					}
				}
				for id, g := range v.known {
					if g.Gen < v.m.Gen && !carried[id] && d.now < g.End() {
						if v.revoked[g.GID] == nil {
							v.revoked[g.GID] = map[manifests.LeaseID]bool{}
						}
						v.revoked[g.GID][id] = true
					}
				}
			},
			"replay a file": func(rt *rapid.T) {
				if len(files) == 0 {
					return
				}
				i := pick(len(files))
				v := venues[pick(len(venues))]
				_, err := v.Import(files[i])
				if v != venues[owner[fileOf[i].Lease]] {
					if err == nil {
						rt.Fatal("another's grant was taken in")
					}
					return
				}
				v.take(fileOf[i], d.now)
			},
			"time passes": func(rt *rapid.T) {
				s := 3600 * rapid.Int64Range(1, 60).Draw(rt, "hours")
				d.now += s
				for _, v := range venues {
					v.clock.pass(s)
				}
			},
			"restart": func(rt *rapid.T) { venues[pick(len(venues))].restart() },
			"": func(rt *rapid.T) {
				for i, v := range venues {
					if v.m == nil {
						continue
					}
					u, err := v.Unlock(v.m)
					if (err == nil) != v.access(d.now) {
						rt.Fatalf("venue %d at %d: access is %v (%v), the model says %v", i, d.now, err == nil, err, !(err == nil))
					}
					if err != nil {
						continue
					}
					if u.Until <= d.now || v.access(u.Until) && len(v.known) == 1 {
						rt.Fatalf("venue %d at %d is told that sound ends at %d", i, d.now, u.Until)
					}
					u.Close()
				}
			},
		})
	})
}
