package main

import (
	"context"
	"errors"
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
			return a.result(f, func() { a.followed(f) })
		},
	}
	node.add(c)
	c.Flags().BoolVar(&once, "once", false, "ask the peers first, then return when everything public is held")
	return c
}

func (a *app) followed(f daemon.Followed) {
	a.printf("%s  revision %d, %d of %s held\n", f.Name, f.Seq, f.Held, plural(f.Tracks, "track"))
	if len(f.Selections) > 0 {
		a.printf("  to lease: %s\n", clean(strings.Join(f.Selections, ", ")))
	}
	if f.Stale != nil {
		a.printf("  stale since %s: the DJ has been away; what is held goes on\n", day(*f.Stale))
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

func (a *app) archiveCmd() *cobra.Command {
	var node nodeFlags
	var once bool
	c := &cobra.Command{
		Use:   "archive NAME...",
		Short: "keep a DJ's catalogue alive, unread",
		Long: `Pins a name's catalogue and every later version, keeps its record alive, and
serves both. With a daemon running, the daemon goes on with it; without one,
this command does, until ^C. It has no key and cannot read what it keeps.`,
		Args: atLeast(1, "a name (k51...) or a link (playnode://...)"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c)
			if err != nil {
				return err
			}
			res, err := daemon.Call(c.Context(), cl, daemon.OpArchive, daemon.ArchiveRequest{Names: args, Once: once, Node: node.request()}, a.bar.event)
			a.bar.close()
			for _, r := range res {
				if perr := a.result(r, func() {
					a.printf("%s  revision %d: %d blocks, %s, %d missing\n", r.Name, r.Seq, r.Blocks, size(r.Bytes), r.Missing)
				}); perr != nil {
					err = errors.Join(err, perr)
				}
			}
			if d, ok := cl.(*daemon.Daemon); ok && err == nil && !once {
				a.say("keeping it alive; ^C stops")
				if err = d.Run(c.Context(), nil); errors.Is(err, context.Canceled) {
					err = nil
				}
			}
			return errors.Join(err, cl.Close())
		},
	}
	node.add(c)
	c.Flags().BoolVar(&once, "once", false, "return when everything is held")
	return c
}
