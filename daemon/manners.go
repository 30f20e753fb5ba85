package daemon

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"playnode/fetch"
	"playnode/internal/repo"
)

// ofLine is what blocks may take of a line's bound: the rest is headers,
// acknowledgements, and words. Blocks wait in the exchange then, which knows
// what is urgent, and not at the line, which does not.
func ofLine(limit int64) int64 { return limit * 93 / 100 }

// here is the time by the clock of the venue's zone.
func (d *Daemon) here() time.Time { return d.now().In(d.zone) }

// quietNow tells whether these are quiet hours, by the clock of the venue's zone.
func (d *Daemon) quietNow() bool { return len(d.quiet) > 0 && d.quiet.At(d.here()) }

// manners is how the line is left to others now.
func (d *Daemon) manners() fetch.Manners {
	yes := d.repo.Config.Metered || d.quietNow()
	return fetch.Manners{Rest: yes, Keep: yes}
}

// nearPeer tells whether a peer is in one of our networks.
func (d *Daemon) nearPeer(peer string) bool {
	d.mu.Lock()
	n := d.opened
	d.mu.Unlock()
	return n != nil && n.node.Near(peer)
}

// keptFrom is h for those who are near, and for all while the line is ours.
func (d *Daemon) keptFrom(n *network, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := netip.ParseAddrPort(r.RemoteAddr)
		if d.manners().Keep && (err != nil || !n.node.NearIP(at.Addr())) {
			w.Header().Set("Retry-After", "600")
			http.Error(w, "the line is left to others now", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// tally counts what the connections of a listener send.
type tally struct {
	net.Listener
	sent *atomic.Int64
}

func (t tally) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tallied{c, t.sent}, nil
}

type tallied struct {
	net.Conn
	sent *atomic.Int64
}

func (t tallied) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.sent.Add(int64(n))
	return n, err
}

// line is how the line is used.
func (d *Daemon) line() Line {
	c := d.repo.Config
	l := Line{UploadLimit: c.UploadLimit, DownloadLimit: c.DownloadLimit, QuietHours: append([]string{}, c.QuietHours...), Metered: c.Metered, Quiet: d.quietNow()}
	if l.Quiet {
		until := d.quiet.Until(d.here())
		l.Until = &until
	}
	return l
}

// why is why the line is left to others.
func (l Line) why() string {
	if l.Metered || l.Until == nil {
		return "metered"
	}
	return "quiet until " + l.Until.Format("15:04")
}

// today counts a day's bytes, across processes.
type today struct {
	mu    sync.Mutex // guards what follows
	store *repo.Bucket
	day   Today   // what was counted, unless Since is zero
	last  Traffic // when it was counted
	kept  int64   // bytes, when it was stored
}

// todayKey is where the day is stored.
const todayKey = "today"

// countToday adds what has passed since it was last called. What passes
// meanwhile at midnight is of the day after.
func (d *Daemon) countToday(n *network) Today {
	t, now := d.traffic(n), d.here()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	x := &d.today
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.day.Since.IsZero() {
		if raw, err := x.store.Get(todayKey); err == nil {
			json.Unmarshal(raw, &x.day) // what does not read is counted anew
		}
	}
	if !x.day.Since.Equal(midnight) {
		x.day = Today{Since: midnight}
	}
	add := func(to *map[string]int64, now, before map[string]int64) {
		if *to == nil {
			*to = map[string]int64{}
		}
		for k, v := range now {
			(*to)[k] += v - before[k]
		}
	}
	x.day.Sent += t.Sent - x.last.Sent
	x.day.Received += t.Received - x.last.Received
	add(&x.day.BySource, t.BySource, x.last.BySource)
	add(&x.day.ByWay, t.ByWay, x.last.ByWay)
	x.last = t
	if all := x.day.Sent + x.day.Received; all != x.kept {
		if raw, err := json.Marshal(x.day); err == nil {
			err = x.store.Put(todayKey, raw)
			if err != nil {
				d.log.Debug("count the day's bytes", "err", err)
			}
		}
		x.kept = all
	}
	out := x.day
	out.BySource, out.ByWay = maps.Clone(out.BySource), maps.Clone(out.ByWay)
	return out
}

// keepToday counts while the daemon runs, and once more at its end.
func (d *Daemon) keepToday(ctx context.Context, n *network) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		d.countToday(n)
		select {
		case <-t.C:
		case <-ctx.Done():
			d.countToday(n)
			return nil
		}
	}
}
