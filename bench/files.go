package main

import (
	"bytes"
	"fmt"
	"os"
)

// music measures what becomes of real files: published, carried, heard and
// decoded.
func (r *runner) music() error {
	var err error
	if r.files, err = encode(r.ctx, r.Config); err != nil {
		return err
	}
	for round := range r.Rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, r.Rounds)
		if err := r.round(round); err != nil {
			return err
		}
	}
	if err := r.playing(); err != nil {
		return err
	}
	return r.decoding()
}

// musicPage is the section of real files.
func (r *runner) musicPage(b *bytes.Buffer) {
	var bytesIn int64
	for _, file := range r.files {
		if info, err := os.Stat(file); err == nil {
			bytesIn += info.Size()
		}
	}
	mb := float64(bytesIn) / 1e6
	fmt.Fprintf(b, "%d tracks of Debian's wesnoth-1.16-music, encoded by LAME at 128 kbit/s, %.1f MB; medians of %d rounds.\n", len(r.files), mb, r.Rounds)

	fmt.Fprintf(b, "\n### Publish\n\n| | seconds | MB/s |\n|---|---:|---:|\n")
	for _, row := range [][2]string{{"publish", "`playnode publish`: analyse, seal, sign, store"}, {"check", "`playnode check`: the analysis alone"},
		{"ipfs add", "`ipfs add` of the plain files, stock Kubo"}, {"age", "`age` of the plain files, post-quantum recipient"}} {
		fmt.Fprintf(b, "| %s | %.2f | %.1f |\n", row[1], r.median(row[0]), mb/r.median(row[0]))
	}
	fmt.Fprintf(b, "\n### Fetch, disk to disk on loopback\n\n| | seconds | MB/s |\n|---|---:|---:|\n")
	for _, row := range [][2]string{{"follow", "`playnode follow --once`, daemon to daemon"}, {"ipfs pin add", "`ipfs pin add`, Kubo to Kubo"}, {"http", "plain HTTP, sha256, fsync"}} {
		fmt.Fprintf(b, "| %s | %.2f | %.1f |\n", row[1], r.median(row[0]), mb/r.median(row[0]))
	}
	fmt.Fprintf(b, "\n### Time to the first sample out of a pipe\n\n| | p50 ms | p95 ms | n |\n|---|---:|---:|---:|\n")
	for _, row := range [][2]string{{"spawn", "`playnode version`: what any command costs"}, {"start held", "held, by a running daemon, from the command's start"},
		{"start held, no daemon", "held, with no daemon: the repo is opened too"}, {"start from a peer", "nothing held: follow, verify and play from a peer on loopback, the rest still coming"}} {
		fmt.Fprintf(b, "| %s | %.0f | %.0f | %d |\n", row[1], 1000*r.median(row[0]), 1000*r.quantile(row[0], .95), len(r.taken[row[0]]))
	}
	fmt.Fprintf(b, "\n### Resident memory\n\n| | MB |\n|---|---:|\n")
	for _, row := range [][2]string{{"idle MB", "venue's daemon, idle"}, {"playing MB", "playing, median"}, {"playing peak MB", "playing and serving all it holds to a peer, peak"},
		{"kubo idle MB", "Kubo's daemon, idle"}, {"kubo peak MB", "Kubo's daemon, fetching, peak"}} {
		fmt.Fprintf(b, "| %s | %.0f |\n", row[1], r.median(row[0]))
	}
	r.decodingPage(b)
	fmt.Fprintf(b, "\n### Against the goals\n")
	add := r.median("publish") - r.median("check")
	writeGoals(b,
		goal{"publish 40 tracks in at most 20 s", fmt.Sprintf("%.1f s", r.median("publish")), r.median("publish") <= 20},
		goal{"sealing adds no more to the analysis than `ipfs add` takes", fmt.Sprintf("%.2f s, `ipfs add` %.2f s", add, r.median("ipfs add")), add <= r.median("ipfs add")},
		goal{"fetch faster than Kubo to Kubo", fmt.Sprintf("%.2f of its time", r.median("follow")/r.median("ipfs pin add")), r.median("follow") < r.median("ipfs pin add")},
		goal{"fetch in at most twice the time of plain HTTP", fmt.Sprintf("%.1f times", r.median("follow")/r.median("http")), r.median("follow") <= 2*r.median("http")},
		goal{"held: p50 at most 20 ms beyond the command's own start", fmt.Sprintf("%.0f ms", 1000*(r.median("start held")-r.median("spawn"))), r.median("start held")-r.median("spawn") <= .020},
		goal{"from a peer: p95 at most 150 ms beyond two commands' own start", fmt.Sprintf("%.0f ms", 1000*(r.quantile("start from a peer", .95)-2*r.median("spawn"))), r.quantile("start from a peer", .95)-2*r.median("spawn") <= .150},
		goal{"mp3 at 150 times real time a core or more", fmt.Sprintf("%.0f times", r.median("decode mp3 exact")), r.median("decode mp3 exact") >= 150},
		goal{"fewer than 100 allocations a second of mp3", fmt.Sprintf("%.1f", r.median("allocs mp3")), r.median("allocs mp3") < 100},
		goal{"at most 60 MB idle", fmt.Sprintf("%.0f MB", r.median("idle MB")), r.median("idle MB") <= 60},
		goal{"at most 100 MB playing and serving", fmt.Sprintf("%.0f MB", r.median("playing peak MB")), r.median("playing peak MB") <= 100},
	)
}
