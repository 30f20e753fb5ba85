package main

import (
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) excerptCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "excerpt",
		Short: "stretches of sets that are open to all who have their link",
	}
	c.AddCommand(a.excerptAddCmd(), a.excerptLsCmd(), a.excerptRmCmd())
	return c
}

func (a *app) excerptAddCmd() *cobra.Command {
	var req daemon.ExcerptRequest
	var from offset
	var length duration
	c := &cobra.Command{
		Use:   "add TRACK",
		Short: "leave a stretch of a set open, and print its link",
		Long: `Publishes the keys of some segments of TRACK, the CID of a track that was on air
(playnode live prints it), for whoever has the link. Nothing outside of that
stretch opens, which begins with the segment before --from. Everyone who keeps
your catalogue keeps the excerpt; with --web URL, the address of a box whose
gateway people reach, any browser plays it. rm takes it back for those who have
not opened it yet.`,
		Args: exactly(1, "a track's CID"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Track, req.From, req.For = args[0], time.Duration(from), time.Duration(length)
			x, err := call(a, c, daemon.OpExcerptAdd, req)
			if err != nil {
				return err
			}
			return a.result(x, func() { a.excerpt(x) })
		},
	}
	f := c.Flags()
	f.Var(&from, "from", "where it begins: 90s, 1h2m, 12:30 or 1:02:30")
	length = duration(5 * time.Minute)
	f.Var(&length, "for", "how long it is")
	f.StringVar(&req.Text, "title", "", "what it is called; the track's title, where not given")
	f.StringVar(&req.At, "web", "", "the URL of a box's gateway, such as https://archive.example, whose page plays it to browsers")
	return c
}

func (a *app) excerptLsCmd() *cobra.Command {
	var req daemon.ExcerptsRequest
	c := &cobra.Command{
		Use:   "ls",
		Short: "what is open, with its links",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := call(a, c, daemon.OpExcerpts, req)
			if err != nil {
				return err
			}
			return a.result(struct {
				Excerpts []daemon.Excerpt `json:"excerpts"`
			}{all}, func() {
				for _, x := range all {
					a.printf("%s  %s from %s  %s\n  %s\n", x.ID, clock(x.Ms), clock(x.FromMs), clean(x.Text), webOr(x))
				}
			})
		},
	}
	c.Flags().StringVar(&req.At, "web", "", "the URL of a box's gateway for the links to name")
	return c
}

func (a *app) excerptRmCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rm ID",
		Short: "take an excerpt back",
		Args:  exactly(1, "an excerpt's id, as excerpt ls prints it"),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := call(a, c, daemon.OpExcerptRemove, daemon.ExcerptRemoveRequest{ID: args[0]})
			return err
		},
	}
}

func webOr(x daemon.Excerpt) string {
	if x.Web != "" {
		return x.Web
	}
	return x.Link
}

// excerpt prints one that was made.
func (a *app) excerpt(x daemon.Excerpt) {
	a.say("%s from %s of %s: %s", clock(x.Ms), clock(x.FromMs), x.Track, clean(x.Text))
	a.linked(webOr(x))
}
