package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/audio"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// Read makes the world's disk a Held.
func (w *world) Read(_ context.Context, c cid.Cid) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.blocks[c]; b != nil {
		return b, nil
	}
	return nil, node.ErrNotFound
}

// age makes a track's info that of an older analyser, which measured wrongly.
func (w *world) age(p *Publisher, c cid.Cid) {
	w.t.Helper()
	row, err := p.trackRow(c)
	if err != nil {
		w.t.Fatal(err)
	}
	tr := row.track()
	info, err := lease.OpenInfo(tr.Key, manifests.Entry{Track: c, Info: row.Info}, w.blocks[row.Info])
	if err != nil {
		w.t.Fatal(err)
	}
	info.AnalyserVersion, info.Loudness, info.Waveform = 0, &manifests.Loudness{Integrated: -1}, nil
	b, err := lease.SealInfo(tr.Key, c, info)
	if err != nil {
		w.t.Fatal(err)
	}
	row.Info, row.Loudness = b.CID, info.Loudness
	if err := w.Put(w.t.Context(), node.Block(b)); err != nil {
		w.t.Fatal(err)
	}
	if err := p.cfg.Store.Put(rowTrack+c.String(), marshal(row)); err != nil {
		w.t.Fatal(err)
	}
}

func TestReanalyse(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.cfg.Held = w
	paths, data := album(t, 3)
	first, err := p.Publish(t.Context(), paths, Options{Playlist: "main"})
	if err != nil {
		t.Fatal(err)
	}
	tracks := playlists(t, p)[0].Tracks
	for _, tr := range tracks[:2] {
		w.age(p, tr.CID)
	}
	for _, f := range paths {
		os.Remove(f) // the originals are not needed
	}
	res, err := p.Publish(t.Context(), nil, Options{Reanalyse: true})
	if err != nil || len(res.Skipped) != 0 || res.Reanalysed != 2 || res.Seq != first.Seq+1 {
		t.Fatalf("%+v, %v", res, err)
	}
	v := w.venue()
	grantTo(t, p, v, "main", 24*time.Hour)
	sound, infos := w.hear(v, w.read(p).manifests[0])
	for i, info := range infos {
		tr := playlists(t, p)[0].Tracks[i]
		if tr.CID != tracks[i].CID || !bytes.Equal(sound[i], data[i]) {
			t.Errorf("track %d is another", i)
		}
		a, b := marshal(info.Loudness), marshal(tracks[i].Loudness)
		if info.AnalyserVersion != audio.AnalyserVersion || len(info.Waveform) != 3000 || !bytes.Equal(a, b) || *tr.Loudness != *info.Loudness {
			t.Errorf("track %d: version %d, loudness %s, not %s", i, info.AnalyserVersion, a, b)
		}
	}
	// Nothing is left to do.
	if res, err = p.Publish(t.Context(), nil, Options{}); err != nil { // for the grant
		t.Fatal(err)
	}
	again, err := p.Publish(t.Context(), nil, Options{Reanalyse: true})
	if err != nil || again.Reanalysed != 0 || again.Seq != res.Seq {
		t.Errorf("again: %+v, %v", again, err)
	}
	// What is no longer held is named, and nothing else stops for it.
	w.age(p, tracks[0].CID)
	w.age(p, tracks[1].CID)
	var row trackRow
	if err := json.Unmarshal(w.rows[rowTrack+tracks[0].CID.String()], &row); err != nil {
		t.Fatal(err)
	}
	delete(w.blocks, row.CID)
	last, err := p.Publish(t.Context(), nil, Options{Reanalyse: true})
	if err != nil || len(last.Skipped) != 1 || last.Reanalysed != 1 || last.Skipped[0].Path != tracks[0].Title {
		t.Errorf("with a block gone: %+v, %v", last, err)
	}
}
