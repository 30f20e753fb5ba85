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

// maxGrantFile bounds the files that lease import and --device read.
const maxGrantFile = 512 << 10

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
				g.Blob = nil
			}
			return a.result(g, func() {
				a.leased(g.Leased)
				if out != "" {
					a.say("give %s to the venue: playnode lease import %s", out, out)
				} else {
					a.say("the venue finds it in the next version of the catalogue that it fetches")
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&req.Device, "device", "", "the venue's device (pndev1..., from playnode id) or a file that holds it")
	f.Var(&dur, "for", "how long, such as 30d")
	f.StringVar(&from, "from", "", "when it begins (RFC 3339); now when empty")
	f.StringVar(&out, "out", "", "write the grant to this file")
	c.MarkFlagRequired("device")
	return c
}

// device is the text of a device, from the flag itself or the file it names.
func device(s string) (string, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "pndev1") {
		return s, nil
	}
	b, err := readSmall(s)
	if err != nil {
		return "", fmt.Errorf("--device is neither pndev1... nor a file: %w", err)
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
	return &cobra.Command{
		Use:   "import FILE",
		Short: "take in a lease that a DJ granted",
		Args:  exactly(1, "the file that the DJ gave"),
		RunE: func(c *cobra.Command, args []string) error {
			blob, err := readSmall(args[0])
			if err != nil {
				return fmt.Errorf("read grant: %w", err)
			}
			l, err := call(a, c, daemon.OpLeaseImport, daemon.ImportRequest{Blob: blob})
			if err != nil {
				return err
			}
			return a.result(l, func() { a.leased(l) })
		},
	}
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

func (a *app) keysCmd() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "your keys"}
	c.AddCommand(&cobra.Command{
		Use:   "archive",
		Short: "print the identity with which stock age opens your tracks",
		Long: `Prints the identity that stock age takes, and nothing else:

  playnode keys archive > dj.key
  ipfs cat CID | age -d -i dj.key > track`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := call(a, c, daemon.OpKeysArchive, struct{}{})
			if err != nil {
				return err
			}
			return a.result(k, func() { a.printf("%s\n", k.Identity) })
		},
	}, a.keysBackupCmd(), a.keysRestoreCmd())
	return c
}
