package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/mp3"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/segment"
)

func named(t *testing.T, name string) stream {
	t.Helper()
	for _, s := range streams {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no stream %s", name)
	return stream{}
}

// mp3Frames are the frames of a stream.
func mp3Frames(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	r := mp3.NewReader(bytes.NewReader(b))
	for {
		f, err := r.Next()
		if err != nil {
			return out
		}
		out = append(out, bytes.Clone(f.Data))
	}
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Of an mp3 only whole frames come out, whatever stands between them; a source that was cut off in a frame
// and goes on, or goes on with other parameters, is noted.
func TestBrokenMP3(t *testing.T) {
	b := bare(named(t, "mp3 128").encode(t), segment.MP3)
	other := bare(named(t, "mp3 vbr mono 22050").encode(t), segment.MP3)
	mp2 := named(t, "mp2").encode(t)
	all := mp3Frames(t, b)
	id3 := append([]byte("ID3\x03\x00\x00\x00\x00\x02\x00"), make([]byte, 256)...)
	noise := bytes.Repeat([]byte("no frame \xff\xfb\x90"), 99)
	middle := cat(all[:50]...)
	info := make([]byte, 417)
	copy(info, "\xff\xfb\x90\x00")
	copy(info[36:], "Info\x00\x00\x00\x01\x00\x00\x00\x05")
	for _, c := range []struct {
		name   string
		in     []byte
		want   []byte
		gaps   string // of each segment
		begins string
	}{
		{"a tag before and within", cat(id3, middle, id3, middle, []byte("TAG"), make([]byte, 125)), cat(middle, middle), "..", "b."},
		{"come into in the middle of a frame", b[100 : 100+len(middle)-100], cat(all[1:50]...), ".", "b"},
		{"junk", cat(noise, middle, noise, middle), cat(middle, middle), "..g.", "b..."},
		{"cut off in a frame, and again", cat(middle[:len(middle)-150], middle), cat(cat(all[:49]...), middle), "..g.", "b..."},
		{"other parameters", cat(middle, other), cat(middle, other), "......", "b.b..."},
		{"another layer", cat(middle, mp2), cat(middle, mp2), "......", "b.b..."},
		{"the end in a frame", middle[:len(middle)-1], cat(all[:49]...), "..", "b."},
		{"an encoder's header frame before and within", cat(info, middle, id3, info, middle), cat(middle, middle), "..", "b."},
	} {
		got := cut(t, bytes.NewReader(c.in), segment.Config{})
		gaps, begins := "", ""
		for _, s := range got {
			gaps += map[bool]string{true: "g", false: "."}[s.Gap]
			begins += map[bool]string{true: "b", false: "."}[s.Begins]
		}
		if !bytes.Equal(join(got, 0), c.want) {
			t.Errorf("%s: %d bytes come out, want %d, or others", c.name, len(join(got, 0)), len(c.want))
		}
		if !strings.HasPrefix(gaps, strings.TrimRight(c.gaps, ".")) || strings.Count(gaps, "g") != strings.Count(c.gaps, "g") || strings.TrimRight(begins, ".") != strings.TrimRight(c.begins, ".") {
			t.Errorf("%s: gaps %s, begins %s", c.name, gaps, begins)
		}
	}
}

// Time goes on where the rate changes.
func TestTimeGoesOn(t *testing.T) {
	a, b := bare(named(t, "mp3 128").encode(t), segment.MP3), bare(named(t, "mp3 vbr mono 22050").encode(t), segment.MP3)
	at := time.Duration(0)
	rates := map[int]int{}
	for i, s := range cut(t, bytes.NewReader(cat(a, b, a)), segment.Config{}) {
		if d := s.Start() - at; d < 0 || d > 50*time.Microsecond {
			t.Errorf("segment %d begins %v after the end of that before", i, d)
		}
		at = s.Start() + s.Duration()
		rates[s.Rate]++
	}
	if at < 12900*time.Millisecond || at > 13300*time.Millisecond || rates[44100] < 7 || rates[22050] < 3 {
		t.Errorf("it lasts %v, %v", at, rates)
	}
}

// A chained logical stream gives a new init and its title; a stream that comes back within a page, or before
// its headers were whole, goes on.
func TestChains(t *testing.T) {
	listed(t)
	one := func(title, codec string) []byte {
		return run(t, music()[:4*44100*2], "ffmpeg", strings.Fields("-v error -f s16le -ar 44100 -ac 2 -i - -metadata artist=Ada -metadata title="+title+" "+codec+" -")...)
	}
	opus, vorbis, flac := one("Opus", "-c:a libopus -page_duration 200000 -f ogg"), one("Vorbis", "-c:a libvorbis -f ogg"), one("FLAC", "-c:a flac -f flac")
	oggFLAC := one("OggFLAC", "-c:a flac -f ogg")
	in := cat(opus, vorbis, oggFLAC, opus[:len(opus)-10], opus[:60], vorbis)
	var titles, gaps []string
	all := cut(t, bytes.NewReader(in), segment.Config{})
	var out []byte
	for _, s := range all {
		if s.Begins {
			titles = append(titles, s.Title)
			if len(s.Init) == 0 {
				t.Error("a run begins without its init")
			}
		}
		if s.Gap {
			gaps = append(gaps, s.Title)
		}
		out = append(append(out, s.Init...), s.Media...)
	}
	if got := strings.Join(titles, "|"); got != "Ada - Opus|Ada - Vorbis|Ada - OggFLAC|Ada - Opus|Ada - Vorbis" {
		t.Errorf("titles %s", got)
	}
	if got := strings.Join(gaps, "|"); got != "Ada - Vorbis" {
		t.Errorf("gaps at %s", got)
	}
	if !bytes.HasPrefix(out, cat(opus, vorbis, oggFLAC)) || !bytes.HasSuffix(out, vorbis) {
		t.Error("what is whole does not come out byte for byte")
	}
	if last := all[len(all)-1]; last.Start()+last.Duration() < 8500*time.Millisecond {
		t.Errorf("it lasts %v", last.Start()+last.Duration())
	}
	all = cut(t, bytes.NewReader(cat(flac, flac)), segment.Config{})
	if !bytes.Equal(join(all, 0), cat(flac, flac)) || all[0].Title != "Ada - FLAC" {
		t.Errorf("FLAC behind FLAC: %q", all[0].Title)
	}
}

// What is missing of Ogg, FLAC and a transport stream is a gap in time, and nothing else is lost.
func TestHoles(t *testing.T) {
	listed(t)
	for _, name := range []string{"opus", "vorbis", "ogg flac", "flac", "ts aac", "mp4 aac", "aac", "webm opus"} {
		b := named(t, name).encode(t)
		whole := cut(t, bytes.NewReader(b), segment.Config{Target: 300 * time.Millisecond})
		end := whole[len(whole)-1]
		for _, hole := range []int{1, 3000} {
			if name == "mp4 aac" || name == "webm opus" && hole == 1 {
				continue // boxes lead on from one to the next: nothing tells where they would go on
			}
			from := len(b) * 4 / 7
			broken := cat(b[:from], b[from+hole:])
			all, err := cutAll(bytes.NewReader(broken), segment.Config{Target: 300 * time.Millisecond})
			if err != io.EOF {
				t.Errorf("%s without %d bytes: %v", name, hole, err)
			}
			gaps, kept, most := 0, 0, 9000
			if name == "ogg flac" {
				most = 64 << 10 // a page
			}
			for _, s := range all {
				kept += len(s.Init) + len(s.Media)
				if s.Gap {
					gaps++
				}
			}
			last := all[len(all)-1]
			lost := end.Start() + end.Duration() - last.Start() - last.Duration()
			if gaps == 0 || kept < len(broken)-most || lost < -time.Second || lost > 2*time.Second {
				t.Errorf("%s without %d bytes: %d gaps, %d bytes of %d kept, %v shorter", name, hole, gaps, kept, len(broken), lost)
			}
		}
	}
}

// A reader's error comes behind what was whole, and is the reader's; so it is with a stall.
func TestEnds(t *testing.T) {
	listed(t)
	stall := errors.New("nothing for 15 s")
	for _, s := range streams {
		b := s.encode(t)
		b = b[:len(b)*2/3]
		all, err := cutAll(io.MultiReader(bytes.NewReader(b), iotest.ErrReader(stall)), segment.Config{})
		if !errors.Is(err, stall) || len(all) == 0 && !s.video {
			t.Errorf("%s: %d segments, %v", s.name, len(all), err)
		}
	}
	for name, b := range map[string]string{
		"nothing": "", "text": strings.Repeat("hello ", 20000), "a WAV": "RIFF\x00\x00\x00\x00WAVEfmt ", "zeros": strings.Repeat("\x00", 1<<20),
		"an ordinary MP4": "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x10mdat" + strings.Repeat("x", 99),
		"Theora":          string(oggPage("\x80theora" + strings.Repeat("x", 40))),
	} {
		all, err := cutAll(strings.NewReader(b), segment.Config{})
		if len(all) > 0 || !errors.Is(err, segment.ErrUnknown) && (b != "" || err != io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// oggPage is a first page with one packet.
func oggPage(packet string) []byte {
	return page(2, 0, 0, 0, []byte{byte(len(packet))}, []byte(packet))
}

// page writes a page of Ogg (RFC 3533).
func page(flags byte, granule int64, serial, seq uint32, lacing, body []byte) []byte {
	b := append([]byte("OggS\x00"), flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(granule))
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = append(append(b, 0, 0, 0, 0, byte(len(lacing))), lacing...)
	b = append(b, body...)
	var crc uint32
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc>>31 != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	binary.LittleEndian.PutUint32(b[22:], crc)
	return b
}

// Where packets span pages, segments end where a packet does, and are still about as long as they should be.
func TestSpanningPackets(t *testing.T) {
	b := named(t, "ogg flac").encode(t)
	var in, lacing, body []byte
	var info flac.Info
	var serial, seq uint32
	packets := 0
	granule, ended, begins, first := int64(0), int64(-1), true, true
	flush := func() {
		flags := byte(0)
		if !begins {
			flags = 1
		}
		in = append(in, page(flags, ended, serial, seq, lacing, body)...)
		begins, ended = lacing[len(lacing)-1] < 255, -1
		lacing, body, seq = nil, nil, seq+1
	}
	for p, n := b, 0; len(p) > 0; n++ {
		size := ogg.PageSize(p)
		x, ok := ogg.ParsePage(p[:size])
		if !ok {
			t.Fatal("no page")
		}
		if x.Granule == 0 {
			if x.Begins {
				var err error
				if info, err = flac.ParseInfo(x.Body[17:]); err != nil {
					t.Fatal(err)
				}
			}
			in, serial, seq = append(in, p[:size]...), x.Serial, x.Seq+1
			p = p[size:]
			continue
		}
		rest := x.Body
		for _, l := range x.Lacing {
			if first {
				f, ok := info.ParseFrame(rest)
				if !ok && l > 0 { // the last page may have an empty one
					t.Fatal("no frame")
				}
				granule += int64(f.Block)
			}
			lacing, body, rest = append(lacing, l), append(body, rest[:l]...), rest[l:]
			if first = l < 255; first {
				ended = granule
				packets++
			}
			if len(lacing) == 50 || first && packets%3 == 0 {
				flush()
			}
		}
		p = p[size:]
	}
	if len(lacing) > 0 {
		flush()
	}
	all := cut(t, bytes.NewReader(in), segment.Config{Target: 400 * time.Millisecond})
	for i, s := range all {
		if !s.Independent || s.Media[5]&1 != 0 || s.Gap || i < len(all)-1 && (s.Duration() < 200*time.Millisecond || s.Duration() > 800*time.Millisecond) {
			t.Errorf("segment %d: independent %v, flags %d, gap %v, %v", i, s.Independent, s.Media[5], s.Gap, s.Duration())
		}
	}
	last := all[len(all)-1]
	if !bytes.Equal(join(all, 0), in) || last.At+last.Length != granule || len(all) < 6 {
		t.Errorf("%d segments, %d samples of %d, or other bytes", len(all), last.At+last.Length, granule)
	}
}

// A transport stream, an MP4 and a WebM that begin anew give a run each, and what the second shows is whole.
func TestContainersBeginAnew(t *testing.T) {
	listed(t)
	for _, c := range [][2]string{{"ts aac", "ts video"}, {"mp4 aac", "mp4 video"}, {"webm opus", "webm video"}} {
		a, b := named(t, c[0]).encode(t), named(t, c[1]).encode(t)
		all := cut(t, bytes.NewReader(cat(a, b)), segment.Config{})
		second := 0
		for i, s := range all {
			if s.Begins && i > 0 {
				if second > 0 {
					t.Errorf("%s: a third run", c)
				}
				second = i
			}
		}
		if second == 0 {
			t.Errorf("%s: one run", c)
			continue
		}
		if c[0] != "ts aac" && !bytes.Equal(join(all, 0), cat(a, b)) {
			t.Errorf("%s: other bytes", c)
		}
		if want, got := pictures(t, b), pictures(t, join(all[second:], 0)); len(want) < 100 || !slices.Equal(got, want) {
			t.Errorf("%s: %d pictures of %d, or others", c, len(got), len(want))
		}
	}
}

// Where no packet says that a picture begins what can be decoded by itself, the picture does.
func TestKeyPictures(t *testing.T) {
	listed(t)
	b := bytes.Clone(named(t, "ts video").encode(t))
	want := cut(t, bytes.NewReader(b), segment.Config{})
	for p := b; len(p) >= 188; p = p[188:] {
		if p[3]&0x20 != 0 && p[4] > 0 {
			p[5] &^= 0x40
		}
	}
	got := cut(t, bytes.NewReader(b), segment.Config{})
	for i := range want {
		if len(got) != len(want) || got[i].Independent != want[i].Independent || got[i].At != want[i].At {
			t.Fatalf("%d segments, want %d, or others", len(got), len(want))
		}
	}
}

// A page or packet that is missing whole leaves no junk behind, and is a gap all the same.
func TestMissing(t *testing.T) {
	listed(t)
	for _, name := range []string{"opus", "vorbis", "ts aac"} {
		b := named(t, name).encode(t)
		var parts [][]byte
		for p := b; len(p) > 0; {
			n := 188
			if name != "ts aac" {
				n = ogg.PageSize(p)
			}
			parts, p = append(parts, p[:n]), p[n:]
		}
		k := len(parts) * 3 / 5
		got := cut(t, bytes.NewReader(cat(append(parts[:k:k], parts[k+1:]...)...)), segment.Config{})
		gaps := 0
		for _, s := range got {
			if s.Gap {
				gaps++
			}
		}
		if name == "vorbis" { // one whose time nobody misses
			for i, b := range parts {
				if x, _ := ogg.ParsePage(b); i > k {
					parts[i] = page(b[5], x.Granule, x.Serial, x.Seq+1, x.Lacing, x.Body)
				}
			}
			for _, s := range cut(t, bytes.NewReader(cat(parts...)), segment.Config{}) {
				if s.Gap {
					gaps--
				}
			}
			if gaps != 0 {
				t.Error("a page's number that is missing is no gap")
			}
			continue
		}
		if want := cat(cat(parts[:k]...), cat(parts[k+1:]...)); gaps != 1 || !bytes.Equal(join(got, 0), want) {
			t.Errorf("%s: %d gaps, %d bytes of %d, or others", name, gaps, len(join(got, 0)), len(want))
		}
	}
}
