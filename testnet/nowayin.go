package testnet

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"playnode/daemon"
	"playnode/testnet/binary"
	"playnode/testnet/netns"
)

// NoWayInReport is how a catalogue came to venues that nobody can reach, from
// a DJ whom nobody can reach.
type NoWayInReport struct {
	// Catalogue is the sound's size, in bytes.
	Catalogue int64 `json:"catalogueBytes"`
	// LeaseMs is how long a request for a lease took to the DJ and back,
	// through the relay.
	LeaseMs int64 `json:"leaseMs"`
	// Venue can dial out, Guest by HTTP alone.
	Venue NoWayInVenue `json:"venue"`
	Guest NoWayInVenue `json:"guest"`
	// DJLine is what the DJ's line sent once the archivist had everything: what
	// went to the venues through the relay, and all else.
	DJLine int64 `json:"djLineBytes"`
}

// NoWayInVenue is one of the venues.
type NoWayInVenue struct {
	// FollowMs is from the command to all that is public being here, FirstMs
	// from play to the first sample.
	FollowMs int64 `json:"followMs"`
	FirstMs  int64 `json:"firstMs"`
	Samples  int64 `json:"samples"`
	// BySource is where its bytes of blocks came from.
	BySource map[string]int64 `json:"bySource"`
	Reach    daemon.Reach     `json:"reach"`
}

// web is how much of what a venue has came by HTTP.
func (v NoWayInVenue) web() (n, all int64) {
	for source, k := range v.BySource {
		if source == "local" {
			continue
		}
		if all += k; strings.HasPrefix(source, "http ") {
			n += k
		}
	}
	return n, all
}

func noWayIn(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	var r NoWayInReport
	size := int64(20 << 20)
	if cfg.Brief {
		size = 1 << 20
	}
	c := &cast{program: cfg.Binary, dir: dir}
	defer c.leave()
	err := c.noWayIn(ctx, size, &r)
	if err != nil {
		return r, err
	}
	web, all := r.Guest.web()
	switch {
	case web < r.Catalogue || web != all:
		err = fmt.Errorf("by HTTP came %d of %d bytes", web, all)
	case r.Venue.Samples == 0 || r.Venue.Samples != r.Guest.Samples:
		err = fmt.Errorf("the venues heard %d and %d samples", r.Venue.Samples, r.Guest.Samples)
	case r.Venue.Reach.State != "private" && r.Venue.Reach.State != "unknown":
		err = fmt.Errorf("a venue that nobody gets to takes itself for %s", r.Venue.Reach.State)
	case r.DJLine > r.Catalogue/4+256<<10:
		err = fmt.Errorf("the DJ's line sent %d bytes after the archivist had everything", r.DJLine)
	}
	return r, err
}

func (c *cast) noWayIn(ctx context.Context, size int64, r *NoWayInReport) error {
	shut := netns.BoxConfig{NAT: true, Symmetric: true, Line: netns.Line{Delay: 5 * time.Millisecond}}
	guest := shut
	guest.Web = true
	world, err := netns.Open(ctx, netns.Config{Boxes: []netns.BoxConfig{{}, shut, shut, guest}, Seed: 1})
	if err != nil {
		return err
	}
	defer world.Close()
	music := filepath.Join(c.dir, "noise")
	if err := binary.Noise(music, size); err != nil {
		return err
	}
	enter := func(i int, name string) (*role, daemon.Identity, error) {
		x, id, err := c.enter(ctx, name)
		x.Within, x.listen = world.Boxes[i].Within(), "/ip4/0.0.0.0/tcp/4001"
		return x, id, err
	}
	ark, _, err := enter(0, "archivist")
	if err != nil {
		return err
	}
	dj, id, err := enter(1, "dj")
	if err != nil {
		return err
	}
	venue, _, err := enter(2, "venue")
	if err != nil {
		return err
	}
	guests, guestID, err := enter(3, "guests")
	if err != nil {
		return err
	}
	c.name = id.Name
	gateway := fmt.Sprintf("%s:8080", world.Boxes[0].Addr())
	if err := ark.startWith(ctx, nil, "--relay", "--reach", "public", "--gateway", gateway); err != nil {
		return err
	}
	if err := dj.must(ctx, nil, "publish", "--playlist", "bar", music); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"offer", "set", "bar", "--price", "0EUR", "--per", "1d", "--auto"},
		// The guests' device came by mail; their grant lies in a mailbox of the
		// catalogue.
		{"lease", "grant", "bar", "--device", guestID.Device, "--for", "1d"},
		{"publish"},
	} {
		if err := dj.must(ctx, nil, args...); err != nil {
			return err
		}
	}
	if err := dj.start(ctx, ark.addr()); err != nil {
		return err
	}
	if err := ark.must(ctx, nil, "archive", c.name, "--once"); err != nil {
		return err
	}
	// She is reached through the archivist once she has found out that they
	// have a name in common.
	if _, err := when(ctx, time.Now(), 2*time.Minute, func() (bool, string, error) {
		var s daemon.Status
		err := dj.must(ctx, &s, "status")
		return len(s.Reach.Relays) > 0, "the DJ has no relay", err
	}); err != nil {
		return err
	}
	var link struct{ Link string }
	if err := dj.must(ctx, &link, "share", "bar", "--origin", "http://"+gateway); err != nil {
		return err
	}
	before, err := world.Boxes[1].Counters()
	if err != nil {
		return err
	}
	for _, v := range []struct {
		*role
		to *NoWayInVenue
	}{{venue, &r.Venue}, {guests, &r.Guest}} {
		if err := v.start(ctx); err != nil {
			return err
		}
		begin := time.Now()
		var f daemon.Followed
		if err := v.must(ctx, &f, "follow", link.Link, "--once"); err != nil {
			return err
		}
		v.to.FollowMs = time.Since(begin).Milliseconds()
		if f.Missing != 0 || f.Held == 0 {
			return fmt.Errorf("%s holds %d tracks and misses %d", v.name, f.Held, f.Missing)
		}
		if v.role == venue {
			begin = time.Now()
			if err := v.must(ctx, nil, "lease", "request", c.name+"/bar"); err != nil {
				return err
			}
			r.LeaseMs = time.Since(begin).Milliseconds()
		}
		h, err := c.hear(ctx, v.role, "bar")
		if err != nil {
			return err
		}
		var s daemon.Status
		if err := v.must(ctx, &s, "status"); err != nil {
			return err
		}
		v.to.FirstMs, v.to.Samples, v.to.BySource, v.to.Reach = h.FirstMs, h.Samples, s.Traffic.BySource, s.Reach
	}
	after, err := world.Boxes[1].Counters()
	r.Catalogue, r.DJLine = size, after.Sent-before.Sent
	return err
}
