package main

import (
	"errors"

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

func (a *app) mirrorCmd() *cobra.Command {
	var req daemon.MirrorRequest
	c := &cobra.Command{
		Use:   "mirror DIR [NAME]",
		Short: "write a catalogue to a folder that any web host can serve",
		Long: `Brings your catalogue, or that of NAME as it is held here, to a folder: blocks as
files under ipfs/, name records under ipns/, and the whole as one CAR beside
them. Any web host that serves the folder is then an origin: playnode --origin
URL. Only what is new is written; a reader never meets a version of which a
block is missing, whenever this is interrupted. Blocks that no version needs
any more go after a day.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{errors.New("wants a folder, and the name when it is not your own"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if req.Dir, err = absolute(args[0]); err != nil {
				return err
			}
			if len(args) == 2 {
				req.Name = args[1]
			}
			m, err := call(a, c, daemon.OpMirror, req)
			if err != nil {
				return err
			}
			return a.result(m, func() {
				a.printf("%s: %d blocks, %d of them new (%s); %d old ones gone\n", m.Dir, m.Blocks, m.Fresh, size(m.Bytes), m.Freed)
			})
		},
	}
	c.Flags().BoolVar(&req.Prune, "prune", false, "let what no version needs any more go at once")
	c.Flags().BoolVar(&req.NoCAR, "no-car", false, "do not write the whole as one file as well")
	return c
}
