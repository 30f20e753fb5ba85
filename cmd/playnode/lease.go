package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

// maxGrantFile bounds the files that lease import and --device read: those of
// grants, and of requests, which are no larger.
const maxGrantFile = daemon.MaxFile

func (a *app) leaseCmd() *cobra.Command {
	c := &cobra.Command{Use: "lease", Short: "leases: what unlocks the music, and for how long"}
	c.AddCommand(a.leaseGrantCmd(), a.leaseRenewCmd(), a.leaseRevokeCmd(),
		a.leaseApproveCmd(), a.leaseRefuseCmd(), a.leaseRequestCmd(), a.leaseImportCmd(), a.leaseLsCmd(), a.leaseShowCmd())
	return c
}

func (a *app) leaseGrantCmd() *cobra.Command {
	var req daemon.GrantRequest
	var dur duration
	var from, out string
	var node nodeFlags
	c := &cobra.Command{
		Use:   "grant P --device DEV --for 30d",
		Short: "lease a playlist to a device",
		Args:  exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist, req.For = args[0], time.Duration(dur)
			if dur == 0 {
				return usageError{fmt.Errorf("wants --for, such as --for 30d"), c.CommandPath()}
			}
			if from != "" {
				t, err := time.Parse(time.RFC3339, from)
				if err != nil {
					return usageError{fmt.Errorf("--from %q is no time such as 2026-12-01T18:00:00Z", from), c.CommandPath()}
				}
				req.From = t.Unix()
			}
			req.Node = node.request()
			var err error
			if req.Device, err = device(req.Device); err != nil {
				return usageError{err, c.CommandPath()}
			}
			g, err := call(a, c, daemon.OpLeaseGrant, req)
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, g.Blob, 0o600); err != nil {
					return fmt.Errorf("write grant: %w", err)
				}
			}
			if out != "" || req.Link {
				g.Blob = nil
			}
			return a.result(g, func() {
				a.leased(g.Leased)
				switch {
				case g.Link != "":
					a.linked(g.Link)
					a.say("give the link to the venue: playnode lease import LINK")
				case out != "":
					a.say("give %s to the venue: playnode lease import %s", out, out)
				default:
					a.say("the venue finds it in the next version of the catalogue that it fetches")
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&req.Device, "device", "", "the venue's device (pndev1..., from playnode id), a file that holds it, or its link (playnode id --link)")
	f.Var(&dur, "for", "how long, such as 30d")
	f.StringVar(&from, "from", "", "when it begins (RFC 3339); now when empty")
	f.StringVar(&out, "out", "", "write the grant to this file")
	f.BoolVar(&req.Link, "link", false, "print a link (and QR on a terminal) from which the venue fetches the grant")
	node.add(c)
	c.MarkFlagRequired("device")
	return c
}

// linked prints a link, and draws it on a terminal.
func (a *app) linked(link string) {
	a.printf("%s\n", link)
	if !a.quiet {
		a.printf("%s", terminalQR(a.out, link))
	}
}

// device is the text of a device or a link to it, from the flag itself or the
// file it names.
func device(s string) (string, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "pndev1") || daemon.IsLink(s) {
		return s, nil
	}
	b, err := readSmall(s)
	if err != nil {
		return "", fmt.Errorf("--device is neither pndev1..., nor a link, nor a file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxGrantFile {
		return nil, fmt.Errorf("%s has %s, over the limit of %s", path, size(st.Size()), size(maxGrantFile))
	}
	return os.ReadFile(path)
}

func (a *app) leaseImportCmd() *cobra.Command {
	var node nodeFlags
	c := &cobra.Command{
		Use:   "import FILE|LINK",
		Short: "take in a lease that a DJ granted",
		Args:  exactly(1, "the file or the link (playnode://lease/...) that the DJ gave"),
		RunE: func(c *cobra.Command, args []string) error {
			req := daemon.ImportRequest{Node: node.request()}
			if daemon.IsLink(args[0]) {
				req.Link = args[0]
			} else {
				var err error
				if req.Blob, err = readSmall(args[0]); err != nil {
					return fmt.Errorf("read grant: %w", err)
				}
			}
			l, err := call(a, c, daemon.OpLeaseImport, req)
			if err != nil {
				return err
			}
			return a.result(l, func() { a.leased(l) })
		},
	}
	node.add(c)
	return c
}

func (a *app) leaseLsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "the leases granted and held here",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.open(c)
			if err != nil {
				return err
			}
			res, err := daemon.Call(c.Context(), cl, daemon.OpLeases, struct{}{}, a.bar.event)
			var asked []daemon.Requested
			if err == nil {
				asked, err = daemon.Call(c.Context(), cl, daemon.OpRequests, struct{}{}, a.bar.event)
			}
			if err = errors.Join(err, cl.Close()); err != nil {
				return err
			}
			for i := range asked {
				for j := range asked[i].Leases {
					asked[i].Leases[j].Blob = nil
				}
			}
			return a.result(map[string]any{"leases": res, "requests": asked}, func() {
				for _, l := range res {
					a.leased(l)
				}
				for _, r := range asked {
					if r.State == "pending" {
						a.requested(r)
					}
				}
			})
		},
	}
}

func (a *app) leased(l daemon.Leased) {
	a.printf("lease %s  %s  %s to %s  %s\n", l.Lease, clean(l.Playlist), day(l.From), day(l.Until), l.State)
}
