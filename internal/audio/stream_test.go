package audio_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
	"playnode/internal/audio/segment"
)

// live are formats as encoders send them; far is how far Opus, which never forgets, may be from who has come from
// before, as RMS in LSB.
var live = []struct {
	codec, ext string
	rate, ch   int
	args       string
	far        float64
}{
	{codec: "mp3", ext: "mp3", rate: 44100, ch: 2, args: "-b 128"},
	{codec: "mp3", ext: "mp3", rate: 22050, ch: 1, args: "-V 4"},
	{codec: "mp2", ext: "mp2", rate: 48000, ch: 2, args: "-c:a mp2 -b:a 192k"},
	{codec: "flac", ext: "flac", rate: 44100, ch: 2},
	{codec: "opus", ext: "opus", rate: 48000, ch: 2, args: "-c:a libopus -b:a 96k -page_duration 100000", far: 40},
	{codec: "opus", ext: "opus", rate: 48000, ch: 1, args: "-c:a libopus -b:a 96k", far: 40},
	{codec: "vorbis", ext: "ogg", rate: 44100, ch: 2, args: "-c:a libvorbis -q:a 4 -page_duration 100000"},
	{codec: "vorbis", ext: "ogg", rate: 44100, ch: 1, args: "-c:a libvorbis -q:a 4"},
	{codec: "oggflac", ext: "oga", rate: 44100, ch: 2, args: "-c:a flac -f ogg"},
}

// cutUp is a file's segments.
func cutUp(t *testing.T, path string, target time.Duration) (out []segment.Segment) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := segment.New(bytes.NewReader(b), segment.Config{Target: target})
	for {
		x, err := s.Next()
		if err != nil {
			return out
		}
		out = append(out, x)
	}
}

// stretches are what a stream makes of segments, begun anew before the first where it is not the set's.
func stretches(t *testing.T, codec string, all []segment.Segment, from int, opt audio.Options) (out [][]float32, f audio.Format) {
	t.Helper()
	s, err := audio.NewStream(codec, all[0].Init, opt)
	if err != nil {
		t.Fatal(err)
	}
	if from > 0 {
		s.Reset()
	}
	for i, x := range all[from:] {
		got, err := s.Decode(x.Media, nil)
		if err != nil && (from == 0 || i > 0) {
			t.Errorf("segment %d: %v", from+i, err)
		}
		out = append(out, got)
	}
	return out, s.Format()
}

// A set's segments are heard as the file that they were cut from: from the first on, and from any at which one may
// begin after its lead. A gap costs what is missing.
func TestStreamIsTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	for _, c := range live {
		t.Run(c.codec+" "+c.args, func(t *testing.T) {
			t.Parallel()
			music := audiotest.Music(c.rate, c.ch, c.rate*27/10, 5)
			path := encode(t, c.ext, c.rate, c.ch, music, strings.Fields(c.args)...)
			all := cutUp(t, path, 500*time.Millisecond)
			if len(all) < 3 {
				t.Fatalf("%d segments", len(all))
			}
			parts, f := stretches(t, c.codec, all, 0, audio.Options{})
			if f != (audio.Format{Rate: c.rate, Channels: c.ch}) {
				t.Errorf("%+v", f)
			}
			got := slices.Concat(parts...)
			delay := 0
			var want []float32
			if c.codec == "oggflac" {
				want = audiotest.ReadAll(t, open(t, ingest(t, encode(t, "flac", c.rate, c.ch, music)), audio.Options{}))
			} else {
				src := ingest(t, path)
				want = audiotest.ReadAll(t, open(t, src, audio.Options{}))
				if c.codec == "mp3" || c.codec == "mp2" {
					delay = src.Track.Delay // a stream has no header that says so
				}
			}
			if len(got) < delay*c.ch+len(want) || delay == 0 && len(got) != len(want) {
				t.Fatalf("%d samples behind %d, the file has %d", len(got), delay, len(want))
			}
			if !slices.Equal(got[delay*c.ch:][:len(want)], want) {
				t.Fatal("other samples than the file's")
			}
			at := 0
			for i, x := range all {
				if n := len(parts[i]) / c.ch; int64(n) != x.Length && i > 0 && i < len(all)-1 {
					t.Errorf("segment %d of %d samples gives %d", i, x.Length, n)
				}
				if !x.Independent || i == 0 || i == len(all)-1 { // where the last page ends, the one before it tells
					at += len(parts[i])
					continue
				}
				late, _ := stretches(t, c.codec, all, i, audio.Options{})
				have, whole := slices.Concat(late...), got[at:]
				skip := max(0, int(x.Lead)*c.ch-(len(whole)-len(have)))
				if len(have) > len(whole) || len(whole)-len(have) > int(x.Lead)*c.ch || skip > len(have) {
					t.Fatalf("from segment %d on: %d samples of %d", i, len(have), len(whole))
				}
				if c.far > 0 {
					skip = c.rate * 3 / 10 * c.ch // it is heard to converge for a while
				}
				whole = whole[len(whole)-len(have)+skip:]
				have = have[skip:]
				if _, rms := distance(have, whole); rms > c.far {
					t.Errorf("from segment %d on: an RMS of %.3f LSB", i, rms)
				}
				at += len(parts[i])
			}
			// A segment that is missing, and one that goes on behind.
			if len(all) < 5 || !all[3].Independent {
				return
			}
			s, err := audio.NewStream(c.codec, all[0].Init, audio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, 1, 3} {
				if i == 3 {
					s.Reset()
				}
				have, _ := s.Decode(all[i].Media, nil)
				lead := 0
				if i == 3 {
					lead = int(all[i].Lead) * c.ch
				}
				if i == 3 && c.far > 0 {
					lead = c.rate * 3 / 10 * c.ch
				}
				n := min(len(have), len(parts[i])-lead)
				if _, rms := distance(have[len(have)-n:], parts[i][len(parts[i])-n:]); rms > c.far || len(have) > len(parts[i]) || n < len(parts[i])-lead {
					t.Errorf("around a gap, segment %d: %d samples of %d, an RMS of %.3f LSB", i, len(have), len(parts[i]), rms)
				}
			}
		})
	}
}

