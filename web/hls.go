package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/fmp4"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
)

// window is how many segments a playlist lists at the most.
const window = 30

// wrap is how HLS (RFC 8216) takes a codec.
type wrap struct {
	ext, mime string
	video     bool // or may be
	// own says that an initialisation segment of ours goes before it.
	own  func(head []byte) (muxer, error)
	init bool // the set's own header goes before it
	id3  bool // it says itself when it is (3.4)
}

var wraps = map[string]wrap{
	"mp3":    {ext: "mp3", mime: "audio/mpeg", id3: true},
	"aac":    {ext: "aac", mime: "audio/aac", id3: true},
	"mpegts": {ext: "ts", mime: "video/mp2t", video: true},
	"mp4":    {ext: "m4s", mime: "video/mp4", video: true, init: true},
	"opus":   {ext: "m4s", mime: "audio/mp4", init: true, own: newOpus},
	"flac":   {ext: "m4s", mime: "audio/mp4", init: true, own: newFLAC},
}

// playlist lists the newest segments.
func (p *pages) playlist(w http.ResponseWriter, r *http.Request) {
	s := p.set(w, r)
	if s == nil {
		return
	}
	first, next, ended := s.Span()
	if next > first+window {
		first = next - window
	}
	var b strings.Builder
	longest, last, parts := 1.0, 0.0, 0
	var head []byte
	var before wrap
	for n := first; n < next; n++ {
		x, err := s.Segment(r.Context(), n)
		if errors.Is(err, ErrGone) { // its number is used up all the same
			if parts > 0 {
				fmt.Fprintf(&b, "#EXT-X-GAP\n#EXTINF:%.6f,\n%d.%s\n", last, n, before.ext)
			} else {
				first++
			}
			continue
		}
		if err != nil {
			http.Error(w, "the set cannot be opened here", http.StatusForbidden)
			return
		}
		k, ok := wraps[x.Codec]
		if !ok {
			http.Error(w, "browsers do not take this set's format as HLS", http.StatusUnsupportedMediaType)
			return
		}
		if x.Len == 0 || x.Rate <= 0 {
			continue // the end alone
		}
		begins := parts == 0 || !bytes.Equal(x.Head, head) || k.ext != before.ext
		if begins && parts > 0 {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if begins && k.init {
			fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"init-%d.mp4\"\n", n)
		}
		head, before = x.Head, k
		last = float64(x.Len) / float64(x.Rate)
		longest = max(longest, last)
		fmt.Fprintf(&b, "#EXTINF:%.6f,\n%d.%s\n", last, n, k.ext)
		parts++
	}
	w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
	fmt.Fprintf(w, "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n%s", int(math.Ceil(longest)), first, b.String())
	if ended {
		fmt.Fprint(w, "#EXT-X-ENDLIST\n")
	}
}

// segment gives N.ext, or init-N.mp4, which goes before it.
func (p *pages) segment(w http.ResponseWriter, r *http.Request) {
	s := p.set(w, r)
	if s == nil {
		return
	}
	name, ext, _ := strings.Cut(r.PathValue("file"), ".")
	name, init := strings.CutPrefix(name, "init-")
	n, err := strconv.ParseUint(name, 10, 53)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	x, err := s.Segment(r.Context(), n)
	if err != nil {
		http.Error(w, "the segment is not here", http.StatusNotFound)
		return
	}
	k := wraps[x.Codec]
	if init && (ext != "mp4" || !k.init) || !init && ext != k.ext || ext == "" {
		http.NotFound(w, r)
		return
	}
	out, err := k.bytes(x, n, init)
	if err != nil {
		http.Error(w, "the segment cannot be wrapped", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", k.mime)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(out))
}

// bytes is a segment as HLS has it, or its header.
func (k wrap) bytes(x Segment, n uint64, init bool) ([]byte, error) {
	switch {
	case k.own != nil:
		m, err := k.own(x.Head)
		if err != nil {
			return nil, err
		}
		if init {
			return m.track().Init(), nil
		}
		samples, err := m.samples(x.Media)
		if err != nil {
			return nil, err
		}
		return m.track().Fragment(uint32(n)+1, uint64(x.At), samples), nil
	case init:
		return x.Head, nil
	case k.id3:
		return append(timestamp(x), x.Media...), nil
	case x.Codec == "mpegts": // each can be begun with
		return append(bytes.Clone(x.Head), x.Media...), nil
	}
	return x.Media, nil
}

// timestamp is the ID3 tag with which sound without a container says when it
// is (RFC 8216, 3.4): 90 kHz, of 33 bits.
func timestamp(x Segment) []byte {
	const owner = "com.apple.streaming.transportStreamTimestamp\x00"
	at := uint64(float64(x.At)/float64(x.Rate)*90000) & (1<<33 - 1)
	b := []byte("ID3\x04\x00\x00\x00\x00\x00\x3fPRIV\x00\x00\x00\x35\x00\x00" + owner)
	return binary.BigEndian.AppendUint64(b, at)
}

// muxer makes samples of fragmented MP4 of a segment's media.
type muxer interface {
	track() fmp4.Track
	samples(media []byte) ([]fmp4.Sample, error)
}

type opusMuxer struct{ t fmp4.Track }

func newOpus(head []byte) (muxer, error) {
	packets, err := packetsOf(head)
	if err != nil || len(packets) == 0 {
		return nil, fmp4.ErrHeader
	}
	t, err := fmp4.Opus(packets[0])
	return opusMuxer{t}, err
}

func (m opusMuxer) track() fmp4.Track { return m.t }

func (m opusMuxer) samples(media []byte) (out []fmp4.Sample, err error) {
	packets, err := packetsOf(media)
	for _, p := range packets {
		if n := opus.Frames(p); n > 0 {
			out = append(out, fmp4.Sample{Data: p, Ticks: uint32(n)})
		}
	}
	return out, err
}

// packetsOf are the packets that end in pages; one that began before them is
// left out.
func packetsOf(pages []byte) (out [][]byte, err error) {
	var part []byte
	skip := false
	for first := true; len(pages) > 0; first = false {
		p, ok := ogg.ParsePage(pages)
		if !ok {
			return out, errors.New("no Ogg page")
		}
		skip = skip || first && p.Continued
		at := 0
		for _, l := range p.Lacing {
			part = append(part, p.Body[at:at+int(l)]...)
			if at += int(l); l < 255 {
				if !skip {
					out = append(out, part)
				}
				part, skip = nil, false
			}
		}
		pages = pages[ogg.PageSize(pages):]
	}
	return out, nil
}

type flacMuxer struct {
	t    fmp4.Track
	info flac.Info
}

func newFLAC(head []byte) (muxer, error) {
	m, err := flac.ParseMeta(bytes.NewReader(head), int64(len(head)))
	if err != nil {
		return nil, err
	}
	t, err := fmp4.FLAC(m.Header(m.Samples)[8:], m.Rate, m.Channels, m.Bits)
	return flacMuxer{t, m.Info}, err
}

func (m flacMuxer) track() fmp4.Track { return m.t }

func (m flacMuxer) samples(media []byte) (out []fmp4.Sample, err error) {
	rest := bytes.NewReader(media)
	for rest.Len() > 0 {
		from := len(media) - rest.Len()
		f, ok := m.info.ParseFrame(media[from:])
		if !ok {
			return out, errors.New("no FLAC frame")
		}
		if err := m.info.ReadFrame(rest); err != nil {
			return out, err
		}
		out = append(out, fmp4.Sample{Data: media[from : len(media)-rest.Len()], Ticks: uint32(f.Block)})
	}
	return out, nil
}
