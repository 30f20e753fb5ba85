// Command playnode publishes sealed music under a name that only its DJ can
// sign, carries it peer to peer over IPFS, and plays it without gaps at the
// venues that lease it.
//
// What comes in: flags, environment, and a repo's directory. What goes out:
// results on stdout, words for people on stderr, and the exit codes of
// exit.go. What is trusted: the user. Every command is a request to the
// daemon package, run by the repo's daemon when there is one and in this
// process when there is none.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"playnode/daemon"
)

// version is set by the linker.
var version = "unknown"

func main() {
	// Before any key is read. A system that refuses plays all the same.
	if err := noCores(); err != nil {
		fmt.Fprintln(os.Stderr, "playnode:", err)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: arguments in, exit code out.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.bar.close()
	if err != nil && ctx.Err() != nil && daemon.KindOf(err) == daemon.Stopped {
		return exitInterrupted
	}
	return a.exit(err)
}

// app is what the command families share.
type app struct {
	out, err io.Writer
	bar      bar

	dir   string
	json  bool
	quiet bool
	now   func() time.Time // nil: the system's clock
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "playnode",
		Short: "Sealed music under your own name, peer to peer, without gaps",
		Long: `playnode publishes sealed music under a name that only its DJ can sign, carries
it peer to peer over IPFS, and plays it without gaps at the venues that lease it.

  A DJ:        playnode init; playnode publish ~/Music/tonight
  A venue:     playnode follow LINK; playnode lease import FILE; playnode play
  An archive:  playnode archive NAME
  All of it:   playnode demo`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { a.bar.start(a); return nil },
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{err, c.CommandPath()}
	})
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "repo", envOr("PLAYNODE_REPO", daemon.DefaultRepo()), "the repo's directory")
	f.BoolVar(&a.json, "json", false, "one JSON document on stdout, or one a line where a command streams")
	f.BoolVar(&a.quiet, "quiet", false, "no words for people")
	f.String("log-level", "info", "debug, info, warn or error")
	a.clockFlag(f)
	root.AddCommand(
		a.initCmd(), a.idCmd(), a.daemonCmd(), a.statusCmd(), a.versionCmd(),
		a.checkCmd(), a.publishCmd(), a.liveCmd(), a.excerptCmd(), a.playlistCmd(), a.cardCmd(), a.shareCmd(), a.offerCmd(), a.leaseCmd(), a.keysCmd(),
		a.followCmd(), a.unfollowCmd(), a.followsCmd(), a.previewCmd(), a.playCmd(), a.scheduleCmd(), a.listenCmd(), a.ctlCmd(), a.remoteCmd(), a.sinksCmd(), a.searchCmd(),
		a.archiveCmd(), a.verifyCmd(), a.exportCmd(), a.importCmd(), a.mirrorCmd(),
		a.demoCmd(), a.testnetCmd(),
	)
	return root
}

func envOr(key, or string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return or
}

// exactly and its like give one line that says what would be right.
func exactly(n int, want string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{errors.New("wants " + want), c.CommandPath()}
		}
		return nil
	}
}

func atLeast(n int, want string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError{errors.New("wants " + want), c.CommandPath()}
		}
		return nil
	}
}

// open is the daemon of the repo when one runs, else the repo itself.
func (a *app) open(c *cobra.Command) (daemon.Client, error) {
	flags := changed(c.Flags())
	if cl, ok := daemon.Dial(c.Context(), a.dir); ok {
		if err := daemon.SameSettings(c.Context(), cl, a.dir, flags); err != nil {
			cl.Close()
			return nil, err
		}
		return cl, nil
	}
	return daemon.Open(c.Context(), daemon.Options{Dir: a.dir, Flags: flags, Version: version, Log: a.err, Now: a.now})
}

// changed are the flags that were given, which go before all other settings.
func changed(all *pflag.FlagSet) *pflag.FlagSet {
	some := pflag.NewFlagSet("given", pflag.ContinueOnError)
	all.Visit(func(f *pflag.Flag) {
		if _, ok := f.Annotations[ofRequest]; !ok {
			some.AddFlag(f)
		}
	})
	return some
}

// ofRequest marks a flag that has the name of a setting and is none.
const ofRequest = "of the request"

// call opens, runs op with events to the bar, and closes.
func call[Req, Res any](a *app, c *cobra.Command, op daemon.Op[Req, Res], req Req) (Res, error) {
	var zero Res
	cl, err := a.open(c)
	if err != nil {
		return zero, err
	}
	res, err := daemon.Call(c.Context(), cl, op, req, a.bar.event)
	a.bar.close()
	return res, errors.Join(err, cl.Close())
}
