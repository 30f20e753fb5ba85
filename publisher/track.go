package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/internal/audio"
	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// diskError is a failure of our own store, which no other file would escape.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return diskError{err}
}

// take brings one file into the library, for a playlist: a row that is there
// already where these very bytes were sealed before, and that was not withdrawn
// from it, else a newly sealed track. count is told of bytes as they are worked
// through: each byte of the file twice.
func (p *Publisher) take(ctx context.Context, path, label string, archive seal.ArchiveRecipient, count func(int64)) (row trackRow, sealed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return row, false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return row, false, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, counted{ctxReader{ctx, f}, count}); err != nil {
		return row, false, fmt.Errorf("read: %w", err)
	}
	file := rowFile + hex.EncodeToString(h.Sum(nil))
	defer p.files.lock(file)() // one sealing of equal files
	known, err := p.sealings(file)
	if err != nil {
		return row, false, onDisk(err)
	}
	c, err := p.choose(known, label)
	if c.Defined() && err == nil {
		row, err = p.trackRow(c)
	}
	if c.Defined() || err != nil {
		count(st.Size())
		return row, false, onDisk(err)
	}
	if row, err = p.seal(ctx, f, st.Size(), path, archive, count); err != nil {
		return row, false, err
	}
	// What was sealed must be what was digested.
	if now, err := f.Stat(); err != nil || now.Size() != st.Size() || !now.ModTime().Equal(st.ModTime()) {
		return row, false, errors.New("it changed while it was read; publish it again")
	}
	// All blocks are durable before this row says so: a kill before it seals
	// this file once more, a kill after it never.
	puts := map[string][]byte{file: marshal(row.CID), rowTrack + row.CID.String(): marshal(row)}
	for _, c := range known { // all of them are withdrawn from it
		puts[file+"/"+c.String()], puts[withdrawn(c, label)] = marshal(c), marshal(row.CID)
	}
	return row, true, onDisk(p.cfg.Store.Apply(puts, nil))
}

// sealings are the library's tracks that a file was sealed as, the newest first:
// one as a rule, or none.
func (p *Publisher) sealings(file string) (out []cid.Cid, err error) {
	note := func(c cid.Cid) error {
		ok, err := load(p.cfg.Store, rowTrack+c.String(), new(trackRow))
		if ok && !slices.Contains(out, c) {
			out = append(out, c)
		}
		return err
	}
	var newest cid.Cid
	if ok, err := load(p.cfg.Store, file, &newest); err != nil || !ok {
		return nil, err
	}
	if err := note(newest); err != nil {
		return nil, err
	}
	return out, p.cfg.Store.Each(file+"/", func(key string, value []byte) error {
		var c cid.Cid
		if err := json.Unmarshal(value, &c); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		return note(c)
	})
}

// choose is that of a file's sealings which a playlist has, or else may have;
// undefined for none.
func (p *Publisher) choose(known []cid.Cid, label string) (cid.Cid, error) {
	var order []cid.Cid
	if len(known) > 1 { // of one it is the same
		var l listRow
		ok, err := load(p.cfg.Store, rowList+label, &l)
		if ok && err == nil {
			order, err = p.order(&l)
		}
		if err != nil {
			return cid.Undef, err
		}
	}
	if i := slices.IndexFunc(known, func(c cid.Cid) bool { return slices.Contains(order, c) }); i >= 0 {
		return known[i], nil
	}
	for _, c := range known {
		if c, err := p.fit(c, label); err != nil || c.Defined() {
			return c, err
		}
	}
	return cid.Undef, nil
}

// counted tells of the bytes that pass.
type counted struct {
	io.Reader
	count func(int64)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.count(int64(n))
	return n, err
}

