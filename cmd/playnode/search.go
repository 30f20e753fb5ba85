package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) searchCmd() *cobra.Command {
	var req daemon.SearchRequest
	c := &cobra.Command{
		Use:   "search QUERY...",
		Short: "search titles, artists, albums and tags that this repo may read",
		Long: `Finds the tracks that have all the words: in your own library, and in what
leases unlock here now. Case and accents do not matter. The beginning of a word
is enough, and a word of five letters and more may have one error: a letter too
many, too few or wrong, or two that changed places. Nearer matches come first,
and a title before an artist, an artist before an album.`,
		Args: atLeast(1, "what to look for"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Query = strings.Join(args, " ")
			if c.Flags().Changed("limit") && req.Limit < 1 {
				return usageError{errors.New("--limit is 1 or more"), c.CommandPath()}
			}
			res, err := call(a, c, daemon.OpSearch, req)
			if err != nil {
				return err
			}
			return a.result(res, func() { a.foundTracks(res) })
		},
	}
	c.Flags().IntVar(&req.Limit, "limit", 25, "how many tracks at most")
	return c
}

func (a *app) foundTracks(res daemon.Searched) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, t := range res.Tracks {
		where := t.Source
		if !t.Held {
			where += ", not held yet"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", clean(t.Title), clean(t.Artist), clean(t.Album), clock(t.Ms), clean(strings.Join(t.Playlists, ", ")), where)
	}
	w.Flush()
	if len(res.Tracks) == 0 {
		a.say("nothing found")
	}
	if res.Unread > 0 {
		a.say("the titles of %s have not come yet", plural(res.Unread, "track"))
	}
}
