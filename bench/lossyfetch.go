package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// lossyBytes is what is fetched over lines that lose, lossyRounds how often by one
	// from one.
	lossyBytes, lossyRounds = 4 << 20, 2
	// patienceLossy is how long a swarm is waited for over such lines.
	patienceLossy = 75 * time.Second
)

// entrant is a contender as it fetches over lines that lose.
type entrant struct {
	name string // as of carriers
	udp  bool
}

// entrants are in the order of the page.
var entrants = []entrant{{"playnode", true}, {"playnode", false}, {"Kubo", true}, {"BitTorrent", false}, {"HTTP", false}}

// rushing are those of which many fetch from one source: what HTTP takes is
// arithmetic, and TCP differs where much is lost.
func rushing(loss float64) (out []entrant) {
	for i, e := range entrants[:4] {
		if i != 1 || loss == slices.Max(losses) {
			out = append(out, e)
		}
	}
	return out
}

func (e entrant) String() string {
	if e.name == carrierNames[0] && !e.udp {
		return e.name + ", TCP alone"
	}
	return e.name
}

// rushed is a venue's line where many want the same at once.
var rushed = netns.Line{Delay: far.Delay, Up: 500_000, Down: far.Down}

// lossyPeer and lossyRush are what is noted of one fetch.
func lossyPeer(e entrant, loss float64) string {
	return fmt.Sprintf("lossy line, %g, %v", loss, e)
}

func lossyRush(e entrant, loss float64) string {
	return fmt.Sprintf("lossy lines, %g, %v", loss, e)
}

// lossyFetch has the contenders fetch over lines that lose more and more, one from
// one and many from one.
func (r *runner) lossyFetch() error {
	if ok, err := r.worlds("lossy lines are"); !ok {
		return err
	}
	r.keep("lossy fetch, load", load())
	music := filepath.Join(r.dir, "lossy")
	if err := box.Noise(music, lossyBytes); err != nil {
		return err
	}
	begin, rested := time.Now(), idled()
	for _, loss := range losses {
		line := far
		line.Loss = loss
		for i := range lossyRounds {
			var g errgroup.Group // each has a line of its own, which is what it waits for
			var ours sync.Mutex  // one DJ serves both
			for _, e := range entrants {
				g.Go(func() error {
					if e.name == carrierNames[0] {
						ours.Lock()
						defer ours.Unlock()
					}
					return r.onePeer(lossyPeer(e, loss), e.name, music, line, manner{patience: patience, udp: e.udp, seed: uint64(i)})
				})
			}
			if err := g.Wait(); err != nil {
				return fmt.Errorf("one peer to one, %g lost: %w", loss, err)
			}
		}
	}
	r.keep("lossy line, idle", (idled()-rested)/time.Since(begin).Seconds()/float64(runtime.NumCPU()))
	for _, loss := range losses {
		line := rushed
		line.Loss = loss
		for _, e := range rushing(loss) {
			x := rush{key: lossyRush(e, loss), venues: r.Venues, bytes: lossyBytes, source: netns.Line{Up: rushed.Up, Down: rushed.Down}, venue: line, manner: manner{patience: patienceLossy, udp: e.udp}}
			if err := r.crowded(x, e.name, music); err != nil {
				return fmt.Errorf("%v to %d, %g lost: %w", e, x.venues, loss, err)
			}
		}
	}
	return errors.Join(os.RemoveAll(music), os.RemoveAll(music+".dj"))
}

// lossyFloor is how long venues' and the source's lines take at the least for one
// catalogue each, in seconds. A venue's loses what it sends, and the next one's
// that again.
func lossyFloor(venues int, loss float64) float64 {
	left, n := 1-loss, float64(venues)
	all := n * lossyBytes / (float64(rushed.Up) * (left + n*left*left))
	return max(lossyBytes/(float64(rushed.Up)*left), all)
}

