package main

import (
	"context"
	"errors"
	"net/http"

	"playnode/daemon"
	"playnode/web"
)

// pages are what a browser sees of a daemon.
func pages(d *daemon.Daemon) http.Handler {
	return web.New(web.Config{Player: speaker{d}, Sets: func() (out []web.Set) {
		for _, s := range d.Screenings() {
			out = append(out, screened{s})
		}
		return out
	}})
}

// opened is the page of links to what is open.
func opened(listed func(dj, id string) ([]byte, bool)) http.Handler { return web.Open(listed) }

// screened is a set on air as pages take it.
type screened struct{ *daemon.Screening }

func (s screened) Segment(_ context.Context, n uint64) (web.Segment, error) {
	p, err := s.Part(n)
	if errors.Is(err, daemon.ErrNotShown) {
		err = web.ErrGone
	}
	return web.Segment(p), err
}
