// Command bench measures the built playnode beside the systems it is compared
// with, on one machine in one run, and writes what it found as Markdown.
//
// In come the binaries (ours, stock Kubo, stock age, a BitTorrent client, lame, ffmpeg) and a
// directory of real music; out goes one page. The contenders take turns within
// every round, so that a noisy machine is noisy for all, and medians are shown.
// Nothing here is a test: a goal that is missed is printed as missed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// Config is what a run needs to know.
type Config struct {
	// Playnode is our binary; Tools holds bin/ipfs and bin/age.
	Playnode, Tools string
	// Music holds Ogg files; Cache keeps what was encoded from them.
	Music, Cache string
	// Out is the page to write.
	Out string
	// Tracks is how many tracks are published, Rounds how often all is done.
	Tracks, Rounds int
	// Bytes is what one peer fetches from another, Venues how many fetch at once,
	// Starts how often each start over a line is timed.
	Bytes          int64
	Venues, Starts int
	// Only names sections to measure alone, into the page that is there.
	Only []string
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "decode" { // a child of decoding's
		if err := decodeFile(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 2 && isCompany(os.Args[1]) { // a child of rest's
		fmt.Fprintln(os.Stderr, "bench:", accompany(context.Background(), os.Args[1], os.Args[2:]))
		os.Exit(1)
	}
	var c Config
	flag.StringVar(&c.Playnode, "playnode", "bin/playnode", "our binary")
	flag.StringVar(&c.Tools, "tools", "", "directory with bin/ipfs and bin/age")
	flag.StringVar(&c.Music, "music", "", "directory of Ogg files")
	flag.StringVar(&c.Cache, "cache", "", "directory for the encoded music")
	flag.StringVar(&c.Out, "out", "BENCH.md", "page to write")
	flag.IntVar(&c.Tracks, "tracks", 40, "tracks to publish")
	flag.IntVar(&c.Rounds, "rounds", 3, "rounds")
	flag.Int64Var(&c.Bytes, "bytes", 100<<20, "bytes to fetch from one peer")
	flag.IntVar(&c.Venues, "venues", 20, "venues of a swarm")
	flag.IntVar(&c.Starts, "starts", 20, "starts over each line")
	only := flag.String("only", "", "sections, with commas between them, to measure alone, into the page that is there")
	flag.Parse()
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c Config) error {
	var err error
	if c.Playnode, err = filepath.Abs(c.Playnode); err != nil {
		return err
	}
	if c.Tools != "" {
		if c.Tools, err = filepath.Abs(c.Tools); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "playnode-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &runner{Config: c, ctx: ctx, dir: dir, taken: map[string][]float64{}}
	if len(c.Only) > 0 {
		return r.again(c.Only)
	}
	for _, s := range sections {
		if err := s.measure(r); err != nil {
			return err
		}
	}
	return os.WriteFile(c.Out, r.page(), 0o644)
}
