package publisher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/segment"
)

// reel is streams one after another, and what was closed of them.
type reel struct {
	files  [][]byte
	titles []string
	closed int
}

func (r *reel) Next(context.Context) (Stream, error) {
	if len(r.files) == 0 {
		return nil, io.EOF
	}
	s := &strip{r: r, Reader: bytes.NewReader(r.files[0])}
	r.files = r.files[1:]
	return s, nil
}

type strip struct {
	r *reel
	io.Reader
}

func (s *strip) Close() error { s.r.closed++; return nil }
func (s *strip) Titles() []string {
	t := s.r.titles
	s.r.titles = nil
	return t
}

// last is a stream whose end is what ends its set, too.
type last struct{ end context.CancelFunc }

func (l last) Read([]byte) (int, error) { l.end(); return 0, io.EOF }
func (last) Close() error               { return nil }
func (last) Titles() []string           { return nil }

type once struct{ s Stream }

func (o once) Next(context.Context) (Stream, error) { return o.s, nil }

// A set that is ended in the moment in which its source leaves is ended, and no
// more: whichever is first.
func TestASetAndItsSourceEndAtOnce(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := NewFeed(FeedConfig{Streams: once{last{cancel}}}).Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// Real music goes on air, and the track that it becomes decodes to what the
// file does, from its beginning and from its middle.
func TestMusicOnAirIsTheSameTrack(t *testing.T) {
	for _, name := range []string{"1-lamp.flac", "2-harbour.mp3"} {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile("../testnet/music/" + name)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			p := w.start()
			v := w.leasedSet(p)
			r := &reel{files: [][]byte{file}, titles: []string{"Nobody – Here"}}
			var said string
			tracks, err := p.OnAir(t.Context(), NewFeed(FeedConfig{Streams: r}), SetOptions{Playlist: "main", Tell: func(e SetEvent) { said = e.Text }})
			if err != nil || len(tracks) != 1 {
				t.Fatal(tracks, err)
			}
			if said != "Nobody – Here" || r.closed != 1 {
				t.Errorf("on air is %q, %d streams closed", said, r.closed)
			}
			m := w.read(p).manifests[0]
			sound, infos := w.hear(v, m)
			src, err := audio.Ingest(t.Context(), bytes.NewReader(file), int64(len(file)), name)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			sealed, size := src.ReaderAt()
			want := decoded(t, sealed, size, src.Track, 0)
			i := infos[0]
			got := audio.Track{Codec: i.Codec, Rate: i.Rate, Channels: i.Channels, Samples: i.Samples, SamplesPerFrame: i.SamplesPerFrame, Delay: i.Delay, Padding: i.Padding, Index: i.Index}
			// What a file's tags say of its silence a stream does not.
			skip := (src.Track.Delay - got.Delay) * got.Channels
			for _, from := range []int64{0, got.Samples / 2} {
				have := decoded(t, bytes.NewReader(sound[0]), int64(len(sound[0])), got, from)
				rest := have[max(0, skip-int(from)*got.Channels):]
				mine := want[max(0, int(from)*got.Channels-skip):]
				n := min(len(rest), len(mine))
				if n < len(want)/3 {
					t.Fatalf("%d of %d samples to compare", n, len(want))
				}
				for k := range n {
					if d := rest[k] - mine[k]; d > 1e-6 || d < -1e-6 {
						t.Fatalf("from %d, sample %d is %g, not %g", from, k, rest[k], mine[k])
					}
				}
			}
			if i.Loudness == nil || i.Analyser == "" || len(i.Waveform) == 0 {
				t.Errorf("not analysed: %+v", i.Loudness)
			}
		})
	}
}

func decoded(t *testing.T, r io.ReaderAt, size int64, track audio.Track, from int64) (out []float32) {
	t.Helper()
	d, err := audio.Open(r, size, track, audio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.SeekFrame(from); err != nil {
		t.Fatal(err)
	}
	b := make([]float32, 4096*track.Channels)
	for {
		n, err := d.Read(b)
		out = append(out, b[:n*track.Channels]...)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An encoder that comes back as it was goes on in the same track.
func TestASourceThatComesBackGoesOn(t *testing.T) {
	file, err := os.ReadFile("../testnet/music/2-harbour.mp3")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	p := w.start()
	tracks, err := p.OnAir(t.Context(), NewFeed(FeedConfig{Streams: &reel{files: [][]byte{file[:len(file)/2], file[len(file)/2:]}}}), SetOptions{Playlist: "main"})
	if err != nil || len(tracks) != 1 {
		t.Fatal(tracks, err)
	}
	whole, err := w.start().OnAir(t.Context(), NewFeed(FeedConfig{Streams: &reel{files: [][]byte{file}}}), SetOptions{Playlist: "main"})
	if err != nil || len(whole) != 1 {
		t.Fatal(whole, err)
	}
	if lost := whole[0].Samples - tracks[0].Samples; lost < 0 || lost > 3*1152 {
		t.Errorf("%d samples are lost where it broke", lost)
	}
}

func TestWhatIsNoMusicIsRefused(t *testing.T) {
	p := newWorld(t).start()
	_, err := p.OnAir(t.Context(), NewFeed(FeedConfig{Streams: One(io.NopCloser(bytes.NewReader(make([]byte, 3<<20))))}), SetOptions{Playlist: "main"})
	if !errors.Is(err, segment.ErrUnknown) {
		t.Errorf("zeros on air: %v", err)
	}
}
