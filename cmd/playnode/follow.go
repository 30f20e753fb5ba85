package main

import (
	"strings"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) followCmd() *cobra.Command {
	var node nodeFlags
	var once bool
	c := &cobra.Command{
		Use:   "follow NAME",
		Short: "follow a DJ's name or link: resolve, verify, hold",
		Args:  exactly(1, "a name (k51...) or a link (playnode://...)"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := call(a, c, daemon.OpFollow, daemon.FollowRequest{Link: args[0], Once: once, Node: node.request()})
			if err != nil {
				return err
			}
			return a.result(f, func() {
				a.followed(f)
				a.offering(f)
			})
		},
	}
	node.add(c)
	c.Flags().BoolVar(&once, "once", false, "ask the peers first, then return when everything public is held")
	return c
}

func (a *app) followed(f daemon.Followed) {
	a.printf("%s  revision %d, %d of %s held\n", f.Name, f.Seq, f.Held, plural(f.Tracks, "track"))
	if f.DJName != "" || f.About != "" {
		a.printf("  %s\n", clean(strings.Trim(f.DJName+": "+f.About, ": ")))
	}
	for _, p := range f.Playlists {
		a.printf("  %-20s %s", clean(p.Name), plural(p.Tracks, "track"))
		if p.Previews > 0 {
			a.printf(", %s", plural(p.Previews, "preview"))
		}
		switch {
		case p.Leased:
			a.printf("; leased")
		case p.Offer != nil:
			a.printf("; %s per %s and device, %s to %s", priceText(p.Offer.Price), length(p.Offer.Per), length(p.Offer.Min), length(p.Offer.Max))
		}
		a.printf("\n")
		if p.Words != "" {
			a.printf("    %s\n", clean(p.Words))
		}
	}
	if f.Issued != nil {
		a.printf("  signed %s\n", day(*f.Issued))
	}
	if f.Why != "" {
		a.printf("  missing %s: %s\n", plural(f.Missing, "track"), clean(f.Why))
	}
	if f.Stale != nil {
		a.printf("  stale since %s: the DJ has been away; what is held goes on\n", day(*f.Stale))
	}
}

// offering says what a venue does next: listen, and ask for a lease.
func (a *app) offering(f daemon.Followed) {
	byHand, previews := false, false
	for _, p := range f.Playlists {
		previews = previews || p.Previews > 0
		if p.Leased {
			continue
		}
		if p.Offer != nil {
			a.printf("  ask for it: playnode lease request '%s/%s'\n", f.Name, clean(p.Name))
		} else {
			byHand = true
		}
	}
	if previews {
		a.printf("  hear it:    playnode preview %s\n", f.Name)
	}
	if byHand {
		a.printf("  nothing is on offer for some: the DJ grants it to this box (or its link: playnode id --link)\n  device  %s\n", f.Device)
	}
}

func (a *app) unfollowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "unfollow NAME",
		Short: "stop following a name",
		Args:  exactly(1, "a name"),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := call(a, c, daemon.OpUnfollow, daemon.UnfollowRequest{Name: args[0]})
			return err
		},
	}
}

func (a *app) followsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "follows",
		Short: "the names followed here",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(a, c, daemon.OpFollows, struct{}{})
			if err != nil {
				return err
			}
			return a.result(map[string]any{"follows": res}, func() {
				for _, f := range res {
					a.followed(f)
				}
			})
		},
	}
}
