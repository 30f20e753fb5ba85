package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) archiveCmd() *cobra.Command {
	var node nodeFlags
	var once bool
	var keep history
	c := &cobra.Command{
		Use:   "archive NAME...",
		Short: "keep a DJ's catalogue alive, unread",
		Long: `Pins a name's catalogue and every later version, keeps its record alive, and
serves both. With a daemon running, the daemon goes on with it; without one,
this command does, until ^C. It has no key and cannot read what it keeps.

With --history the versions that are superseded from now on stay too: the last
N of them, or all. The setting stays until it is given anew.

With --kubo the blocks and pins are in a running Kubo. With --pinning-service
they are asked for there as well: of an IPFS Cluster, or a company.`,
		Args: atLeast(1, "a name (k51...) or a link (playnode://...)"),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.open(c)
			if err != nil {
				return err
			}
			res, err := daemon.Call(c.Context(), cl, daemon.OpArchive, daemon.ArchiveRequest{
				Names: args, Once: once, History: keep.n, Node: node.request(),
			}, a.bar.event)
			a.bar.close()
			for _, r := range res {
				if perr := a.result(r, func() { a.archived(r) }); perr != nil {
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
	c.Flags().Var(&keep, "history", "how many past versions to keep from now on, or all")
	c.AddCommand(&cobra.Command{
		Use:   "ls",
		Short: "what is held of each name, and how its record stands",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(a, c, daemon.OpArchives, struct{}{})
			if err != nil {
				return err
			}
			return a.result(map[string]any{"archives": res}, func() {
				for _, r := range res {
					a.archived(r)
				}
			})
		},
	})
	return c
}

func (a *app) archived(r daemon.Archived) {
	a.printf("%s  revision %d: %d blocks, %s, %d missing\n", r.Name, r.Seq, r.Blocks, size(r.Bytes), r.Missing)
	if r.Elsewhere != "" {
		a.printf("  at the Pinning Service: %s\n", r.Elsewhere)
	}
	if r.Record != nil {
		a.printf("  record %d, good until %s\n", r.Record.Seq, day(r.Record.End))
	}
	if r.Stale != nil {
		a.printf("  stale since %s: the DJ has been away; what is held goes on\n", day(*r.Stale))
	}
	for _, p := range r.Past {
		a.printf("  and revision %d of %s: %s\n", p.Seq, day(p.Issued), p.Manifest)
	}
}

// history is N or "all".
type history struct{ n *int }

func (h *history) Type() string { return "N|all" }

func (h *history) String() string {
	switch {
	case h.n == nil:
		return ""
	case *h.n < 0:
		return "all"
	}
	return strconv.Itoa(*h.n)
}

func (h *history) Set(s string) error {
	n := -1
	if s != "all" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 0 {
			return fmt.Errorf("%q is neither a number of versions nor all", s)
		}
	}
	h.n = &n
	return nil
}

func (a *app) verifyCmd() *cobra.Command {
	var node nodeFlags
	c := &cobra.Command{
		Use:   "verify [NAME]",
		Short: "read and hash what is held, and fetch anew what is damaged",
		Long: `Reads everything held of NAME, or without NAME everything on this box, and
hashes it. What is damaged or lost is fetched anew from whoever has it; what
nobody gives leaves exit code 21.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("wants one name, or none for everything"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			req := daemon.VerifyRequest{Node: node.request()}
			if len(args) == 1 {
				req.Name = args[0]
			}
			v, err := call(a, c, daemon.OpVerify, req)
			if err != nil {
				return err
			}
			if err := a.result(v, func() {
				a.printf("%d blocks, %s; %d damaged, %d lost, %d repaired\n", v.Blocks, size(v.Bytes), v.Damaged, v.Lost, v.Repaired)
			}); err != nil {
				return err
			}
			if left := v.Damaged + v.Lost - v.Repaired; left > 0 {
				return &daemon.Error{Kind: daemon.Verify, Message: fmt.Sprintf("%d blocks are damaged or lost, and nobody gave them", left)}
			}
			return nil
		},
	}
	node.add(c)
	return c
}
