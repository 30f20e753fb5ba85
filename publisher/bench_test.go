package publisher

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/internal/audio"
	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/embedded"
	"playnode/node/kubo"
)

// bench is a DJ's laptop: the store, the node and the records are the real
// ones, on disk.
type bench struct {
	*testing.B
	p      *Publisher
	tally  *tally
	now    time.Time
	fillN  int
	leases []manifests.LeaseID
}

// newBench is a catalogue of so many tracks, made up, and live leases, all in
// its last revision.
func newBench(b *testing.B, tracks, leases int) *bench {
	w := &bench{B: b, now: time.Unix(2976*manifests.Week, 0)}
	dir := filepath.Join(b.TempDir(), "repo")
	cfg, err := repo.LoadConfig(dir, nil)
	w.ok(err)
	w.ok(repo.Create(dir, cfg))
	r, err := repo.Open(dir, cfg)
	w.ok(err)
	b.Cleanup(func() { r.Close() })
	id, err := seal.NewSigning()
	w.ok(err)
	n, err := embedded.New(b.Context(), embedded.Config{Dir: r.NodeDir(), Identity: id.Private(), Network: "none", Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	w.ok(err)
	b.Cleanup(func() { n.Close() })
	now := func() time.Time { return w.now }
	names, err := ipns.New(ipns.Config{Store: r.Bucket("ipns"), Now: now, Peers: n})
	w.ok(err)
	secrets, err := r.Secrets("dj")
	w.ok(err)
	keys, err := OpenKeyring(secrets, w.now.Unix())
	w.ok(err)
	w.p, err = New(Config{Keys: keys, Blocks: n, Held: n, Store: r.Bucket("library"), Names: names, Now: now})
	w.ok(err)
	w.ok(w.p.revise(b.Context(), edit{label: "main", add: w.more(tracks)}))
	if leases > 0 {
		w.lease(leases)
	}
	w.tally = watch(w.p)
	return w
}

func (w *bench) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// more are tracks that no playlist lists yet.
func (w *bench) more(n int) []cid.Cid {
	w.fillN += n
	return fill(w, w.p, w.fillN-n, n)
}

// lease grants n leases, on up to 40 devices, in one revision.
func (w *bench) lease(n int) {
	w.Helper()
	var rows []*leaseRow
	devices := make([]string, min(n, 40))
	for i := range devices {
		id, err := lease.NewIdentity()
		w.ok(err)
		rec, err := id.Record()
		w.ok(err)
		devices[i] = manifests.DeviceText(rec)
	}
	for i := range n {
		rows = append(rows, &leaseRow{Label: "main", DeviceText: devices[i%len(devices)], From: w.now.Unix(), Until: w.now.Unix() + 10*365*manifests.Day})
	}
	_, err := w.p.draw(rows, w.now.Unix())
	w.ok(err)
	for _, row := range rows {
		w.leases = append(w.leases, manifests.LeaseID(row.Lease))
	}
	w.ok(w.p.revise(w.Context(), edit{leases: rows}))
}

// each measures do, and what of new blocks every venue fetches for it.
func (w *bench) each(do func()) {
	w.tally.blocks = 0
	n := 0
	for w.Loop() {
		do()
		n++
	}
	w.ReportMetric(float64(w.tally.blocks)/float64(n), "B/venue")
}

func BenchmarkRenew(b *testing.B) {
	for _, n := range []int{40, 400, 4_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newBench(b, 100, n)
			w.each(func() {
				_, err := w.p.Renew(b.Context(), w.leases, 30*24*time.Hour)
				w.ok(err)
			})
		})
	}
}

func BenchmarkRevokeOne(b *testing.B) {
	for _, n := range []int{40, 400, 4_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newBench(b, 100, n)
			i := 0
			w.each(func() {
				_, err := w.p.Revoke(b.Context(), w.leases[i:i+1])
				w.ok(err)
				i++
			})
		})
	}
}

func BenchmarkRotate(b *testing.B) {
	for _, n := range []struct{ tracks, leases int }{{100, 0}, {2_000, 0}, {2_000, 400}, {100_000, 0}} {
		b.Run(fmt.Sprintf("%d-%d", n.tracks, n.leases), func(b *testing.B) {
			w := newBench(b, n.tracks, n.leases)
			w.each(func() {
				w.now = w.now.Add(manifests.Week * time.Second)
				_, err := w.p.Publish(b.Context(), nil, Options{})
				w.ok(err)
			})
		})
	}
}

func BenchmarkOneTrack(b *testing.B) {
	for _, n := range []int{100, 2_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newBench(b, n, 0)
			add := w.more(500)
			w.each(func() {
				w.ok(w.p.revise(b.Context(), edit{label: "main", add: add[:1]}))
				w.ok(w.p.announce(b.Context(), new(Result)))
				add = add[1:]
			})
		})
	}
}

// BenchmarkSeal seals the files of PLAYNODE_BENCH_FILES, or one of its own,
// into the store, as publish does beside its analysis; or into the Kubo whose RPC
// PLAYNODE_BENCH_KUBO is, where they are pinned.
func BenchmarkSeal(b *testing.B) {
	w := newBench(b, 1, 0)
	var pins node.Pinner
	if rpc := os.Getenv("PLAYNODE_BENCH_KUBO"); rpc != "" {
		k, err := kubo.Open(b.Context(), kubo.Config{RPC: rpc})
		w.ok(err)
		w.p.cfg.Blocks, pins = k, k
	}
	files := filepath.SplitList(os.Getenv("PLAYNODE_BENCH_FILES"))
	if len(files) == 0 {
		files = []string{filepath.Join(b.TempDir(), "noise.wav")}
		header := "RIFF\x24\x00\x40\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data\x00\x00\x40\x00"
		w.ok(os.WriteFile(files[0], append([]byte(header), make([]byte, 4<<20)...), 0o600))
	}
	var size int64
	for _, f := range files {
		st, err := os.Stat(f)
		w.ok(err)
		size += st.Size()
	}
	b.SetBytes(size)
	to := w.p.cfg.Keys.archive().Recipient()
	for b.Loop() {
		var g errgroup.Group
		g.SetLimit(w.p.cfg.Workers)
		for _, path := range files {
			g.Go(func() error {
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				st, err := f.Stat()
				if err != nil {
					return err
				}
				src, err := audio.Ingest(b.Context(), f, st.Size(), filepath.Base(path))
				if err != nil {
					return err
				}
				defer src.Close()
				plain, size := src.Sealable()
				root, _, _, err := w.p.sealBytes(b.Context(), plain, size, to, func(int64) {})
				if err == nil && pins != nil {
					err = pins.Pin(b.Context(), node.Pin{Name: "bench", Root: root})
				}
				return err
			})
		}
		w.ok(g.Wait())
	}
}
