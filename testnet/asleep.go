package testnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/daemon"
	"playnode/ipns"
)

// AsleepReport is what became of a name while its DJ slept.
type AsleepReport struct {
	// Days is how long she slept; Issued is when she had signed what the
	// newcomer found, RecordEnd when the record of her name ends or ended,
	// Stale since when the newcomer was told that it is stale, if it is.
	Days      int        `json:"days"`
	Issued    time.Time  `json:"issued"`
	RecordEnd time.Time  `json:"recordEnd"`
	Stale     *time.Time `json:"stale"`
	// ResolvedMs is how long the newcomer took to find the newest record,
	// JoinedMs until all was held.
	ResolvedMs float64 `json:"resolvedMs"`
	JoinedMs   int64   `json:"joinedMs"`
	Tracks     int     `json:"tracks"`
	// Asleep is what play ended with while she slept; Samples and FirstMs are
	// of the newcomer's first playing, then or after her return.
	Asleep  int   `json:"playedAsleepExit"`
	Samples int64 `json:"samples"`
	FirstMs int64 `json:"firstMs"`
	// BackMs is from her return until all Boxes had what she signed then, and
	// none said stale any more.
	BackMs int64 `json:"backMs"`
	Boxes  int   `json:"boxes"`
}

// resolvesWithin and backWithin are what those figures may be.
const (
	resolvesWithin = 100 * time.Millisecond
	backWithin     = 2 * time.Second
)

// locked is the first day on which nothing that was signed on day 0 can be
// unlocked: seven weeks after the end of its own.
const locked = 52

// thirtyDays has a DJ sleep for a month, of which nobody hears anything.
func thirtyDays(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	return asleep(ctx, cfg, dir, 30, 3)
}

// recordEnded has her sleep longer than her record and what it points at are
// good for.
func recordEnded(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	return asleep(ctx, cfg, dir, 57, 1)
}

func asleep(ctx context.Context, cfg RunConfig, dir string, days, venues int) (any, error) {
	c := &cast{program: cfg.Binary, dir: dir, clock: on(0)}
	defer c.leave()
	if cfg.Nodes > 0 {
		venues = cfg.Nodes
	}
	r := AsleepReport{Days: days}
	err := c.asleep(ctx, venues, &r)
	switch {
	case err != nil || cfg.Brief:
	case r.ResolvedMs > float64(resolvesWithin.Milliseconds()):
		err = fmt.Errorf("resolving took %.1f ms", r.ResolvedMs)
	case r.BackMs > backWithin.Milliseconds():
		err = fmt.Errorf("the DJ was back for %d ms before all had heard of it", r.BackMs)
	}
	return r, err
}

