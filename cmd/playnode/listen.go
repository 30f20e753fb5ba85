package main

import (
	"errors"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) listenCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.ListenRequest
	var volume int
	c := &cobra.Command{
		Use:   "listen NAME[/P] | LINK",
		Short: "hear the set that is on air, and nothing else",
		Long: `Hears the set that a name has on air in a playlist that is leased here, or in any,
and ends with it. --wait waits for one. Who comes into a set hears it from its
edge on. The LINK of an open set, as its DJ's playnode live --open has printed it,
is heard without a lease, and without following her; so is that of an excerpt, and
of a set that is over, from its beginning.

What is missing is silence of its length. How far behind the DJ it is heard is
printed when it begins, when something else is on, and every ten seconds with
--json: {"event":"live","set":...,"lag":MS}.`,
		Args: exactly(1, "one name, NAME or NAME/P, or a link"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Play.Name = args[0]
			req.Play.Node = node.request()
			if c.Flags().Changed("volume") {
				req.Play.Volume = &volume
			}
			if volume < 0 || volume > 100 {
				return usageError{errors.New("--volume is from 0 to 100"), c.CommandPath()}
			}
			return perform(a, c, daemon.OpListen, &req.Play, func() daemon.ListenRequest { return req })
		},
	}
	node.add(c)
	a.soundFlags(c, &req.Play)
	f := c.Flags()
	f.IntVar(&volume, "volume", 100, "in percent (the last one set by ctl)")
	f.BoolVar(&req.Wait, "wait", false, "wait for a set, and for the playlist")
	return c
}
