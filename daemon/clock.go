package daemon

import "time"

// boxClock is what the box knows of the time: now is the wall clock.
// given says that whoever opened the repo answers for it.
type boxClock struct {
	now   func() time.Time
	given bool
}

// Wall is the system's clock, and whether it is synchronised from outside.
func (c boxClock) Wall() (unix int64, synchronised bool) {
	return c.now().Unix(), c.given || clockSynchronised()
}

// Boot is how long the box has been up, sleep included, and this boot's id.
func (c boxClock) Boot() (id string, up time.Duration) { return bootID(), uptime() }

// synchronised tells whether something outside keeps the box's clock.
func (d *Daemon) synchronised() bool {
	_, ok := d.clock.Wall()
	return ok
}