// seal analyses and seals one file, side by side.
func (p *Publisher) seal(ctx context.Context, f *os.File, size int64, path string, archive seal.ArchiveRecipient, count func(int64)) (row trackRow, err error) {
	src, err := audio.Ingest(ctx, f, size, filepath.Base(path))
	if err != nil {
		return row, err
	}
	defer src.Close()
	for _, problem := range src.Problems {
		p.cfg.Log.Warn("publish", "file", filepath.Base(path), "problem", problem)
	}
	if src.Track.Samples <= 0 {
		return row, errors.New("it has no sound in it")
	}
	var found audio.Analysis
	var key seal.FileKey
	g, both := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if found, err = src.Analyse(both, p.cfg.Audio); err != nil && both.Err() == nil {
			// A decoder's weakness is no reason to refuse a track: it goes
			// out without what only decoding tells.
			found, err = audio.Analysis{Loudness: math.Inf(-1)}, nil
		}
		return err
	})
	g.Go(func() (err error) {
		plain, size := src.Sealable()
		row.CID, key, row.Size, err = p.sealBytes(both, plain, size, archive, count)
		return err
	})
	if err := g.Wait(); err != nil {
		return row, err
	}
	t := src.Track
	info := &manifests.Info{
		Title: manifests.Clean(src.Tags.Title, 512), Artist: manifests.Clean(src.Tags.Artist, 512), Album: manifests.Clean(src.Tags.Album, 512),
		Disc: src.Tags.Disc, Number: src.Tags.Number, ISRC: src.Tags.ISRC,
		Codec: t.Codec, Rate: t.Rate, Channels: t.Channels, Samples: t.Samples,
		SamplesPerFrame: t.SamplesPerFrame, Delay: t.Delay, Padding: t.Padding, Index: t.Index,
		Loudness: loudness(found), Waveform: found.Waveform,
		Analyser: audio.Analyser, AnalyserVersion: audio.AnalyserVersion,
	}
	for _, f := range []manifests.Tag{
		{Key: "genre", Value: src.Tags.Genre}, {Key: "albumartist", Value: src.Tags.AlbumArtist},
		{Key: "composer", Value: src.Tags.Composer}, {Key: "year", Value: src.Tags.Year},
	} {
		if f.Value = manifests.Clean(f.Value, 512); f.Value != "" {
			info.Tags = append(info.Tags, f)
		}
	}
	if info.Title == "" {
		base := filepath.Base(path)
		info.Title = manifests.Clean(strings.TrimSuffix(base, filepath.Ext(base)), 512)
	}
	if len(src.Tags.Cover) > 0 {
		info.Cover = &manifests.Cover{MIME: src.Tags.CoverType, Data: src.Tags.Cover}
	}
	block, err := lease.SealInfo(key, row.CID, info)
	if err != nil && info.Cover != nil {
		info.Cover = nil // a picture must not keep a track from being heard
		block, err = lease.SealInfo(key, row.CID, info)
	}
	if err != nil {
		return row, err
	}
	if err := p.cfg.Blocks.Put(ctx, node.Block(block)); err != nil {
		return row, onDisk(fmt.Errorf("store info: %w", err))
	}
	row.Info, row.Key = block.CID, key[:]
	row.Sec = uint64((t.Samples + int64(t.Rate) - 1) / int64(t.Rate))
	row.Title, row.Artist, row.Album, row.Tags = info.Title, info.Artist, info.Album, info.Tags
	row.Codec, row.Rate, row.Channels, row.Samples, row.Loudness = t.Codec, t.Rate, t.Channels, t.Samples, info.Loudness
	return row, nil
}

// sealBytes seals as many bytes as size says, and writes the sealed file's blocks
// meanwhile.
func (p *Publisher) sealBytes(ctx context.Context, plain io.Reader, size int64, archive seal.ArchiveRecipient, count func(int64)) (root cid.Cid, key seal.FileKey, long uint64, err error) {
	pr, pw := io.Pipe()
	var sealed int64
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		defer func() { pw.CloseWithError(err) }()
		w, k, err := seal.NewTrack(pw, archive)
		if err != nil {
			return err
		}
		key = k
		if n, err := io.Copy(w, counted{plain, count}); err != nil {
			return fmt.Errorf("seal: %w", err)
		} else if n != size {
			return fmt.Errorf("seal: the file changed while it was read (%d bytes of %d)", n, size)
		}
		return w.Close()
	})
	g.Go(func() (err error) {
		root, err = buildDAG(ctx, counted{pr, func(n int64) { sealed += n }}, p.cfg.Blocks)
		pr.CloseWithError(err)
		return err
	})
	err = g.Wait()
	return root, key, uint64(sealed), err
}

// loudness is the analysis in the info's units, or nil for silence.
func loudness(a audio.Analysis) *manifests.Loudness {
	if !(a.Loudness > -70) {
		return nil
	}
	milli := func(v float64) int { return int(math.Round(max(-100_000, min(100_000, v*1000)))) }
	return &manifests.Loudness{Integrated: milli(a.Loudness), Range: max(0, milli(a.Range)), Peak: milli(a.TruePeak)}
}
