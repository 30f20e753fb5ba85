package testnet

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"playnode/daemon"
)

// SevenDaysReport is what happened to a venue without a line.
type SevenDaysReport struct {
	Tracks int `json:"tracks"`
	// Samples are those of one playing; Days are the days it was played on.
	Samples int64 `json:"samples"`
	Days    []int `json:"days"`
	// Slots is how many places of a track there were, Empty how many of them
	// had no sound, or not the one of the first day.
	Slots int `json:"slots"`
	Empty int `json:"empty"`
	// SlowestMs is the longest wait for a first sample while the line was cut,
	// FirstDayMs that of the day when it was not.
	FirstDayMs int64 `json:"firstDayMs"`
	SlowestMs  int64 `json:"slowestMs"`
	// Fetched is how many bytes came from anywhere meanwhile.
	Fetched int64 `json:"fetched"`
	// LeaseUntil is the lease's end.
	LeaseUntil time.Time `json:"leaseUntil"`
	// CaughtUpMs is from the line's return to the version missed.
	CaughtUpMs int64 `json:"caughtUpMs"`
}

// startsWithin is the longest that a first sample may take with no line: what
// a dead connection can cost is many times as much.
const startsWithin = 2 * time.Second

// sevenDays has a venue play through a week without internet.
func sevenDays(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	c := &cast{program: cfg.Binary, dir: dir, clock: on(0)}
	defer c.leave()
	var r SevenDaysReport
	err := c.sevenDays(ctx, cfg.Brief, &r)
	switch {
	case err != nil:
	case r.Empty > 0 || r.Slots != r.Tracks*len(r.Days):
		err = fmt.Errorf("%d of %d slots were empty", r.Empty, r.Slots)
	case r.Fetched > 0:
		err = fmt.Errorf("%d bytes came from somewhere", r.Fetched)
	case !cfg.Brief && r.SlowestMs > startsWithin.Milliseconds():
		err = fmt.Errorf("a first sample took %d ms: something waited for the network", r.SlowestMs)
	}
	return r, err
}

func (c *cast) sevenDays(ctx context.Context, brief bool, r *SevenDaysReport) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	dj, djID, err := c.enter(ctx, "dj")
	if err != nil {
		return err
	}
	venue, venueID, err := c.enter(ctx, "venue")
	if err != nil {
		return err
	}
	c.dj, c.name = dj, djID.Name
	last := len(files) - 1
	if err := dj.must(ctx, nil, append([]string{"publish", "--playlist", "bar"}, files[:last]...)...); err != nil {
		return err
	}
	if err := dj.start(ctx); err != nil {
		return err
	}
	if err := venue.start(ctx); err != nil {
		return err
	}
	if err := venue.must(ctx, nil, "follow", c.name, "--once", "--peer", dj.addr()); err != nil {
		return err
	}
	file := filepath.Join(c.dir, "bar.lease")
	var lease daemon.Leased
	if err := dj.must(ctx, nil, "lease", "grant", "bar", "--device", venueID.Device, "--for", "30d", "--out", file); err != nil {
		return err
	}
	if err := venue.must(ctx, &lease, "lease", "import", file); err != nil {
		return err
	}
	first, err := c.hear(ctx, venue, "bar")
	if err != nil {
		return err
	}
	r.Tracks, r.Samples, r.FirstDayMs, r.LeaseUntil = last, first.Samples, first.FirstMs, lease.Until
	if first.Skipped > 0 || first.Joins != last-1 || first.Samples == 0 {
		return fmt.Errorf("on the first day: %d joins, %d skipped", first.Joins, first.Skipped)
	}

	// The line is cut, in the worst way: what it leads to takes connections
	// and says nothing more.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("open a mute port: %w", err)
	}
	defer mute.Close()
	nobody := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", mute.Addr().(*net.TCPAddr).Port, djID.Peer)
	dj.kill()
	venue.kill()
	// Meanwhile the DJ adds a track, which nobody can hear of.
	dj.Clock = on(3)
	var missed daemon.Published
	if err := dj.must(ctx, &missed, "publish", "--playlist", "bar", files[last]); err != nil {
		return err
	}
	days := []int{1, 2, 3, 4, 5, 6, 7}
	if brief {
		days = []int{4, 7} // a lease's next week has begun, and the last day
	}
	for _, day := range days {
		if err := c.dayWithoutLine(ctx, venue, nobody, day, first, r); err != nil {
			return fmt.Errorf("day %d: %w", day, err)
		}
	}

	// The line is back.
	dj.Clock, venue.Clock = on(7), on(7)
	if err := dj.start(ctx); err != nil {
		return err
	}
	begin := time.Now()
	if err := venue.start(ctx, dj.addr()); err != nil {
		return err
	}
	took, err := when(ctx, begin, 30*time.Second, func() (bool, string, error) {
		f, _, err := venue.followed(ctx)
		return f.Seq >= missed.Seq && f.Held == len(files) && f.Missing == 0, fmt.Sprintf("revision %d of %d", f.Seq, missed.Seq), err
	})
	r.CaughtUpMs = took.Milliseconds()
	return err
}

// dayWithoutLine is one day at a venue whose only peer is nobody.
func (c *cast) dayWithoutLine(ctx context.Context, venue *role, nobody string, day int, first heard, r *SevenDaysReport) error {
	venue.Clock = on(day)
	if err := venue.start(ctx, nobody); err != nil {
		return err
	}
	defer venue.kill()
	h, err := c.hear(ctx, venue, "bar")
	if err != nil {
		return err
	}
	var s daemon.Status
	if err := venue.must(ctx, &s, "status"); err != nil {
		return err
	}
	r.Days, r.Slots = append(r.Days, day), r.Slots+r.Tracks
	if h.Skipped > 0 {
		r.Empty += h.Skipped
	} else if !slices.Equal(h.Sound.PCM, first.Sound.PCM) {
		r.Empty++
	}
	for _, n := range s.Traffic.BySource {
		r.Fetched += n
	}
	r.SlowestMs = max(r.SlowestMs, h.FirstMs)
	return nil
}
