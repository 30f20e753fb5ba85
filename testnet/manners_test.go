package testnet_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"playnode/testnet/netns"
)

// meter notes what box i's line carries, until it is read.
type meter struct {
	f    field
	box  int
	stop chan struct{}
	done sync.WaitGroup
	at   []time.Time
	seen []netns.Counters
}

func (f field) meter(i int) *meter {
	m := &meter{f: f, box: i, stop: make(chan struct{})}
	m.done.Go(func() {
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			c, err := f.Boxes[i].Counters()
			if err != nil {
				f.Error(err)
				return
			}
			m.at, m.seen = append(m.at, time.Now()), append(m.seen, c)
			select {
			case <-t.C:
			case <-m.stop:
				return
			}
		}
	})
	return m
}

// within fails if any ten seconds have carried more than 105 % of what is
// bound, in bytes a second; 0 bounds nothing.
func (m *meter) within(what string, up, down int64) {
	m.f.Helper()
	close(m.stop)
	m.done.Wait()
	most, fastest := netns.Counters{}, netns.Counters{}
	for i, j := 0, 0; i < len(m.at); i++ {
		for j < len(m.at)-1 && m.at[j].Sub(m.at[i]) < 10*time.Second {
			j++
		}
		took := max(m.at[j].Sub(m.at[i]), 10*time.Second).Seconds() // what is shorter than ten seconds is in such
		most.Sent = max(most.Sent, int64(float64(m.seen[j].Sent-m.seen[i].Sent)/took))
		most.Received = max(most.Received, int64(float64(m.seen[j].Received-m.seen[i].Received)/took))
		if i > 0 {
			s := m.at[i].Sub(m.at[i-1]).Seconds()
			fastest.Sent = max(fastest.Sent, int64(float64(m.seen[i].Sent-m.seen[i-1].Sent)/s))
			fastest.Received = max(fastest.Received, int64(float64(m.seen[i].Received-m.seen[i-1].Received)/s))
		}
	}
	took := m.at[len(m.at)-1].Sub(m.at[0])
	m.f.Logf("%s: in %s at most %d bytes a second up and %d down over ten, %+v over a fifth", what, took.Round(time.Millisecond), most.Sent, most.Received, fastest)
	if up > 0 && most.Sent > up*105/100 {
		m.f.Errorf("%s: %d bytes a second went up, of %d", what, most.Sent, up)
	}
	if down > 0 && most.Received > down*105/100 {
		m.f.Errorf("%s: %d bytes a second came down, of %d", what, most.Received, down)
	}
}

// What is bound is bound whatever carries it, as the line's own counters have
// it: blocks from and to playnodes, and HTTP both ways.
func TestCaps(t *testing.T) {
	t.Parallel()
	f := newField(t, netns.BoxConfig{}, netns.BoxConfig{}, netns.BoxConfig{}, netns.BoxConfig{})
	dj, djID := f.put(0, "dj")
	venue, _ := f.put(1, "venue")
	guest, _ := f.put(2, "guest")
	taker, _ := f.put(3, "taker")
	const size, cap = 4 << 20, 400_000
	f.noise(dj, size)
	gateway := func(i int) string { return fmt.Sprintf("%s:8080", f.Boxes[i].Addr()) }
	d := f.run(dj, onTCP, onQUIC, "--gateway="+gateway(0))
	limits := []string{fmt.Sprint("--upload-limit=", cap), fmt.Sprint("--download-limit=", cap)}
	v := f.run(venue, append(limits, onTCP, onQUIC, "--peer="+d.Addrs[0], "--gateway="+gateway(1))...)
	f.run(guest, append(limits, onTCP, "--origin=http://"+gateway(0))...)
	f.run(taker, onTCP, onQUIC, "--peer="+v.Addrs[0])

	by, web := f.meter(1), f.meter(2)
	var g sync.WaitGroup
	g.Go(func() { f.follow(guest, djID.Name) })
	f.follow(venue, djID.Name)
	g.Wait()
	by.within("from playnodes", cap, cap)
	web.within("by HTTP", cap, cap)

	// The DJ takes it all back as one CAR while another playnode takes it.
	root := f.status(venue).Follows[0].Manifest
	by = f.meter(1)
	ctx, cancel := context.WithCancel(f.ctx)
	var car int64
	g.Go(func() {
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return f.Boxes[0].Dial(ctx, network, address)
		}}}
		defer c.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+gateway(1)+"/ipfs/"+root+"?format=car", nil)
		if err != nil {
			f.Error(err)
			return
		}
		res, err := c.Do(req)
		if err != nil {
			f.Error(err)
			return
		}
		defer res.Body.Close()
		car, _ = io.Copy(io.Discard, res.Body)
	})
	f.follow(taker, djID.Name)
	cancel()
	g.Wait()
	by.within("to playnodes and by HTTP", cap, 0)
	if car < size/10 {
		t.Errorf("by HTTP went %d bytes meanwhile", car)
	}
}

// On a metered line come the beginnings, and the rest from the building alone;
// the line gives nothing.
func TestMetered(t *testing.T) {
	t.Parallel()
	home := netns.BoxConfig{NAT: true, Home: "bar"}
	f := newField(t, netns.BoxConfig{}, home, home, netns.BoxConfig{})
	dj, djID := f.put(0, "dj")
	venue, _ := f.put(1, "venue")
	other, _ := f.put(2, "other")
	stranger, _ := f.put(3, "stranger")
	const size = 4 << 20
	f.noise(dj, size)
	d := f.run(dj, onTCP)
	s := f.run(stranger, onTCP)
	f.run(venue, onTCP, "--network=lan", "--metered", "--peer="+d.Addrs[0], "--peer="+s.Addrs[0])
	f.exits(venue.JSON(f.ctx, nil, "follow", djID.Name, "--once", "--timeout", "3s"), "a whole catalogue over a metered line", 20)
	if x := f.status(venue); x.Follows[0].Missing != 1 || x.Traffic.Received == 0 || x.Traffic.Received > size/4 || !x.Line.Metered {
		t.Errorf("over a metered line came %+v of %+v", x.Traffic, x.Follows)
	}
	f.run(other, onTCP, "--network=lan", "--peer="+d.Addrs[0])
	f.follow(other, djID.Name)
	f.follow(venue, djID.Name) // now it has it all, from the building
	if by := f.status(venue).Traffic.BySource; by["lan"] < size/2 || by["swarm"] > size/4 {
		t.Errorf("to a metered box came %v", by)
	}
	before := f.status(venue).Traffic.Sent
	if _, err := stranger.Run(f.ctx, "follow", djID.Name, "--once", "--timeout", "3s"); err != nil { // others whom it is introduced to may give it
		t.Error(err)
	}
	if sent := f.status(venue).Traffic.Sent - before; sent != 0 {
		t.Errorf("a metered line has given %d bytes", sent)
	}
}
