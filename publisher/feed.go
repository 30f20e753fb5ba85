package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"playnode/internal/audio/segment"
	"playnode/manifests"
)

// Streams are the encoded streams of a set, one after another: an encoder that
// was lost and came back is the next.
type Streams interface {
	// Next waits for the next stream; io.EOF says that none will come.
	Next(ctx context.Context) (Stream, error)
}

// Stream is bytes as an encoder sends them. Close ends a Read that waits.
type Stream interface {
	io.ReadCloser
	// Titles are those that came beside the bytes since it was asked last.
	Titles() []string
}

// FeedConfig is how streams are cut.
type FeedConfig struct {
	Streams Streams
	// Target is how long a segment should be; 0 means a second.
	Target time.Duration
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// NewFeed makes a Source of streams.
func NewFeed(c FeedConfig) Source {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &feed{cfg: c}
}

// feed cuts streams as they come. Used by one goroutine.
type feed struct {
	cfg   FeedConfig
	now   Stream
	seg   *segment.Segmenter
	title string // new, and not yet handed on
	some  bool   // a cut was made
	last  error  // why the stream before ended
}

// Next is Source's.
func (f *feed) Next(ctx context.Context) (Cut, error) {
	for {
		if f.now == nil {
			s, err := f.cfg.Streams.Next(ctx)
			if err != nil {
				if errors.Is(err, io.EOF) && !f.some && f.last != nil {
					err = f.last // a stream that could not be cut is the DJ's to know
				}
				return Cut{}, err
			}
			f.now, f.seg = s, segment.New(s, segment.Config{Target: f.cfg.Target, MaxMedia: MaxCut - segment.MaxInit})
		}
		now := f.now // what stop did not stop runs on
		stop := context.AfterFunc(ctx, func() { now.Close() })
		x, err := f.seg.Next()
		stop()
		for _, t := range f.now.Titles() {
			f.title = t
		}
		if err == nil {
			return f.cut(x), nil
		}
		f.now.Close()
		f.now = nil
		if err := ctx.Err(); err != nil {
			return Cut{}, err
		}
		if !errors.Is(err, io.EOF) {
			f.last = fmt.Errorf("the source: %w", err)
			f.cfg.Log.Warn("on air: a source has left", "err", err)
		}
	}
}

func (f *feed) cut(x segment.Segment) Cut {
	f.some = true
	c := Cut{Len: x.Length, Open: x.Independent, Media: x.Media, Text: f.title}
	if x.Begins {
		c.Init = &manifests.MediaInit{Codec: codecs[x.Format], Rate: x.Rate, Head: x.Init}
		if c.Text == "" {
			c.Text = x.Title
		}
	}
	f.title = ""
	return c
}

// codecs are how a set says what its media is: as a track's info does where it
// can be one.
var codecs = map[segment.Format]string{
	segment.MP3: "mp3", segment.ADTS: "aac", segment.Opus: "opus", segment.Vorbis: "vorbis", segment.OggFLAC: "oggflac", segment.FLAC: "flac",
	segment.TS: "mpegts", segment.MP4: "mp4", segment.WebM: "webm",
}

// One is one stream and no more: a pipe, or a file at its own pace.
func One(r io.ReadCloser) Streams { return &one{r} }

type one struct{ r io.ReadCloser }

func (o *one) Next(context.Context) (Stream, error) {
	if o.r == nil {
		return nil, io.EOF
	}
	s := untitled{o.r}
	o.r = nil
	return s, nil
}

type untitled struct{ io.ReadCloser }

func (untitled) Titles() []string { return nil }
