package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"playnode/daemon"
)

// quietLines is how often long work says a line where there is no terminal.
const quietLines = 3 * time.Second

// bar shows events: a progress bar on a terminal, a line every few seconds
// elsewhere, nothing with --quiet. The zero bar drops everything but notes.
type bar struct {
	mu   sync.Mutex // guards all below
	w    io.Writer
	off  bool
	tty  bool
	pool *mpb.Progress
	bars map[string]*mpb.Bar
	last time.Time
}

func (b *bar) start(a *app) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := a.err.(interface{ Fd() uintptr })
	b.w, b.off = a.err, a.quiet
	b.tty = ok && isatty.IsTerminal(f.Fd()) && !a.json
}

// event shows one.
func (b *bar) event(e daemon.Event) {
	if e.Note != "" {
		b.note(e.Note)
	}
	if e.Progress != nil {
		b.progress(*e.Progress)
	}
}

// note says one line above the bars.
func (b *bar) note(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.off || b.w == nil:
	case b.pool != nil:
		fmt.Fprintln(b.pool, clean(s))
	default:
		fmt.Fprintln(b.w, clean(s))
	}
}

// line writes over the line before on a terminal, and elsewhere one of its own
// if it is due; it tells whether it did.
func (b *bar) line(s string, due bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.off || b.w == nil:
	case b.tty:
		fmt.Fprintf(b.w, "\r%s\x1b[K", s)
		return true
	case due && s != "":
		fmt.Fprintln(b.w, s)
		return true
	}
	return false
}

func (b *bar) progress(p daemon.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off || b.w == nil {
		return
	}
	if !b.tty {
		now := time.Now()
		if now.Sub(b.last) >= quietLines && !b.last.IsZero() {
			fmt.Fprintf(b.w, "%s: %s of %s\n", clean(p.What), amount(p.Done, p.Unit), amount(p.Total, p.Unit))
			b.last = now
		}
		if b.last.IsZero() {
			b.last = now
		}
		return
	}
	if b.pool == nil {
		b.pool, b.bars = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(64)), map[string]*mpb.Bar{}
	}
	m := b.bars[p.What]
	if m == nil {
		unit := p.Unit
		m = b.pool.AddBar(p.Total,
			mpb.PrependDecorators(decor.Name(clean(p.What), decor.WC{C: decor.DindentRight | decor.DextraSpace})),
			mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
				return amount(s.Current, unit) + " of " + amount(s.Total, unit)
			})))
		b.bars[p.What] = m
	}
	m.SetTotal(p.Total, false)
	m.SetCurrent(p.Done)
}

func amount(n int64, unit string) string {
	if unit == "bytes" {
		return size(n)
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// close ends the bars; later notes go to the terminal as they are.
func (b *bar) close() {
	b.mu.Lock()
	pool, bars := b.pool, b.bars
	b.pool, b.bars = nil, nil
	b.mu.Unlock()
	for _, m := range bars {
		m.SetTotal(-1, true)
		m.Abort(false)
	}
	if pool != nil {
		pool.Wait()
	}
}
