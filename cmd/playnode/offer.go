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

func (a *app) offerCmd() *cobra.Command {
	c := &cobra.Command{Use: "offer", Short: "what a lease of your playlists costs"}
	c.AddCommand(a.offerSetCmd(), &cobra.Command{
		Use:   "ls",
		Short: "list what is on offer",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(a, c, daemon.OpOffers, struct{}{})
			if err != nil {
				return err
			}
			return a.result(map[string]any{"offers": res}, func() {
				for _, o := range res {
					a.offered(o)
				}
			})
		},
	})
	return c
}

func (a *app) offerSetCmd() *cobra.Command {
	var req daemon.OfferRequest
	var cost price
	var per, min, max, grace, window duration
	var auto bool
	c := &cobra.Command{
		Use:   "set P --price 25.00EUR --per 30d",
		Short: "put a playlist on offer, in place of what was offered before",
		Long: `Puts a playlist on offer: signed, public, and found by everyone who follows you.
A venue asks with: playnode lease request NAME/P. You approve each request by
hand (playnode lease ls; playnode lease approve ID), or all with --auto, or by a
program of yours (--hook): it gets the request as JSON on stdin, and exit 0
approves.`,
		Args: exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			if cost.Currency == "" || per == 0 {
				return usageError{errors.New("wants --price and --per, such as --price 25.00EUR --per 30d"), c.CommandPath()}
			}
			if auto && req.Hook != "" {
				return usageError{errors.New("--auto or --hook, not both"), c.CommandPath()}
			}
			switch {
			case auto:
				req.Approve = "always"
			case req.Hook != "":
				req.Approve = "hook"
			}
			req.Playlist, req.Price = args[0], daemon.Price(cost)
			req.Per, req.Min, req.Max, req.Grace, req.Window = time.Duration(per), time.Duration(min), time.Duration(max), time.Duration(grace), time.Duration(window)
			o, err := call(a, c, daemon.OpOfferSet, req)
			if err != nil {
				return err
			}
			return a.result(map[string]any{"offers": []daemon.Offered{o}}, func() { a.offered(o) })
		},
	}
	f := c.Flags()
	f.Var(&cost, "price", "for each device and period, such as 25.00EUR")
	f.Var(&per, "per", "the period that the price is for, such as 30d")
	f.Var(&min, "min", "the least length of a lease; one period when empty")
	f.Var(&max, "max", "the greatest length; a year when empty")
	f.Var(&grace, "grace", "how long a lease plays on after its end")
	f.Var(&window, "window", "how far ahead keys are sent; as far as is allowed when empty")
	f.IntVar(&req.Devices, "devices", 16, "how many devices one request may list")
	f.BoolVar(&auto, "auto", false, "approve whatever the offer allows")
	f.StringVar(&req.Hook, "hook", "", "a program that is asked, by the shell")
	return c
}

func (a *app) offered(o daemon.Offered) {
	how := map[string]string{"always": ", approved at once", "hook": ", approved by a program"}[o.Approve]
	a.printf("%-20s %s per %s and device, %s to %s%s\n", clean(o.Playlist), priceText(o.Price), length(o.Per), length(o.Min), length(o.Max), how)
}

// length writes seconds as days where they are.
func length(seconds int64) string {
	if seconds%86400 == 0 {
		return fmt.Sprintf("%dd", seconds/86400)
	}
	return (time.Duration(seconds) * time.Second).String()
}

func (a *app) leaseRequestCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.AskRequest
	var dur duration
	var from, out string
	var devices []string
	c := &cobra.Command{
		Use:   "request NAME/P",
		Short: "ask a DJ for a lease of a playlist, on the terms of her offer",
		Long: `Asks a DJ whom you follow for a lease, on the terms of her offer. The request is
sealed to her. It goes to her daemon where a peer is hers; --out writes it to a
file, for any other way. When she has approved it, the lease comes with the next
version of her catalogue, or at once. Asking again sends the same request.`,
		Args: exactly(1, "NAME/P, such as k51.../bar"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name, req.For, req.Node, req.Offline = args[0], time.Duration(dur), node.request(), out != ""
			if from != "" {
				t, err := time.Parse(time.RFC3339, from)
				if err != nil {
					return usageError{fmt.Errorf("--from %q is no time such as 2026-12-01T18:00:00Z", from), c.CommandPath()}
				}
				req.From = t.Unix()
			}
			for _, d := range devices {
				text, err := device(d)
				if err != nil {
					return usageError{err, c.CommandPath()}
				}
				req.Devices = append(req.Devices, text)
			}
			r, err := call(a, c, daemon.OpLeaseRequest, req)
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, r.Blob, 0o600); err != nil {
					return fmt.Errorf("write request: %w", err)
				}
			}
			r.Blob = nil
			if err := a.result(r, func() {
				a.requested(r)
				for _, l := range r.Leases {
					a.leased(l.Leased)
				}
				switch {
				case out != "":
					a.say("give %s to the DJ: playnode lease approve %s", out, out)
				case r.State == "pending":
					a.say("the DJ has it; ask again, or follow her, to get the answer")
				}
			}); err != nil {
				return err
			}
			switch {
			case r.State == "unsent" && out == "":
				return &daemon.Error{Kind: daemon.NotFound, Message: "no peer is this DJ; name one with --peer, or write a file with --out"}
			case r.State == "refused":
				return &daemon.Error{Kind: daemon.NoLease, Message: "the DJ refused the request"}
			}
			return nil
		},
	}
	node.add(c)
	f := c.Flags()
	f.Var(&dur, "for", "how long; the offer's period when empty")
	f.StringVar(&from, "from", "", "when it begins (RFC 3339); when it is approved if empty")
	f.StringVar(&req.Payref, "payref", "", "what you paid under, for the DJ to find it")
	f.StringArrayVar(&devices, "device", nil, "another box of yours (pndev1..., or a file that holds it; repeatable)")
	f.StringVar(&out, "out", "", "write the request to this file, and send nothing")
	return c
}

