package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) daemonCmd() *cobra.Command {
	var node nodeFlags
	c := &cobra.Command{
		Use:   "daemon",
		Short: "run the node: serve, follow, keep names alive, answer the other commands",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			fit := boundMemory()
			d, err := daemon.Open(c.Context(), daemon.Options{
				Dir: a.dir, Flags: changed(c.Flags()), Version: version, Log: a.err, Serve: true, Now: a.now, Pages: pages, Open: opened,
			})
			if err != nil {
				return err
			}
			err = d.Run(c.Context(), func(r daemon.Ready) {
				fit(c.Context())
				a.result(r, func() {
					a.printf("playnode is ready: peer %s\n", r.Peer)
					for _, addr := range r.Addrs {
						a.printf("  %s\n", addr)
					}
					if r.Gateway != "" {
						a.printf("  gateway http://%s\n", r.Gateway)
					}
					if r.HTTP != "" {
						a.printf("  pages http://%s\n", r.HTTP)
					}
					if r.Metrics != "" {
						a.printf("  metrics http://%s/metrics\n", r.Metrics)
					}
				})
			})
			if errors.Is(err, context.Canceled) {
				err = nil // asked to stop, and did
			}
			return errors.Join(err, d.Close())
		},
	}
	node.add(c)
	return c
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "what is followed, held, leased, playing and wrong",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := call(a, c, daemon.OpStatus, struct{}{})
			if err != nil {
				return err
			}
			return a.result(s, func() {
				a.printf("name   %s\npeers  %d", s.Name, s.Peers)
				if s.Peers > 0 {
					a.printf(": %d near, %d far, %d through a relay", s.Reach.Near, s.Reach.Far, s.Reach.Relayed)
				}
				a.printf("\nreach  %s", s.Reach.State)
				if n := len(s.Reach.Relays); n > 0 {
					a.printf(", by %s", plural(n, "relay"))
				}
				a.printf("\n")
				for _, w := range s.Alerts {
					a.printf("ALERT  %s\n", clean(w.Text))
				}
				a.safe(s.Served)
				for _, f := range s.Follows {
					a.followed(f)
				}
				for _, l := range s.Leases {
					a.leased(l)
				}
				if s.Sound != nil {
					a.heard(*s.Sound)
				}
				if len(s.Schedule.Slots) > 0 || s.Schedule.Override != nil {
					a.onNow(s.Schedule)
				}
				for _, f := range s.Faults {
					state := "since " + day(f.Since)
					if f.Mended != nil {
						state = "mended " + day(*f.Mended)
					}
					a.printf("fault  %s: %s (%s, %s)\n", f.Kind, clean(f.Message), plural(f.Times, "time"), state)
				}
				a.printf("held %s", size(s.Storage.Used))
				if s.Storage.Limit > 0 {
					a.printf(" of %s", size(s.Storage.Limit))
				}
				a.printf("\n")
				a.printf("sent %s, received %s\n", size(s.Traffic.Sent), size(s.Traffic.Received))
				for from, n := range s.Traffic.BySource {
					a.printf("  from %-8s %s\n", from, size(n))
				}
				a.printf("today %s sent, %s received\n", size(s.Today.Sent), size(s.Today.Received))
				a.line(s.Line)
			})
		},
	}
}

// line says how the line is used, where that is not as one likes.
func (a *app) line(l daemon.Line) {
	if l.UploadLimit > 0 {
		a.printf("line  up %s a second at most\n", size(l.UploadLimit))
	}
	if l.DownloadLimit > 0 {
		a.printf("line  down %s a second at most\n", size(l.DownloadLimit))
	}
	switch {
	case l.Metered:
		a.printf("line  metered: only what is to be heard is fetched, and nothing given but to the LAN\n")
	case l.Quiet:
		a.printf("line  quiet until %s: only what is to be heard is fetched, and nothing given but to the LAN\n", l.Until.Format("15:04"))
	case len(l.QuietHours) > 0:
		a.printf("line  quiet %s\n", strings.Join(l.QuietHours, ", "))
	}
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "version, commit, Go and platform",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Commit   string `json:"commit"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{Version: version}
			if b, ok := debug.ReadBuildInfo(); ok {
				v.Go = b.GoVersion
				goos, arch := "", ""
				for _, s := range b.Settings {
					switch s.Key {
					case "vcs.revision":
						v.Commit = s.Value
					case "GOOS":
						goos = s.Value
					case "GOARCH":
						arch = s.Value
					}
				}
				v.Platform = goos + "/" + arch
			}
			return a.result(v, func() { a.printf("playnode %s %s %s\n", v.Version, v.Go, v.Platform) })
		},
	}
}

// absolute makes a path of the user's one that a daemon elsewhere can open.
func absolute(path string) (string, error) { return filepath.Abs(path) }

// self is this program, for commands that run others.
func self() (string, error) {
	if p, err := os.Executable(); err == nil {
		return p, nil
	}
	return exec.LookPath("playnode")
}
