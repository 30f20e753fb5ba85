package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// result prints v as JSON, or by text, on stdout.
func (a *app) result(v any, text func()) error {
	if a.json {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	if text != nil {
		text()
	}
	return nil
}

// say tells people something, on stderr.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		a.bar.note(fmt.Sprintf(format, args...))
	}
}

// printf writes a line of the result for people.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// clean makes text of a stranger's safe for a terminal: no control and no
// formatting characters, so that a title cannot move the cursor or turn
// writing round.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

// clock writes a length as m:ss or h:mm:ss.
func clock(ms int64) string {
	s := (ms + 500) / 1000
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// day writes a time for people, in their zone.
func day(t time.Time) string { return t.Local().Format("Mon 2 Jan 2006 15:04 MST") }

// size writes bytes for people.
func size(n int64) string {
	const k = 1000
	if n < k {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/k, "kMGTP"
	for v >= k && len(units) > 1 {
		v, units = v/k, units[1:]
	}
	return fmt.Sprintf("%.1f %cB", v, units[0])
}

// plural counts things.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
