package main

import (
	"fmt"
	"strings"
	"time"

	"playnode/daemon"
)

const (
	// silentFor is how much silence a DJ is told of, warnEvery how often that
	// she clips.
	silentFor = 10 * time.Second
	warnEvery = 30 * time.Second
	// cells is how long the meter is, a dB and a half each.
	cells = 32
)

// levels shows how a set comes in: on a terminal in a line that is written over,
// elsewhere every few seconds in one of its own.
type levels struct {
	b       *bar
	shown   time.Time
	clipped int64
	warned  time.Time
	silent  bool
}

func (v *levels) event(l *daemon.LiveEvent, now time.Time) {
	for _, w := range v.warnings(l.Levels, now) {
		v.b.line("", true)
		v.b.note(w)
	}
	if v.shown.IsZero() {
		v.shown = now
	}
	line := "on air " + clock(l.Ms)
	if x := l.Levels; x != nil {
		line += fmt.Sprintf("  %s  peak %5.1f dBFS  %5.1f LUFS", gauge(x.Peak), x.Peak, x.LUFS)
	}
	if v.b.line(line, now.Sub(v.shown) >= quietLines) {
		v.shown = now
	}
}

// warnings is what is wrong with how a set comes in, and was not said just now.
func (v *levels) warnings(l *daemon.Levels, now time.Time) (out []string) {
	if l == nil {
		return nil
	}
	if l.Clipped > v.clipped && now.Sub(v.warned) >= warnEvery {
		out = append(out, "the sound is cut off at full scale (it clips): turn it down in your program")
		v.warned = now
	}
	v.clipped = l.Clipped
	silent := time.Duration(l.SilentMs)*time.Millisecond >= silentFor
	if silent && !v.silent {
		out = append(out, "nothing but silence comes in: is it the right input?")
	}
	if !silent && v.silent {
		out = append(out, "there is sound again")
	}
	v.silent = silent
	return out
}

// gauge is a peak as a bar that ends at full scale.
func gauge(dBFS float64) string {
	n := max(0, min(cells, int(cells+dBFS/1.5)))
	return "[" + strings.Repeat("#", n) + strings.Repeat("-", cells-n) + "]"
}
