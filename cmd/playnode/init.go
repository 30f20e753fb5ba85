package main

import (
	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) initCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "init",
		Short: "make this box's repo, keys and settings",
		Long:  "Makes the repo, its keys and config.yaml. On an existing repo it changes nothing and prints the same.",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := daemon.Init(c.Context(), daemon.Options{Dir: a.dir, Flags: changed(c.Flags()), Now: a.now}); err != nil {
				return err
			}
			return a.identity(c)
		},
	}
	c.Flags().String("network", "public", "public, lan or none: stored in config.yaml")
	return c
}

func (a *app) idCmd() *cobra.Command {
	var link bool
	c := &cobra.Command{
		Use:   "id",
		Short: "who this is: name, device, peer and addresses",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if !link {
				return a.identity(c)
			}
			l, err := call(a, c, daemon.OpIDLink, struct{}{})
			if err != nil {
				return err
			}
			return a.result(l, func() {
				a.linked(l.Link)
				a.say("for the DJ: playnode lease grant P --device LINK --for 30d")
			})
		},
	}
	c.Flags().BoolVar(&link, "link", false, "a link (and QR on a terminal) to this box's device, which is long, instead")
	return c
}

func (a *app) identity(c *cobra.Command) error {
	id, err := call(a, c, daemon.OpID, struct{}{})
	if err != nil {
		return err
	}
	return a.result(id, func() {
		a.printf("repo    %s\nname    %s\nroot    %s\npeer    %s\n", id.Repo, id.Name, id.Root, id.Peer)
		for _, addr := range id.Addrs {
			a.printf("addr    %s\n", addr)
		}
		a.printf("device  %s\n", id.Device)
	})
}
