package main

import (
	"github.com/spf13/cobra"

	"playnode/testnet"
)

func (a *app) demoCmd() *cobra.Command {
	var sink, dir string
	c := &cobra.Command{
		Use:   "demo [FILE...]",
		Short: "the whole way on this machine: publish, follow, lease, play, lapse",
		Long: `A DJ, a venue and an archivist on this machine, over real peers on loopback:
the DJ publishes your files (or the ones that come along), the venue follows,
is leased and plays them without gaps, the archivist joins, the DJ leaves, the
music plays on, the lease lapses. What is played is also in demo.wav.`,
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := self()
			if err != nil {
				return err
			}
			return testnet.Demo(c.Context(), testnet.DemoConfig{
				Binary: bin, Files: args, WAV: "demo.wav", Sink: sink, Dir: dir, Out: a.out, JSON: a.json,
			})
		},
	}
	c.Flags().StringVar(&sink, "sink", "", "where the sound goes besides demo.wav: a sound card when there is one (empty), or none")
	c.Flags().StringVar(&dir, "keep", "", "keep the three repos in this directory")
	return c
}

func (a *app) testnetCmd() *cobra.Command {
	c := &cobra.Command{Use: "testnet", Short: "the lived scenarios, each with its pass marks"}
	c.AddCommand(&cobra.Command{
		Use:   "ls",
		Short: "list scenarios",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			list := testnet.Scenarios()
			return a.result(map[string]any{"scenarios": list}, func() {
				for _, s := range list {
					a.printf("%-16s %s\n", s.Name, s.Story)
				}
			})
		},
	}, func() *cobra.Command {
		var report string
		var nodes int
		c := &cobra.Command{
			Use:   "run [SCENARIO...]",
			Short: "run scenarios, all of them without a name",
			RunE: func(c *cobra.Command, args []string) error {
				bin, err := self()
				if err != nil {
					return err
				}
				return testnet.Run(c.Context(), testnet.RunConfig{Binary: bin, Scenarios: args, Nodes: nodes, Report: report, Out: a.out, JSON: a.json})
			},
		}
		c.Flags().StringVar(&report, "report", "", "write the results to this file as JSON")
		c.Flags().IntVar(&nodes, "nodes", 0, "how many venues (0: the scenario's own number)")
		return c
	}())
	return c
}
