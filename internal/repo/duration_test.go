package repo

import "testing"

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]string{"90s": "1m30s", "12h": "12h0m0s", "30d": "720h0m0s", "4w": "672h0m0s", "1d12h": "36h0m0s"} {
		if d, err := ParseDuration(s); err != nil || d.String() != want {
			t.Errorf("%q is %v (%v), want %s", s, d, err, want)
		}
	}
	for _, s := range []string{"", "0s", "5", "d", "-1d", "1.5h", "9999999999w", "1x", "1d 2h"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q passed as %v", s, d)
		}
	}
}