func (a *app) requested(r daemon.Requested) {
	a.printf("request %s  %s  %s for %s, %s  %s\n", r.Request, clean(r.Playlist), plural(r.Devices, "device"), length(r.For), priceText(r.Price), r.State)
	if r.Payref != "" {
		a.printf("  paid as %s\n", clean(r.Payref))
	}
}

func (a *app) leaseApproveCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "approve ID",
		Short: "grant what a venue asked for",
		Long: `Grants what a venue asked for: a lease for each of its devices. ID is a request's,
as playnode lease ls shows it, or the file that the venue gave. Approving twice
grants once.`,
		Args: exactly(1, "a request's id, or its file"),
		RunE: func(c *cobra.Command, args []string) error {
			req, err := named(args[0])
			if err != nil {
				return err
			}
			r, err := call(a, c, daemon.OpLeaseApprove, req)
			if err != nil {
				return err
			}
			if out != "" {
				if len(r.Leases) != 1 {
					return usageError{fmt.Errorf("--out is for one device, and this is for %d: the venue gets them with the catalogue", len(r.Leases)), c.CommandPath()}
				}
				if err := os.WriteFile(out, r.Leases[0].Blob, 0o600); err != nil {
					return fmt.Errorf("write grant: %w", err)
				}
			}
			for i := range r.Leases {
				r.Leases[i].Blob = nil
			}
			return a.result(r, func() {
				a.requested(r)
				for _, l := range r.Leases {
					a.leased(l.Leased)
				}
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "write the grant to this file too")
	return c
}

func (a *app) leaseRefuseCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "refuse ID",
		Short: "say no to what a venue asked for",
		Args:  exactly(1, "a request's id, or its file"),
		RunE: func(c *cobra.Command, args []string) error {
			req, err := named(args[0])
			if err != nil {
				return err
			}
			r, err := call(a, c, daemon.OpLeaseRefuse, req)
			if err != nil {
				return err
			}
			return a.result(r, func() { a.requested(r) })
		},
	}
}

// named is a request by its id, or by a file that holds it.
func named(s string) (daemon.ApproveRequest, error) {
	if len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" {
		return daemon.ApproveRequest{Request: s}, nil
	}
	b, err := readSmall(s)
	if err != nil {
		return daemon.ApproveRequest{}, fmt.Errorf("%.80q is neither a request's id nor its file: %w", s, err)
	}
	return daemon.ApproveRequest{Blob: b}, nil
}

func (a *app) leaseShowCmd() *cobra.Command {
	var receipt bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "a lease, and with --receipt what both sides have signed of it",
		Args:  exactly(1, "the id of a lease (playnode lease ls)"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := call(a, c, daemon.OpLeaseShow, daemon.ShowRequest{Lease: args[0]})
			if err != nil {
				return err
			}
			return a.result(r, func() {
				a.leased(r.Leased)
				a.printf("  device  %s\n", r.Device)
				if r.Price != nil {
					a.printf("  price   %s\n", priceText(*r.Price))
				}
				if r.Payref != "" {
					a.printf("  paid as %s\n", clean(r.Payref))
				}
				if !receipt {
					return
				}
				a.printf("  DJ      %s\n", r.DJ)
				a.printf("  grant   %s\n    signed %x\n    terms  %x\n", r.Grant.CID, r.Grant.Envelope, r.Grant.Payload)
				if r.Request != nil {
					a.printf("  request %s\n    signed %x\n    asks   %x\n", r.Request.CID, r.Request.Envelope, r.Request.Payload)
				}
			})
		},
	}
	c.Flags().BoolVar(&receipt, "receipt", false, "the signed request and the signed grant")
	return c
}
