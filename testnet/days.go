package testnet

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"playnode/daemon"
	"playnode/testnet/binary"
	"playnode/testnet/music"
)

// dayOne is when the stories of days begin: a Monday noon. Weeks of leases
// end on Thursdays.
var dayOne = time.Date(2031, time.March, 3, 12, 0, 0, 0, time.UTC)

// on is noon of a day, the first being 0.
func on(day int) time.Time { return dayOne.AddDate(0, 0, day) }

// cast is who is in a story, and what all of them have in common.
type cast struct {
	program, dir string
	clock        time.Time // of those who enter; zero is the wall clock
	roles        []*role

	dj   *role
	name string // of the DJ
}

// enter makes a box for name.
func (c *cast) enter(ctx context.Context, name string) (*role, daemon.Identity, error) {
	r, id, err := newRole(ctx, c.program, c.dir, name, c.clock)
	if err == nil {
		c.roles = append(c.roles, r)
	}
	return r, id, err
}

// leave ends what still runs.
func (c *cast) leave() {
	for _, r := range c.roles {
		r.kill()
	}
}

// files unpacks the music that comes along and returns its paths in order.
func (c *cast) files() ([]string, error) {
	dir := filepath.Join(c.dir, "files")
	if err := unpack(music.Files(), dir); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "*.*"))
}

// heard is what one playing gave.
type heard struct {
	// FirstMs is from the command to the first sample.
	FirstMs int64
	Samples int64
	Joins   int
	Skipped int
	Sound   binary.Sound
}

// playError is a play that ended with another code than 0.
type playError struct {
	who  string
	code int
	said string
}

func (e *playError) Error() string {
	return fmt.Sprintf("%s: play ended with %d: %s", e.who, e.code, e.said)
}

// hear has venue play playlist once, into a file, which it reads.
func (c *cast) hear(ctx context.Context, venue *role, playlist string) (h heard, err error) {
	file := filepath.Join(c.dir, "heard.wav")
	begin := time.Now()
	code, said, err := venue.run(ctx, func(m json.RawMessage) error {
		var e binary.Event
		err := json.Unmarshal(m, &e)
		switch e.Event {
		case "start":
			h.FirstMs = time.Since(begin).Milliseconds()
		case "done":
			h.Samples, h.Joins, h.Skipped = e.Samples, e.Joins, e.Skipped
		}
		return err
	}, "play", c.name+"/"+playlist, "--sink", "wav:"+file, "--once")
	if err == nil && code != 0 {
		err = &playError{venue.name, code, said}
	}
	if err == nil {
		h.Sound, err = binary.ReadWAV(file)
	}
	return h, err
}

// when waits until met says so, and tells how long that took from begin on.
// It gives up after patience, with what met says then.
func when(ctx context.Context, begin time.Time, patience time.Duration, met func() (bool, string, error)) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, how, err := met()
		if took := time.Since(begin); ok || err != nil {
			return took, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("after %s: %s", patience, how)
		}
	}
}

// followed is how the one name that r follows stands, or an archivist keeps.
func (r *role) followed(ctx context.Context) (daemon.Followed, []daemon.Alert, error) {
	var s daemon.Status
	if err := r.must(ctx, &s, "status"); err != nil {
		return daemon.Followed{}, nil, err
	}
	if len(s.Follows) != 1 {
		return daemon.Followed{}, nil, fmt.Errorf("%s follows %d names", r.name, len(s.Follows))
	}
	return s.Follows[0], s.Alerts, nil
}
