package tags

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"playnode/internal/audio/wav"
)

const (
	maxComments = 4096
	maxText     = 4096 // bytes of one comment that are looked at, but for a picture
)

// Vorbis reads a Vorbis comment from behind its packet's magic ("\x03vorbis" or "OpusTags").
func Vorbis(b []byte) Tags {
	var t Tags
	next := func() ([]byte, bool) {
		if len(b) < 4 {
			return nil, false
		}
		n := uint64(binary.LittleEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			return nil, false
		}
		s := b[4 : 4+n]
		b = b[4+n:]
		return s, true
	}
	_, ok := next() // the encoder's name
	if !ok || len(b) < 4 {
		t.Problems = append(t.Problems, "its tags are malformed and were left out")
		return t
	}
	count := binary.LittleEndian.Uint32(b)
	b = b[4:]
	for range min(count, maxComments) {
		s, ok := next()
		if !ok {
			break
		}
		key, value, _ := strings.Cut(string(s[:min(len(s), maxText)]), "=")
		switch strings.ToUpper(key) {
		case "TITLE":
			fill(&t.Title, value)
		case "ARTIST":
			fill(&t.Artist, value)
		case "ALBUM":
			fill(&t.Album, value)
		case "GENRE":
			fill(&t.Genre, value)
		case "ALBUMARTIST":
			fill(&t.AlbumArtist, value)
		case "COMPOSER":
			fill(&t.Composer, value)
		case "DATE", "YEAR":
			fill(&t.Year, year(value))
		case "DISCNUMBER":
			t.Disc = number(value)
		case "TRACKNUMBER":
			t.Number = number(value)
		case "ISRC":
			t.ISRC = isrc(value)
		case "METADATA_BLOCK_PICTURE":
			if _, text, ok := bytes.Cut(s, []byte("=")); ok && t.Cover == nil {
				t.picture(text)
			}
		}
	}
	return t
}

// number reads "3" or "3/12".
func number(s string) int {
	n, _, _ := strings.Cut(s, "/")
	v, err := strconv.Atoi(strings.TrimSpace(n))
	if err != nil {
		return 0
	}
	return part(v)
}

// picture reads a FLAC picture block (RFC 9639, 8.8) in base64.
func (t *Tags) picture(text []byte) {
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text)
	b = b[:n]
	skip := func(n uint64) bool {
		if n > uint64(len(b)) {
			return false
		}
		b = b[n:]
		return true
	}
	sized := func() bool {
		if len(b) < 4 {
			return false
		}
		return skip(4 + uint64(binary.BigEndian.Uint32(b)))
	}
	if err != nil || !skip(4) || !sized() || !sized() || !skip(16) || len(b) < 4 {
		t.Problems = append(t.Problems, "its cover is malformed and was left out")
		return
	}
	size := uint64(binary.BigEndian.Uint32(b))
	b = b[4:]
	t.cover(b[:min(size, uint64(len(b)))])
}

// AIFF reads an "ID3 " chunk, and what it does not say from NAME and AUTH.
func AIFF(r io.ReaderAt, chunks []wav.Chunk) (Tags, error) {
	t, err := WAV(r, keep(chunks, "ID3 "))
	if err != nil {
		return t, err
	}
	for _, c := range chunks {
		b := make([]byte, min(c.Size, maxText))
		if n, err := r.ReadAt(b, c.Off); n < len(b) {
			return t, fmt.Errorf("read tags: %w", err)
		}
		switch c.ID {
		case "NAME":
			fill(&t.Title, strings.TrimRight(string(b), "\x00"))
		case "AUTH":
			fill(&t.Artist, strings.TrimRight(string(b), "\x00"))
		}
	}
	return t, nil
}

func keep(chunks []wav.Chunk, id string) (out []wav.Chunk) {
	for _, c := range chunks {
		if c.ID == id {
			out = append(out, c)
		}
	}
	return out
}

// MP4 reads the values of iTunes' metadata.
func MP4(r io.ReaderAt, items []wav.Chunk) (Tags, error) {
	var t Tags
	for _, c := range items {
		limit := int64(maxText)
		if c.ID == "covr" {
			limit = maxCover + 1
		}
		b := make([]byte, min(c.Size, limit))
		if n, err := r.ReadAt(b, c.Off); n < len(b) {
			return t, fmt.Errorf("read tags: %w", err)
		}
		switch c.ID {
		case "\xa9nam":
			fill(&t.Title, string(b))
		case "\xa9ART":
			fill(&t.Artist, string(b))
		case "\xa9alb":
			fill(&t.Album, string(b))
		case "\xa9gen":
			fill(&t.Genre, string(b))
		case "aART":
			fill(&t.AlbumArtist, string(b))
		case "\xa9wrt":
			fill(&t.Composer, string(b))
		case "\xa9day":
			fill(&t.Year, year(string(b)))
		case "trkn", "disk":
			if len(b) < 4 {
				break
			}
			if n := part(int(binary.BigEndian.Uint16(b[2:]))); c.ID == "trkn" {
				t.Number = n
			} else {
				t.Disc = n
			}
		case "covr":
			if t.Cover == nil {
				t.cover(b)
			}
		}
	}
	return t, nil
}
