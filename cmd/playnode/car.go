package main

import (
	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) exportCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "export NAME FILE.car",
		Short: "write a catalogue and its name's record to one file",
		Long: `Writes everything public of a name's newest version, as it is held here, and
the record that signs for it, to one CAR: for a USB stick to a venue without
internet. Stock tools read it too: ipfs dag import FILE.car.`,
		Args: exactly(2, "a name and a file"),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := absolute(args[1])
			if err != nil {
				return err
			}
			r, err := call(a, c, daemon.OpExport, daemon.CarryRequest{Name: args[0], File: file})
			if err != nil {
				return err
			}
			return a.result(r, func() { a.printf("%s: %d blocks, %s\n", r.File, r.Blocks, size(r.Bytes)) })
		},
	}
}

func (a *app) importCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE.car",
		Short: "take in a catalogue from a file, without any network",
		Long: `Verifies the record and every block of a file that export wrote, follows its
name, and holds the version as if peers had brought it. Run again after an
interruption it goes on.`,
		Args: exactly(1, "a file"),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := absolute(args[0])
			if err != nil {
				return err
			}
			r, err := call(a, c, daemon.OpImport, daemon.CarryRequest{File: file})
			if err != nil {
				return err
			}
			return a.result(r, func() {
				a.printf("%s  revision %d: %s, %d blocks of which %d are new\n  DJ %s\n", r.Name, r.Seq, plural(r.Tracks, "track"), r.Blocks, r.Fresh, r.DJ)
			})
		},
	}
}
