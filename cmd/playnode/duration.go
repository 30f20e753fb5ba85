package main

import (
	"fmt"
	"strconv"
	"time"
)

// duration is a flag's value: 90s, 15m, 12h, 30d or 4w, and sums of them.
type duration time.Duration

func (d *duration) Type() string   { return "duration" }
func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) Set(s string) error {
	v, err := parseDuration(s)
	*d = duration(v)
	return err
}

// parseDuration reads 90s, 12h, 30d, 4w, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration such as 90s, 12h, 30d or 4w", s)
	if s == "" {
		return 0, bad
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	var sum time.Duration
	for s != "" {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		if i == 0 || i == len(s) {
			return 0, bad
		}
		n, err := strconv.ParseInt(s[:i], 10, 64)
		u, ok := units[s[i]]
		if err != nil || !ok || n > int64((1<<63-1-sum)/u) {
			return 0, bad
		}
		sum += time.Duration(n) * u
		s = s[i+1:]
	}
	if sum == 0 {
		return 0, bad
	}
	return sum, nil
}
