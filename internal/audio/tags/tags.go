// Package tags reads what a file says about itself.
//
// What comes in: bytes of ID3, Vorbis comments, RIFF INFO and pictures, all hostile. What goes out:
// short strings of valid UTF-8 in NFC without control or direction characters, and a cover whose
// dimensions were checked before it was ever decoded. Nothing is trusted; the tag reader is
// dhowden/tag, which sees a bounded part of the file and whose panics are caught.
package tags

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dhowden/tag"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/frames"
	"playnode/internal/audio/wav"
)

// Tags is what a file says about itself; absent things are zero.
type Tags struct {
	Title, Artist, Album string
	// Genre, AlbumArtist, Composer and Year are for searching; Year is digits.
	Genre, AlbumArtist, Composer, Year string

	Disc, Number int
	// ISRC is the recording's code, 12 characters, or empty.
	ISRC string
	// Cover is a JPEG, PNG, GIF or WebP of at most CoverBudget bytes, CoverType its media type.
	Cover     []byte
	CoverType string
	// Gapless is iTunes' iTunSMPB comment as it stands in the file, or empty.
	Gapless string
	// Problems are sentences for people about what could not be taken over.
	Problems []string
}

const (
	maxTag  = 16 << 20 // bytes of one tag that are looked at
	maxInfo = 64 << 10 // bytes of RIFF INFO
	maxPart = 999      // disc and track numbers
)

// MP3 reads ID3v2, else ID3v1. An error is the reader's.
func MP3(r io.ReaderAt, size int64) (Tags, error) {
	var head [10]byte
	if size >= 10 {
		if n, err := r.ReadAt(head[:], 0); n < 10 {
			return Tags{}, fmt.Errorf("read tags: %w", err)
		}
	}
	t, err := id3v2(r, size, frames.ID3v2Size(head[:]))
	if err != nil {
		return t, err
	}
	return t, t.id3v1(r, size)
}

// FLAC reads the Vorbis comment and the pictures before the frames.
func FLAC(r io.ReaderAt, m flac.Meta) (Tags, error) {
	return read(r, m.Start, min(m.Audio-m.Start, maxTag), func(s *io.SectionReader) (tag.Metadata, error) { return tag.ReadFLACTags(s) })
}

// WAV reads an "id3 " chunk, and what it does not say from LIST INFO.
func WAV(r io.ReaderAt, chunks []wav.Chunk) (Tags, error) {
	var t Tags
	for _, c := range chunks {
		if c.ID != "LIST" && t.Title == "" {
			x, err := id3v2(io.NewSectionReader(r, c.Off, c.Size), c.Size, c.Size)
			if err != nil {
				return t, err
			}
			t = x
		}
	}
	for _, c := range chunks {
		if c.ID != "LIST" {
			continue
		}
		b := make([]byte, min(c.Size, maxInfo))
		if n, err := r.ReadAt(b, c.Off); n < len(b) {
			return t, fmt.Errorf("read tags: %w", err)
		}
		t.info(b)
	}
	return t, nil
}

func id3v2(r io.ReaderAt, size, n int64) (Tags, error) {
	if n <= 0 || size < 10 {
		return Tags{}, nil
	}
	return read(r, 0, min(n, size, maxTag), func(s *io.SectionReader) (tag.Metadata, error) { return tag.ReadID3v2Tags(s) })
}

// counted remembers the error of the reader below, which is not the tag's fault.
type counted struct {
	io.ReaderAt
	err error
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

func read(r io.ReaderAt, off, n int64, parse func(*io.SectionReader) (tag.Metadata, error)) (t Tags, err error) {
	c := &counted{ReaderAt: r}
	defer func() {
		if p := recover(); p != nil {
			t, err = Tags{Problems: []string{"its tags are malformed and were left out"}}, nil
		}
		if c.err != nil {
			t, err = Tags{}, fmt.Errorf("read tags: %w", c.err)
		}
	}()
	m, err := parse(io.NewSectionReader(c, off, n))
	if err != nil {
		return Tags{Problems: []string{"its tags are malformed and were left out"}}, nil
	}
	t = Tags{Title: Clean(m.Title()), Artist: Clean(m.Artist()), Album: Clean(m.Album())}
	t.Genre, t.AlbumArtist, t.Composer = Clean(m.Genre()), Clean(m.AlbumArtist()), Clean(m.Composer())
	if y := m.Year(); y > 0 {
		t.Year = year(strconv.Itoa(y))
	}
	t.Disc, _ = m.Disc()
	t.Number, _ = m.Track()
	t.Disc, t.Number = part(t.Disc), part(t.Number)
	raw := m.Raw()
	for k, v := range raw {
		switch v := v.(type) {
		case string:
			if k == "TSRC" || k == "TRC" || k == "isrc" {
				t.ISRC = isrc(v)
			}
		case *tag.Comm:
			if v.Description == "iTunSMPB" && len(v.Text) < 256 {
				t.Gapless = v.Text
			}
		}
	}
	if p := m.Picture(); p != nil {
		t.cover(p.Data)
	}
	return t, nil
}

// year is the year that a date begins with, or nothing.
func year(date string) string {
	date = date[:min(len(date), 4)]
	if len(date) < 4 || strings.Trim(date, "0123456789") != "" {
		return ""
	}
	return date
}

func part(n int) int {
	if n < 0 || n > maxPart {
		return 0
	}
	return n
}

// isrc returns a code's 12 characters, or nothing.
func isrc(s string) string {
	s = strings.ToUpper(strings.ReplaceAll(Clean(s), "-", ""))
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return ""
		}
	}
	if len(s) != 12 {
		return ""
	}
	return s
}

// id3v1 fills in what is missing from the last 128 bytes.
func (t *Tags) id3v1(r io.ReaderAt, size int64) error {
	var b [128]byte
	if size < 128 {
		return nil
	}
	if n, err := r.ReadAt(b[:], size-128); n < 128 {
		return fmt.Errorf("read tags: %w", err)
	}
	if string(b[:3]) != "TAG" {
		return nil
	}
	text := func(into *string, b []byte) {
		if i := bytes.IndexByte(b, 0); i >= 0 {
			b = b[:i]
		}
		if *into == "" {
			*into = Clean(string(b))
		}
	}
	text(&t.Title, b[3:33])
	text(&t.Artist, b[33:63])
	text(&t.Album, b[63:93])
	if b[125] == 0 && t.Number == 0 {
		t.Number = int(b[126])
	}
	return nil
}

// info fills in what is missing from a LIST chunk of type INFO.
func (t *Tags) info(b []byte) {
	if len(b) < 4 || string(b[:4]) != "INFO" {
		return
	}
	for b = b[4:]; len(b) >= 8; {
		id, n := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		n = min(n, int64(len(b)))
		text := string(bytes.TrimRight(b[:n], "\x00"))
		b = b[min(n+n&1, int64(len(b))):]
		switch id {
		case "INAM":
			fill(&t.Title, text)
		case "IART":
			fill(&t.Artist, text)
		case "IPRD":
			fill(&t.Album, text)
		case "IGNR":
			fill(&t.Genre, text)
		case "ICRD":
			fill(&t.Year, year(text))
		case "ISRC":
			if t.ISRC == "" {
				t.ISRC = isrc(text)
			}
		case "ITRK", "IPRT":
			if t.Number == 0 {
				fmt.Sscanf(text, "%d", &t.Number)
				t.Number = part(t.Number)
			}
		}
	}
}

func fill(into *string, text string) {
	if *into == "" {
		*into = Clean(text)
	}
}
