package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// lossyBytes is what is fetched over lines that lose, lossyVenues how many
	// want it at once from one source.
	lossyBytes, lossyVenues = 4 << 20, 5
)

// lossyPeer and lossyRush are what is noted of one fetch.
func lossyPeer(name string, loss float64) string {
	return fmt.Sprintf("lossy line, %g, %s", loss, name)
}

func lossyRush(name string, loss float64) string {
	return fmt.Sprintf("lossy lines, %g, %s", loss, name)
}

// lossyFetch has the contenders fetch over lines that lose more and more, one from
// one and some from one.
func (r *runner) lossyFetch() error {
	if ok, err := r.worlds("lossy lines are"); !ok {
		return err
	}
	r.keep("lossy fetch, load", load())
	music := filepath.Join(r.dir, "lossy")
	if err := box.Noise(music, lossyBytes); err != nil {
		return err
	}
	for _, loss := range losses {
		line := far
		line.Loss = loss
		for _, name := range carrierNames {
			if err := r.onePeer(lossyPeer(name, loss), name, music, line); err != nil {
				return fmt.Errorf("one peer to one, %g lost: %w", loss, err)
			}
		}
		for _, name := range carrierNames[:3] {
			x := rush{key: lossyRush(name, loss), venues: lossyVenues, bytes: lossyBytes, source: netns.Line{Up: far.Up, Down: far.Down}, venue: line, patience: patience}
			if err := r.crowded(x, name, music); err != nil {
				return fmt.Errorf("%s to %d, %g lost: %w", name, x.venues, loss, err)
			}
		}
	}
	return os.RemoveAll(music)
}

// lossyFetchPage is its section.
func (r *runner) lossyFetchPage(b *bytes.Buffer) {
	if len(r.taken[lossyPeer(carrierNames[0], 0)]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "%d MiB of noise, each peer in a namespace of its own. A venue is behind a line of %.0f ms and %.0f Mbit/s, there and back, that loses a share of its packets each way; between two venues both lines lose.\nThe source's own loses nothing, and is as slow as a venue's in a swarm, without limit for one. All are connected when the clock starts, but BitTorrent's clients, which are started then. When it began %.0f processes wanted the cores.\n\n",
		lossyBytes>>20, 2*far.Delay.Seconds()*1000, float64(far.Up)*8/1e6, r.median("lossy fetch, load"))
	fmt.Fprintf(b, "| one peer to one, seconds |")
	for _, loss := range losses {
		fmt.Fprintf(b, " %g %% lost |", 100*loss)
	}
	fmt.Fprintf(b, "\n|---|---:|---:|---:|\n")
	for _, name := range carrierNames {
		fmt.Fprintf(b, "| %s |", name)
		for _, loss := range losses {
			fmt.Fprintf(b, " %s |", r.orStands(lossyPeer(name, loss)))
		}
		fmt.Fprintf(b, "\n")
	}
	fmt.Fprintf(b, "\nOne source, %d venues at once; the floor is %.1f s.\n\n| | lost | last venue, s | source sends | a venue receives | of that twice | unfinished |\n|---|---:|---:|---:|---:|---:|---:|\n",
		lossyVenues, lossyBytes/float64(far.Up))
	for _, loss := range losses {
		for _, name := range carrierNames[:3] {
			key := lossyRush(name, loss)
			if n := r.taken[key+", unfinished"]; len(n) > 0 {
				fmt.Fprintf(b, "| %s | %g %% | over %.0f | | | | %.0f |\n", name, 100*loss, patience.Seconds(), n[0])
				continue
			}
			fmt.Fprintf(b, "| %s | %g %% | %.1f | %.2f | %.2f | %.2f | 0 |\n", name, 100*loss, r.median(key), r.median(key+", source"), r.median(key+", received"), r.median(key+", twice"))
		}
	}
}

// orStands is how long it took, or that it stood still.
func (r *runner) orStands(key string) string {
	if len(r.taken[key]) == 0 {
		return fmt.Sprintf("over %.0f", patience.Seconds())
	}
	return fmt.Sprintf("%.1f", r.median(key))
}
