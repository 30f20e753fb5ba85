package main

import (
	"time"

	"playnode/internal/repo"
)

// duration is a flag's value: 90s, 15m, 12h, 30d or 4w, and sums of them.
type duration time.Duration

func (d *duration) Type() string   { return "duration" }
func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) Set(s string) error {
	v, err := repo.ParseDuration(s)
	*d = duration(v)
	return err
}
