package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) keysOfflineCmd() *cobra.Command {
	var file string
	var plain bool
	c := &cobra.Command{
		Use:   "offline DIR",
		Short: "move the root key out of this machine",
		Long: `Writes the root key to a file in DIR, a stick that goes into a drawer, and then
erases it here. Everything but a new root works without it; keys rotate --root FILE
uses it for one. Whoever steals the laptop then never has it. The file is an age
file that a passphrase opens, with stock age too, or with --plain the key as it is.`,
		Args: exactly(1, "a directory outside of this machine, such as a stick's"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := absolute(args[0])
			if err != nil {
				return err
			}
			req := daemon.OfflineRequest{Dir: dir}
			if !plain {
				if req.Passphrase, err = a.newPassphrase(c.Context(), file); err != nil {
					return usageError{err, c.CommandPath()}
				}
			}
			m, err := call(a, c, daemon.OpKeysOffline, req)
			if err != nil {
				return err
			}
			return a.result(m, func() { a.printf("%s: the root key is there, and no longer here\n", m.File) })
		},
	}
	c.Flags().StringVar(&file, "passphrase-file", "", "a file whose first line is the passphrase")
	c.Flags().BoolVar(&plain, "plain", false, "write the key in clear")
	c.MarkFlagsMutuallyExclusive("plain", "passphrase-file")
	return c
}

func (a *app) keysRotateCmd() *cobra.Command {
	var node nodeFlags
	var file string
	var req daemon.RotateRequest
	c := &cobra.Command{
		Use:   "rotate",
		Short: "a new root: a stolen publisher key is worth nothing from then on",
		Long: `Signs a new root under the same name: a fresh publisher key, request key and
archive identity, fresh keys for every playlist, and the catalogue signed anew.
Leases go on; venues find theirs through their mailboxes. What a thief has copied
opens nothing that is sealed afterwards, and what he signs counts no more. The root
key is replaced as well where it is here; one that was moved out with keys offline
stays as it is (--root FILE).`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if req.Root != "" {
				if req.Root, err = absolute(req.Root); err != nil {
					return err
				}
				if sealed(req.Root) {
					if req.Passphrase, err = a.passphrase(c.Context(), file); err != nil {
						return usageError{err, c.CommandPath()}
					}
				}
			}
			req.Node = node.request()
			r, err := call(a, c, daemon.OpKeysRotate, req)
			if err != nil {
				return err
			}
			return a.result(r, func() {
				a.printf("root %d: %s\n", r.RootN, r.Name)
				a.printf("  leases that go on: %d\n", r.Leases)
				if r.Requests > 0 {
					a.printf("  %s waited, and must be made again\n", plural(r.Requests, "request"))
				}
				a.say("backups written before now are of the former root: write a new one (keys backup), and keys archive prints a new identity")
			})
		},
	}
	node.add(c)
	f := c.Flags()
	f.StringVar(&req.Root, "root", "", "the file that keys offline wrote")
	f.StringVar(&file, "passphrase-file", "", "a file whose first line is the passphrase of --root")
	f.BoolVar(&req.Alone, "nothing-since", false, "after keys restore: do not look for what was published since the backup")
	return c
}

// sealed tells whether a file wants a passphrase; one that cannot be read is
// whoever reads it's to say.
func sealed(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64))
	return daemon.SealedFile(b)
}
