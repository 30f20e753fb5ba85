package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"playnode/internal/audio"
	"playnode/internal/audio/wav"
	"playnode/internal/repo"
	"playnode/publisher"
)

// CheckRequest names files and folders; WAVDir, when set, is where what would
// be heard is written.
type CheckRequest struct {
	Paths  []string
	WAVDir string
	// Dir is the repo whose settings choose the decoders; it need not exist.
	Dir string
}

// Checked is what a venue would hear.
type Checked struct {
	Files []CheckedFile `json:"files"`
}

// CheckedFile is one file; Codec is empty where it cannot be read.
type CheckedFile struct {
	Path     string   `json:"path"`
	Codec    string   `json:"codec"`
	Rate     int      `json:"rate"`
	Channels int      `json:"channels"`
	Samples  int64    `json:"samples"`
	LUFS     *float64 `json:"lufs"`
	Peak     *float64 `json:"peak"`
	Title    string   `json:"title"`
	Artist   string   `json:"artist"`
	Album    string   `json:"album"`
	Problems []string `json:"problems"`
}

// Check looks at files as publish would, without a repo.
func Check(ctx context.Context, req CheckRequest, emit func(Event)) (Checked, error) {
	out := Checked{Files: []CheckedFile{}}
	if req.WAVDir != "" {
		if err := os.MkdirAll(req.WAVDir, 0o755); err != nil {
			return out, fmt.Errorf("make %s: %w", req.WAVDir, err)
		}
	}
	cfg, err := repo.LoadConfig(req.Dir, nil)
	if err != nil {
		return out, err
	}
	opt := decoders(cfg.MP3)
	list := publisher.Walk(req.Paths, func(path string) (publisher.Place, error) { return publisher.PlaceOf(ctx, path) })
	for i, f := range list {
		c := CheckedFile{Path: f.Path, Problems: []string{}}
		err := f.Err
		if err == nil {
			err = check(ctx, &c, req.WAVDir, opt)
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if err != nil {
			c.Codec = ""
			c.Problems = append(c.Problems, err.Error())
		}
		out.Files = append(out.Files, c)
		emit(Event{Progress: &Progress{What: "check", Done: int64(i + 1), Total: int64(len(list)), Unit: "files"}})
	}
	return out, nil
}

func check(ctx context.Context, c *CheckedFile, wavDir string, opt audio.Options) error {
	f, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	src, err := audio.Ingest(ctx, f, st.Size(), filepath.Base(c.Path))
	if err != nil {
		return err
	}
	defer src.Close()
	t := src.Track
	c.Codec, c.Rate, c.Channels, c.Samples = t.Codec, t.Rate, t.Channels, t.Samples
	c.Title, c.Artist, c.Album = src.Tags.Title, src.Tags.Artist, src.Tags.Album
	c.Problems = append(c.Problems, src.Problems...)
	a, err := src.Analyse(ctx, opt)
	if err != nil {
		c.Problems = append(c.Problems, err.Error())
	} else {
		c.Problems = append(c.Problems, a.Problems...)
		if a.Loudness > -70 {
			c.LUFS, c.Peak = &a.Loudness, &a.TruePeak
		}
	}
	if wavDir == "" {
		return nil
	}
	name := strings.TrimSuffix(filepath.Base(c.Path), filepath.Ext(c.Path)) + ".wav"
	return writeWAV(filepath.Join(wavDir, name), src, opt)
}

// writeWAV writes what is heard of a file at its own rate and channels.
func writeWAV(path string, src *audio.Source, opt audio.Options) (err error) {
	r, size := src.ReaderAt()
	dec, err := audio.Open(r, size, src.Track, opt)
	if err != nil {
		return err
	}
	defer dec.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	fm := dec.Format()
	w, err := wav.NewWriter(out, fm.Rate, fm.Channels, dec.Len())
	if err != nil {
		return err
	}
	buf := make([]float32, 4096*fm.Channels)
	for {
		n, err := dec.Read(buf)
		if n > 0 {
			if werr := w.Write(buf[:n*fm.Channels]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return w.Close()
		}
		if err != nil {
			return errors.Join(err, w.Close())
		}
	}
}
