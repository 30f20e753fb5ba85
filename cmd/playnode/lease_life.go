package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) leaseRenewCmd() *cobra.Command {
	var dur duration
	var out string
	c := &cobra.Command{
		Use:   "renew ID... --for 30d",
		Short: "lengthen leases, from the later of now and their end",
		Long: `Lengthens leases that you granted. Each keeps its id. The next version of your
catalogue, published here and now, carries the renewals to the venues, through
any peer that has it; a file is only for a venue that none reaches.`,
		Args: atLeast(1, "the id of a lease (playnode lease ls)"),
		RunE: func(c *cobra.Command, args []string) error {
			if dur == 0 {
				return usageError{errors.New("wants --for, such as --for 30d"), c.CommandPath()}
			}
			if out != "" && len(args) != 1 {
				return usageError{errors.New("--out is for one lease"), c.CommandPath()}
			}
			res, err := call(a, c, daemon.OpLeaseRenew, daemon.RenewRequest{Leases: args, For: time.Duration(dur)})
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, res[0].Blob, 0o600); err != nil {
					return fmt.Errorf("write grant: %w", err)
				}
			}
			leases := make([]daemon.Leased, len(res))
			for i, g := range res {
				leases[i] = g.Leased
			}
			return a.leases(leases)
		},
	}
	f := c.Flags()
	f.Var(&dur, "for", "how much longer, such as 30d")
	f.StringVar(&out, "out", "", "write the renewed grant to this file too")
	return c
}

func (a *app) leaseRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID...",
		Short: "end leases before their time",
		Long: `Ends leases that you granted. Their playlists move on to fresh keys, which all
other leases get with the same version. A venue that sees it stops after its
current track; one that does not can play what it already had the keys of, to
the end of its window.`,
		Args: atLeast(1, "the id of a lease (playnode lease ls)"),
		RunE: func(c *cobra.Command, args []string) error {
			res, err := call(a, c, daemon.OpLeaseRevoke, daemon.RevokeRequest{Leases: args})
			if err != nil {
				return err
			}
			return a.leases(res)
		},
	}
}

// leases prints several.
func (a *app) leases(ls []daemon.Leased) error {
	return a.result(map[string]any{"leases": ls}, func() {
		for _, l := range ls {
			a.leased(l)
		}
	})
}