// lossyFetchPage is its section.
func (r *runner) lossyFetchPage(b *bytes.Buffer) {
	if len(r.taken["lossy fetch, load"]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "%d MiB of noise, each peer a process in a namespace of its own. A venue is behind a line of %.0f ms, there and back, that loses a share of its packets each way; between two venues both lines lose. The source's own\n"+
		"loses nothing. Kubo and ours speak QUIC and TCP, as they do unless told otherwise, of which QUIC is dialled first; BitTorrent (anacrolix/torrent) and HTTP speak TCP. That is cubic in all boxes; ours goes on with BBR where it\n"+
		"loses by chance, and the system has it. In ours is a mailbox of 200 kB that they lack. All are connected when the clock starts, but BitTorrent's clients, which are started then. When it began %.0f processes wanted the cores.\n\n", lossyBytes>>20, 2*far.Delay.Seconds()*1000, r.median("lossy fetch, load"))
	fmt.Fprintf(b, "One peer to one over %.0f Mbit/s, the source's line without limit: the mean of %d and the slower, in which all fetched at the same time, each over a line of its own; the cores were idle for %.0f %% of it. The floor is what is left of the line.\n\n| seconds |",
		float64(far.Down)*8/1e6, lossyRounds, 100*r.median("lossy line, idle"))
	for _, loss := range losses {
		fmt.Fprintf(b, " %g %% lost |", 100*loss)
	}
	fmt.Fprintf(b, "\n|---|---:|---:|---:|\n")
	for _, e := range entrants {
		fmt.Fprintf(b, "| %v |", e)
		for _, loss := range losses {
			fmt.Fprintf(b, " %s |", r.orStands(lossyPeer(e, loss)))
		}
		fmt.Fprintf(b, "\n")
	}
	fmt.Fprintf(b, "| the floor |")
	for _, loss := range losses {
		fmt.Fprintf(b, " %.1f |", lossyBytes/float64(far.Down)/(1-loss))
	}
	fmt.Fprintf(b, "\n\nOne source, %d venues at once, each of which knows the source and up to %d others; all lines carry %.0f Mbit/s up and %.0f down, the source's too. Multiples are of the catalogue. The floor is what is left of the uplinks where each packet is sent until it comes:",
		r.Venues, neighbours, float64(rushed.Up)*8/1e6, float64(rushed.Down)*8/1e6)
	for i, loss := range losses {
		fmt.Fprintf(b, "%s %.1f s with %g %% lost", []string{"", ",", ","}[min(i, 2)], lossyFloor(r.Venues, loss), 100*loss)
	}
	fmt.Fprintf(b, ".\nNone is waited for longer than %.0f s; of those that are not done then the bytes are what was carried so far.\n\n", patienceLossy.Seconds())
	fmt.Fprintf(b, "| | lost | last venue, s | of the floor | median venue, s | source sends | a venue receives | of that twice | cores idle | unfinished |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, loss := range losses {
		for _, e := range rushing(loss) {
			r.lossyRow(b, e, loss)
		}
	}
	var goals []goal
	for _, loss := range losses {
		for _, e := range entrants[:2] {
			ours, kubo := r.mean(lossyPeer(e, loss)), r.mean(lossyPeer(entrants[2], loss))
			goals = append(goals, goal{fmt.Sprintf("%v to one, %g %% lost: faster than Kubo", e, 100*loss), fmt.Sprintf("%.1f s and %.1f", ours, kubo), ours > 0 && (ours < kubo || kubo == 0)})
		}
	}
	for _, loss := range losses {
		for _, e := range rushing(loss) {
			if e.name != entrants[0].name {
				continue
			}
			key := lossyRush(e, loss)
			took, source, twice := r.median(key), r.median(key+", source"), r.median(key+", twice")
			times := took / lossyFloor(r.Venues, loss)
			measured := fmt.Sprintf("%.2f", times)
			if took == 0 {
				measured = "unfinished"
			}
			goals = append(goals,
				goal{fmt.Sprintf("%v to %d, %g %% lost: the source sends at most 1.3 catalogues", e, r.Venues, 100*loss), fmt.Sprintf("%.2f", source), source > 0 && source <= 1.3},
				goal{"all have it in at most 1.6 times the floor", measured, took > 0 && times <= 1.6},
				goal{"at most 5 % come twice", fmt.Sprintf("%.1f %%", 100*twice), took > 0 && twice <= .05})
		}
	}
	writeGoals(b, goals...)
}

// lossyRow is one swarm.
func (r *runner) lossyRow(b *bytes.Buffer, e entrant, loss float64) {
	key := lossyRush(e, loss)
	unfinished := r.median(key + ", unfinished")
	last, times, twice := fmt.Sprintf("over %.0f", patienceLossy.Seconds()), "", ""
	if unfinished == 0 {
		took := r.median(key)
		last, times, twice = fmt.Sprintf("%.1f", took), fmt.Sprintf("%.2f", took/lossyFloor(r.Venues, loss)), fmt.Sprintf("%.2f", r.median(key+", twice"))
	}
	half := ""
	if done := r.taken[key+", venue"]; 2*len(done) > r.Venues {
		half = fmt.Sprintf("%.1f", r.quantile(key+", venue", min(1, float64(r.Venues-1)/2/float64(len(done)-1))))
	}
	fmt.Fprintf(b, "| %v | %g %% | %s | %s | %s | %.2f | %.2f | %s | %.0f %% | %.0f |\n", e, 100*loss, last, times, half, r.median(key+", source"), r.median(key+", received"), twice, 100*r.median(key+", idle"), unfinished)
}

// orStands is how long it took in the mean and at worst, or that it stood still.
func (r *runner) orStands(key string) string {
	took := r.taken[key]
	stood := ""
	if n := len(r.taken[key+", stands"]); n > 0 {
		stood = fmt.Sprintf("%d of %d over %.0f", n, n+len(took), patience.Seconds())
	}
	if len(took) == 0 {
		return stood
	}
	if stood != "" {
		stood = ", " + stood
	}
	return fmt.Sprintf("%.1f, %.1f%s", r.mean(key), r.quantile(key, 1), stood)
}

// mean is of what was measured, 0 where nothing was.
func (r *runner) mean(key string) (sum float64) {
	for _, x := range r.taken[key] {
		sum += x / float64(len(r.taken[key]))
	}
	return sum
}
