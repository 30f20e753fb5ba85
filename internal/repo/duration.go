package repo

import (
	"fmt"
	"strconv"
	"time"
)

// ParseDuration reads 90s, 12h, 30d, 4w, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
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
