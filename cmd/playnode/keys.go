package main

import (
	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) keysCmd() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "your keys"}
	c.AddCommand(&cobra.Command{
		Use:   "archive",
		Short: "print the identities with which stock age opens your tracks",
		Long: `Prints the identities that stock age takes, one a line and the newest first, and
nothing else. Each root has its own; a file of all of them opens every track:

  playnode keys archive > dj.key
  ipfs cat CID | age -d -i dj.key > track`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := call(a, c, daemon.OpKeysArchive, struct{}{})
			if err != nil {
				return err
			}
			return a.result(k, func() {
				for _, id := range k.Identities {
					a.printf("%s\n", id)
				}
			})
		},
	}, a.keysBackupCmd(), a.keysRestoreCmd(), a.keysRotateCmd(), a.keysOfflineCmd())
	return c
}

func (a *app) keysBackupCmd() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "your keys, library and leases in one file, sealed with a passphrase",
		Long: `Writes all that you need to go on from another machine: keys, the library, leases
and sequence numbers; the music itself is in the network. The file is an age file
that the passphrase opens, with stock age too. Write one after every change that
you would not want to make again, such as a lease.`,
		Args: exactly(1, "a file to write"),
		RunE: func(c *cobra.Command, args []string) error {
			to, err := absolute(args[0])
			if err != nil {
				return err
			}
			phrase, err := a.newPassphrase(c.Context(), file)
			if err != nil {
				return usageError{err, c.CommandPath()}
			}
			b, err := call(a, c, daemon.OpKeysBackup, daemon.BackupRequest{File: to, Passphrase: phrase})
			if err != nil {
				return err
			}
			return a.result(b, func() { a.printf("%s: %s, all of %s\n", b.File, size(b.Bytes), b.Name) })
		},
	}
	c.Flags().StringVar(&file, "passphrase-file", "", "a file whose first line is the passphrase")
	return c
}

func (a *app) keysRestoreCmd() *cobra.Command {
	var file string
	var alone bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "go on from a backup, in a new repo",
		Long: `Makes this repo, from which nothing was published, go on as the one that the
backup was made of. The next publish first finds what was published since, from
whoever kept it (give a peer: publish --peer); it is signed above that, under fresh
keys, and a lease that was revoked since stays revoked.`,
		Args: exactly(1, "the file that keys backup wrote"),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := absolute(args[0])
			if err != nil {
				return err
			}
			phrase, err := a.passphrase(c.Context(), file)
			if err != nil {
				return usageError{err, c.CommandPath()}
			}
			b, err := daemon.Restore(c.Context(), daemon.Options{Dir: a.dir, Flags: changed(c.Flags()), Version: version, Log: a.err, Now: a.now},
				daemon.BackupRequest{File: from, Passphrase: phrase}, alone)
			if err != nil {
				return err
			}
			return a.result(b, func() {
				a.printf("restored %s\n", b.Name)
				if !alone {
					a.say("next: playnode publish --peer ADDR, a peer that keeps your name; it finds what was published since")
				}
				a.say("if the laptop was stolen: playnode keys rotate, which makes what was copied from it worth nothing")
			})
		},
	}
	f := c.Flags()
	f.StringVar(&file, "passphrase-file", "", "a file whose first line is the passphrase")
	f.BoolVar(&alone, "nothing-since", false, "nothing was published since the backup: do not look for it")
	f.String("network", "public", "public, lan or none, for a repo that is made")
	return c
}