// Opus's beginning is dropped by what it says, and what is begun within by 80 ms.
func TestStreamOpusLead(t *testing.T) {
	all := cutUp(t, encode(t, "opus", 48000, 1, audiotest.Music(48000, 1, 96000, 6), "-c:a", "libopus", "-page_duration", "100000"), 500*time.Millisecond)
	parts, _ := stretches(t, "opus", all, 0, audio.Options{})
	if n := int(all[0].Length) - len(parts[0]); n != 312 {
		t.Errorf("%d samples are dropped at the beginning", n)
	}
	late, _ := stretches(t, "opus", all, 1, audio.Options{})
	quiet := 0
	for quiet < len(late[0]) && late[0][quiet] == 0 {
		quiet++
	}
	if quiet < 3840 || quiet > 3900 || len(late[0]) != len(parts[1]) {
		t.Errorf("%d samples of %d are silent", quiet, len(late[0]))
	}
}

// What cannot be decoded here is said to be so; what is no head is damaged.
func TestStreamRefuses(t *testing.T) {
	for _, codec := range []string{"aac", "mpegts", "mp4", "webm", "", "wav"} {
		if _, err := audio.NewStream(codec, nil, audio.Options{}); !errors.Is(err, audio.ErrUnsupported) {
			t.Errorf("%q: %v", codec, err)
		}
	}
	for _, codec := range []string{"flac", "oggflac", "opus", "vorbis"} {
		for _, head := range []string{"", "fLaC", "OggS", "OggS\x00" + strings.Repeat("\xff", 400)} {
			if _, err := audio.NewStream(codec, []byte(head), audio.Options{}); !errors.Is(err, audio.ErrDamaged) {
				t.Errorf("%s with the head %.8q: %v", codec, head, err)
			}
		}
	}
}

// panicking is an engine with a hole in it.
type panicking struct{ audio.Engine }

func (panicking) Decode([]byte, []float32) (int, error) { panic("a hole") }
func (panicking) Reset()                                {}

// A decoder's panic costs the stretch, and a stretch of a million samples a byte is cut short.
func TestStreamContains(t *testing.T) {
	s, err := audio.NewStream("mp3", nil, audio.Options{Engine: func() audio.Engine { return panicking{} }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decode(seedMP3(3)[417:], nil); !errors.Is(err, audio.ErrDamaged) {
		t.Errorf("a panic: %v", err)
	}
	if testing.Short() {
		return // nothing here happens at once
	}
	frame := append([]byte("\xff\xfb\x14\x00"), make([]byte, 100)...) // 32 kbit/s at 48 kHz: 96 bytes
	if s, err = audio.NewStream("mp3", nil, audio.Options{}); err != nil {
		t.Fatal(err)
	}
	out, err := s.Decode(bytes.Repeat(frame[:96], 1<<20/96), nil)
	if !errors.Is(err, audio.ErrDamaged) || len(out) == 0 || len(out) > 1<<22 {
		t.Errorf("%d samples of 1 MiB, %v", len(out), err)
	}
}

// Whatever is changed in media and heads, a stream neither panics nor gives more than it may; and it goes on.
func TestStreamOfDamage(t *testing.T) {
	for _, name := range []string{"mp3", "flac", "opus", "ogg"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := cutUp(t, "testdata/seed."+name, 0)
			codec := strings.Replace(name, "ogg", "vorbis", 1)
			rnd := rand.New(rand.NewPCG(7, 8))
			for range 150 {
				head, media := bytes.Clone(all[0].Init), bytes.Clone(all[0].Media)
				for _, b := range [][]byte{head, media} {
					for range rnd.IntN(4) {
						if len(b) > 0 {
							b[rnd.IntN(len(b))] ^= byte(1 << rnd.IntN(8))
						}
					}
				}
				s, err := audio.NewStream(codec, head, audio.Options{})
				if err != nil {
					continue
				}
				for range 2 {
					out, err := s.Decode(media[rnd.IntN(len(media)):], nil)
					if len(out) > 1<<22 || err != nil && !errors.Is(err, audio.ErrDamaged) {
						t.Fatalf("%d samples, %v", len(out), err)
					}
				}
			}
		})
	}
}
