package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

// liveMount is where a pipe comes in.
const liveMount = "/live"

func (a *app) liveCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.LiveRequest
	var stdin bool
	c := &cobra.Command{
		Use:   "live P [FILE]",
		Short: "go on air: a set that followers of playlist P hear as you play it",
		Long: `Puts a set on air for all who lease playlist P. It comes from a program that
sends to an Icecast server (Mixxx, butt, ffmpeg, liquidsoap), which is told the
address and password that are printed here; with --stdin from a pipe; or from
FILE, at its own pace. mp3, Ogg Opus, Ogg Vorbis and FLAC become tracks that
everyone plays; AAC, MPEG-TS, fragmented MP4 and WebM are carried as they come.

With --open everyone hears it who has the link that is printed, by playnode
listen LINK; with --web URL, the address of a box whose gateway people reach, in
any browser as well. The link opens this set and nothing else of yours.

A source that is lost may come back: the set goes on. ^C ends it, and it becomes
a track of the playlist, of which nothing is sent again. A set of more than 12 h,
or --part, becomes one track after the other while it is on air. With --keep the
playlist is a channel: it keeps that much of what was on air last, this time and
the times before, and all else of it is given up, here and wherever it is held.`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) < 1 || len(args) > 2:
				return usageError{errors.New("wants a playlist's name, and a file or none"), c.CommandPath()}
			case len(args) == 2 && (stdin || c.Flags().Changed("icecast")):
				return usageError{errors.New("a set comes from one of FILE, --stdin and --icecast"), c.CommandPath()}
			case stdin && c.Flags().Changed("icecast"):
				return usageError{errors.New("a set comes from one of FILE, --stdin and --icecast"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist = args[0]
			switch {
			case len(args) == 2:
				file, err := absolute(args[1])
				if err != nil {
					return err
				}
				req.File, req.Icecast = file, ""
			case stdin:
				req.Icecast, req.Mount, req.Once = "127.0.0.1:0", liveMount, true
			}
			return a.onAir(c, req, stdin)
		},
	}
	node.add(c)
	f := c.Flags()
	f.StringVar(&req.Icecast, "icecast", "127.0.0.1:8000", "take sources at this address; another than this machine's own lets all who know the password on air")
	f.StringVar(&req.Mount, "mount", "", "the one mount that is taken; any, where not given")
	f.StringVar(&req.User, "user", "", "the name that sources say; \"source\", where not given")
	f.StringVar(&req.Password, "password", os.Getenv("PLAYNODE_LIVE_PASSWORD"), "what sources must say ($PLAYNODE_LIVE_PASSWORD); made up, where not given")
	f.BoolVar(&stdin, "stdin", false, "the set comes from standard input, and ends with it")
	f.BoolVar(&req.Once, "once", false, "end the set when the first source has left")
	f.StringVar(&req.Title, "title", "", "the track's title; the date, where not given")
	f.BoolVar(&req.Open, "open", false, "let all who have the link hear it, without a lease")
	f.StringVar(&req.At, "web", "", "with --open: the URL of a box's gateway, such as https://archive.example, whose page plays it to browsers")
	f.DurationVar(&req.Segment, "segment", time.Second, "how long a segment is, 500ms to 2s: shorter is sooner heard, and costs more")
	f.Var((*duration)(&req.Part), "part", "how long a track of a long set is, 10m to 12h; 12h, and with --keep 1h, where not given")
	f.Var((*duration)(&req.Keep), "keep", "keep so much of what was on air with --keep, the newest; all, where not given")
	f.Lookup("password").DefValue = ""
	return c
}

// onAir runs a set until its source ends or the user presses ^C, which ends it
// in order.
func (a *app) onAir(c *cobra.Command, req daemon.LiveRequest, stdin bool) error {
	cl, stop, err := a.serving(c)
	if err != nil {
		return err
	}
	defer stop()
	whole := context.WithoutCancel(c.Context())
	ended := context.AfterFunc(c.Context(), func() {
		a.say("ending the set")
		daemon.Call(whole, cl, daemon.OpLiveEnd, daemon.LiveEndRequest{Playlist: req.Playlist}, nil)
	})
	defer ended()
	var last uint64
	meter := levels{b: &a.bar}
	res, err := daemon.Call(whole, cl, daemon.OpLive, req, func(e daemon.Event) {
		l := e.Live
		switch {
		case l == nil:
			a.bar.event(e)
		case l.Link != "":
			a.opened(l)
		case l.Door != "":
			if stdin {
				go a.pipe(l.Door, l.Password)
				return
			}
			a.say("on air soon. In Mixxx, butt or ffmpeg: Icecast 2, server %s, any mount, user source, password %s", l.Door, l.Password)
		case a.json && l.Segments > last:
			a.result(struct {
				Set      string         `json:"set"`
				Segments uint64         `json:"segments"`
				Ms       int64          `json:"ms"`
				Text     string         `json:"text,omitempty"`
				Levels   *daemon.Levels `json:"levels,omitempty"`
			}{l.Set, l.Segments, l.Ms, l.Text, l.Levels}, func() {})
			last = l.Segments
		case l.Segments > last:
			meter.event(l, time.Now())
			last = l.Segments
		}
	})
	a.bar.line("", false)
	a.bar.close()
	if err != nil {
		return err
	}
	return a.result(res, func() {
		a.printf("off air: %s\n", plural(int(res.Segments), "segment"))
		for _, t := range res.Tracks {
			a.printf("  %s  %s  %s\n", t.CID, clock(t.Ms), clean(t.Title))
		}
	})
}

// opened tells of the link of an open set, before it begins.
func (a *app) opened(l *daemon.LiveEvent) {
	link := l.Link
	if l.Web != "" {
		link = l.Web
	}
	a.result(struct {
		Link string `json:"link"`
		Web  string `json:"web,omitempty"`
	}{l.Link, l.Web}, func() {
		a.linked(link)
		if l.Web != "" {
			a.printf("%s\n", l.Link)
		}
	})
}

// pipe sends standard input as an encoder does.
func (a *app) pipe(door, password string) {
	r, err := http.NewRequest(http.MethodPut, "http://"+door+liveMount, io.NopCloser(os.Stdin))
	if err == nil {
		r.SetBasicAuth("source", password)
		// An answer before the first sound would end it: of a source that is slow
		// to begin there would be nothing.
		r.Header.Set("Expect", "100-continue")
		var res *http.Response
		if res, err = http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
		}
	}
	if err != nil {
		a.say("the pipe broke: %v", err)
	}
}

// serving is the repo's daemon, or one of this command's own, which stop ends:
// a set is of no use where nobody serves it.
func (a *app) serving(c *cobra.Command) (cl daemon.Client, stop func(), err error) {
	if cl, ok := daemon.Dial(c.Context(), a.dir); ok {
		if err := daemon.SameSettings(c.Context(), cl, a.dir, changed(c.Flags())); err != nil {
			cl.Close()
			return nil, nil, err
		}
		return cl, func() { cl.Close() }, nil
	}
	d, err := daemon.Open(c.Context(), daemon.Options{Dir: a.dir, Flags: changed(c.Flags()), Version: version, Log: a.err, Serve: true, Now: a.now, Open: opened})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- d.Run(ctx, func(daemon.Ready) { close(ready) }) }()
	stop = func() {
		cancel()
		<-done
		d.Close()
	}
	select {
	case <-ready:
		return d, stop, nil
	case err := <-done:
		cancel()
		return nil, nil, fmt.Errorf("serve: %w", errors.Join(err, d.Close()))
	}
}