func (c *cast) asleep(ctx context.Context, venues int, r *AsleepReport) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	r.Tracks = len(files)
	dj, djID, err := c.enter(ctx, "dj")
	if err != nil {
		return err
	}
	c.dj, c.name = dj, djID.Name
	ark, _, err := c.enter(ctx, "archivist")
	if err != nil {
		return err
	}
	// The newcomer has sent its device, and come no further.
	newcomer, newID, err := c.enter(ctx, "newcomer")
	if err != nil {
		return err
	}
	if err := dj.must(ctx, nil, append([]string{"publish", "--playlist", "bar"}, files...)...); err != nil {
		return err
	}
	if err := dj.must(ctx, nil, "lease", "grant", "bar", "--device", newID.Device, "--for", "120d"); err != nil {
		return err
	}
	if err := dj.start(ctx); err != nil {
		return err
	}
	holders := []*role{ark}
	for i := range venues {
		v, id, err := c.enter(ctx, fmt.Sprint("venue", i+1))
		if err != nil {
			return err
		}
		if err := dj.must(ctx, nil, "lease", "grant", "bar", "--device", id.Device, "--for", "120d"); err != nil {
			return err
		}
		holders = append(holders, v)
	}
	var meet errgroup.Group
	for i, h := range holders {
		meet.Go(func() error {
			if err := h.start(ctx); err != nil {
				return err
			}
			return h.must(ctx, nil, []string{"archive", "follow"}[min(i, 1)], c.name, "--once", "--peer", dj.addr())
		})
	}
	if err := meet.Wait(); err != nil {
		return err
	}
	before, err := c.hear(ctx, holders[1], "bar")
	if err != nil {
		return err
	}
	if before.Skipped > 0 || before.Joins != len(files)-1 {
		return fmt.Errorf("on the first day: %d joins, %d skipped", before.Joins, before.Skipped)
	}
	var link daemon.Shared
	if err := dj.must(ctx, &link, "share", "bar", "--no-addrs"); err != nil {
		return err
	}
	var p daemon.Published
	if err := dj.must(ctx, &p, "publish", "--wait-served", fmt.Sprint(len(holders))); err != nil {
		return err
	}
	for _, x := range append(holders, dj) {
		x.kill()
	}

	// She sleeps.
	today := on(r.Days)
	for _, x := range c.roles {
		x.Clock = today
	}
	if err := ark.start(ctx); err != nil {
		return err
	}
	if err := newcomer.start(ctx); err != nil {
		return err
	}
	if err := c.join(ctx, newcomer, ark, link.Link, p, r); err != nil {
		return err
	}
	h, err := c.hear(ctx, newcomer, "bar")
	code := 0
	if bad := (*playError)(nil); errors.As(err, &bad) {
		code, err = bad.code, nil
	}
	if err != nil {
		return err
	}
	want := 0
	if r.Days >= locked {
		want = 22 // no key reaches so far
	}
	if r.Asleep = code; code != want {
		return fmt.Errorf("on day %d the newcomer's play ended with %d, not %d", r.Days, code, want)
	}

	// She is back.
	for _, v := range holders[1:] {
		if err := v.start(ctx, ark.addr()); err != nil {
			return err
		}
	}
	if r.Stale != nil {
		if f, a, err := holders[1].followed(ctx); err != nil || f.Stale == nil || !stale(a) {
			return fmt.Errorf("%s does not say stale: %+v, alerts %+v, %w", holders[1].name, f, a, err)
		}
	}
	if err := dj.start(ctx, ark.addr()); err != nil {
		return err
	}
	if err := c.back(ctx, append(holders, newcomer), p.Seq, r); err != nil {
		return err
	}
	if r.Asleep != 0 {
		_, err := when(ctx, time.Now(), 30*time.Second, func() (bool, string, error) {
			h, err = c.hear(ctx, newcomer, "bar")
			if bad := (*playError)(nil); errors.As(err, &bad) {
				return false, bad.Error(), nil
			}
			return err == nil, "", err
		})
		if err != nil {
			return err
		}
	}
	r.Samples, r.FirstMs = h.Samples, h.FirstMs
	if h.Skipped > 0 || h.Joins != len(files)-1 || !slices.Equal(h.Sound.PCM, before.Sound.PCM) {
		return fmt.Errorf("the newcomer played %d samples with %d joins, not the first day's %d", h.Samples, h.Joins, before.Samples)
	}
	return nil
}

// join brings the newcomer all, by no more than a link and one peer.
func (c *cast) join(ctx context.Context, newcomer, ark *role, link string, p daemon.Published, r *AsleepReport) error {
	begin := time.Now()
	var f daemon.Followed
	if err := newcomer.must(ctx, &f, "follow", link, "--once", "--peer", ark.addr()); err != nil {
		return err
	}
	r.JoinedMs = time.Since(begin).Milliseconds()
	if f.Seq != p.Seq || f.Held != r.Tracks || f.Missing != 0 || f.Issued == nil || f.Record == nil || f.ResolvedMs == nil {
		return fmt.Errorf("the newcomer has %+v", f)
	}
	r.Issued, r.RecordEnd, r.Stale, r.ResolvedMs = *f.Issued, f.Record.End, f.Stale, *f.ResolvedMs
	_, alerts, err := newcomer.followed(ctx)
	if err != nil {
		return err
	}
	if ended := !on(r.Days).Before(f.Record.End); (f.Stale != nil) != ended || stale(alerts) != ended {
		return fmt.Errorf("the record ends %s, and the newcomer says stale since %v, with alerts %+v", f.Record.End, f.Stale, alerts)
	}
	if want := r.Days >= locked; (f.Stale != nil) != want {
		return fmt.Errorf("stale since %v after %d days", f.Stale, r.Days)
	}
	if age := on(r.Days).Sub(*f.Issued).Round(24 * time.Hour); age != time.Duration(r.Days)*24*time.Hour {
		return fmt.Errorf("the newcomer was told of %s, %s ago", f.Issued, age)
	}
	return nil
}

// stale tells whether a is about a record that has ended.
func stale(a []daemon.Alert) bool {
	return slices.ContainsFunc(a, func(a daemon.Alert) bool { return a.Kind == ipns.Stale })
}

// back waits until boxes have what the DJ has signed since seq.
func (c *cast) back(ctx context.Context, boxes []*role, seq uint64, r *AsleepReport) error {
	begin := time.Now()
	took := make([]time.Duration, len(boxes))
	var g errgroup.Group
	for i, b := range boxes {
		g.Go(func() (err error) {
			took[i], err = when(ctx, begin, time.Minute, func() (bool, string, error) {
				f, a, err := b.followed(ctx)
				return f.Seq > seq && f.Stale == nil && !stale(a), fmt.Sprintf("%s has revision %d, stale %v", b.name, f.Seq, f.Stale), err
			})
			return err
		})
	}
	err := g.Wait()
	r.BackMs, r.Boxes = slices.Max(took).Milliseconds(), len(boxes)
	return err
}
