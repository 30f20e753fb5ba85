// Package frames finds the MPEG frames of a file and indexes them.
//
// What comes in: an mp3 file as people have them, with tags before, behind and between, junk, damage,
// an encoder's header frame, all hostile. What goes out: the places of its audio frames and nothing
// else (that is what is sealed), what the encoder's header says, and an index by which any sample of
// the sealed frames is found with one read. What is trusted: the size of the file. Memory is bounded:
// what grows with the file is the index, three bytes for every 16 frames or fewer.
package frames

import (
	"context"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/mp3"
)

const (
	window      = 256 << 10
	chain       = 3    // consistent headers in a row that make a sync
	maxSegments = 4096 // a file with more gaps is no mp3
	maxTags     = 16   // ID3v2 tags in a row
	minFree     = 24   // the shortest frame of free format looked for, in bytes
)

// ErrNone says that the file has no Layer III frames in a row; ErrRuined that it has too many gaps.
var (
	ErrNone   = errors.New("no layer III frames")
	ErrRuined = errors.New("too many gaps between layer III frames")
)

// Segment is a run of whole frames in the file.
type Segment struct{ Off, Size int64 }

// File is what a scan found.
type File struct {
	// Header is the first audio frame's.
	Header mp3.Header
	// Frames is the number of audio frames, Bytes their size together.
	Frames, Bytes int64
	Segments      []Segment
	// Index is the encoded index of the frames, for Parse.
	Index []byte
	// Info is the encoder's header frame, or nil.
	Info *Info
	// Stereo and Mono tell which kinds of frames there are.
	Stereo, Mono bool
	// Skipped counts bytes between the first and the last frame that belong to none; Cut the bytes of
	// a last frame that ends early.
	Skipped, Cut int64
}

// Scan reads the whole file once, headers and side information only being looked at.
func Scan(ctx context.Context, r io.ReaderAt, size int64) (*File, error) {
	start, end, err := Bounds(r, size)
	if err != nil {
		return nil, err
	}
	s := scanner{w: NewWindow(r, end, window), end: end, f: &File{}}
	off, err := s.sync(ctx, start)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, ErrNone
	}
	s.f.Header = s.lock
	var free uint64
	if s.free > 0 {
		free = uint64(s.free)
	}
	s.index = newIndexer(free)
	b, err := s.w.Peek(off, s.size(s.lock))
	if err != nil {
		return nil, err
	}
	if s.f.Info = parseInfo(b, s.lock); s.f.Info != nil {
		off += int64(len(b))
	}
	for n := 0; off < end; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		h, ok, err := s.header(off)
		if err != nil {
			return nil, err
		}
		if ok && off+int64(s.size(h)) <= end {
			if err := s.frame(off, h); err != nil {
				return nil, err
			}
			off += int64(s.size(h))
			continue
		}
		if ok {
			s.f.Cut = end - off
		}
		next, err := s.sync(ctx, off+1)
		if err != nil {
			return nil, err
		}
		if next < 0 {
			break
		}
		s.f.Cut = 0
		s.f.Skipped += next - off
		off = next
	}
	if s.f.Frames == 0 {
		return nil, ErrNone
	}
	s.f.Index = s.index.bytes()
	return s.f, nil
}

type scanner struct {
	w      *Window
	end    int64
	f      *File
	lock   mp3.Header
	locked bool
	free   int // size of a frame of free format without padding
	index  *indexer
}

// size is a frame's length in bytes, 0 where it has none.
func (s *scanner) size(h mp3.Header) int { return frameSize(h, s.free) }

func frameSize(h mp3.Header, free int) int {
	if h.Bitrate != 0 {
		return h.Size()
	}
	if h.Padding && free > 0 {
		return free + 1
	}
	return free
}

// header reads the header at off and tells whether it can belong to the stream.
func (s *scanner) header(off int64) (mp3.Header, bool, error) {
	b, err := s.w.Peek(off, mp3.HeaderSize)
	if err != nil {
		return mp3.Header{}, false, err
	}
	h, perr := mp3.ParseHeader(b)
	if perr != nil || h.Layer != 3 && h.Bitrate == 0 || s.locked && !h.Compatible(s.lock) {
		return h, false, nil
	}
	if s.locked && s.size(h) < mp3.HeaderSize {
		return h, false, nil
	}
	return h, true, nil
}

// sync returns the first place from off on where chain frames follow one another, or the file's last
// frames do up to its end; -1 where there is none.
func (s *scanner) sync(ctx context.Context, off int64) (int64, error) {
	for n := 0; off+mp3.HeaderSize <= s.end; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		b, err := s.w.Peek(off, 4096)
		if err != nil {
			return 0, err
		}
		i := 0
		for i < len(b) && b[i] != 0xff {
			i++
		}
		if off += int64(i); i == len(b) {
			continue
		}
		ok, err := s.chained(off)
		if err != nil || ok {
			return off, err
		}
		off++
	}
	return -1, nil
}

// chained tells whether off begins a chain, and locks on to it if nothing was locked.
func (s *scanner) chained(off int64) (bool, error) {
	first, ok, err := s.header(off)
	if err != nil || !ok {
		return false, err
	}
	free := s.free
	if first.Bitrate == 0 && free == 0 {
		if free, err = s.freeSize(off, first); err != nil || free == 0 {
			return false, err
		}
	}
	h, at := first, off
	for n := 1; n < chain; n++ {
		size := frameSize(h, free)
		if size < mp3.HeaderSize {
			return false, nil
		}
		if at += int64(size); at == s.end && (n > 1 || s.locked) {
			break
		}
		if h, ok, err = s.header(at); err != nil || !ok || !h.Compatible(first) || (h.Bitrate == 0) != (first.Bitrate == 0) {
			return false, err
		}
	}
	if !s.locked {
		s.lock, s.locked, s.free = first, true, free
	}
	return true, nil
}

// freeSize finds the next header of free format like first and returns the distance, without padding.
func (s *scanner) freeSize(off int64, first mp3.Header) (int, error) {
	b, err := s.w.Peek(off, mp3.MaxFrame+mp3.HeaderSize)
	if err != nil {
		return 0, err
	}
	for i := minFree; i+mp3.HeaderSize <= len(b); i++ {
		if b[i] != 0xff {
			continue
		}
		if h, err := mp3.ParseHeader(b[i:]); err != nil || h.Bitrate != 0 || h.Layer != 3 || !h.Compatible(first) {
			continue
		}
		if first.Padding {
			return i - 1, nil
		}
		return i, nil
	}
	return 0, nil
}

// frame takes in one frame.
func (s *scanner) frame(off int64, h mp3.Header) error {
	f, size := s.f, int64(s.size(h))
	b, err := s.w.Peek(off, min(int(size), 64))
	if err != nil {
		return err
	}
	if n := len(f.Segments); n > 0 && f.Segments[n-1].Off+f.Segments[n-1].Size == off {
		f.Segments[n-1].Size += size
	} else {
		if n == maxSegments {
			return ErrRuined
		}
		f.Segments = append(f.Segments, Segment{off, size})
	}
	if h.Mode == mp3.Mono {
		f.Mono = true
	} else {
		f.Stereo = true
	}
	back, own := mainData(b, h, int(size))
	s.index.add(f.Bytes, back, own)
	f.Frames++
	f.Bytes += size
	return nil
}

// sideStart is where a frame's side information begins.
func sideStart(h mp3.Header) int {
	if h.Protected {
		return mp3.HeaderSize + 2
	}
	return mp3.HeaderSize
}

// sideSize is the length of the side information (11172-3, 2.4.1.7; 13818-3, 2.4.1.7).
func sideSize(h mp3.Header) int {
	switch {
	case h.Version == mp3.MPEG1 && h.Mode != mp3.Mono:
		return 32
	case h.Version != mp3.MPEG1 && h.Mode == mp3.Mono:
		return 9
	}
	return 17
}

// mainData returns main_data_begin and how many bytes of main data a frame of size bytes has.
func mainData(b []byte, h mp3.Header, size int) (back, own int) {
	i := sideStart(h)
	if h.Layer != 3 {
		return 0, 0 // no reservoir
	}
	if own = size - i - sideSize(h); own < 0 || len(b) < i+2 {
		return 0, 0
	}
	if h.Version == mp3.MPEG1 {
		return int(b[i])<<1 | int(b[i+1])>>7, own
	}
	return int(b[i]), own
}

// Bounds returns where the audio can begin and must end: after ID3v2 tags, before APEv2, Lyrics3 and
// ID3v1 tags. Tags whose lengths do not fit are left to the search for frames.
func Bounds(r io.ReaderAt, size int64) (start, end int64, err error) {
	at := func(off int64, n int) ([]byte, error) {
		if off < 0 || off+int64(n) > size {
			return nil, nil
		}
		b := make([]byte, n)
		if got, err := r.ReadAt(b, off); got < n {
			return nil, fmt.Errorf("read tag at %d: %w", off, err)
		}
		return b, nil
	}
	for range maxTags {
		b, err := at(start, 10)
		if err != nil {
			return 0, 0, err
		}
		n := ID3v2Size(b)
		if n == 0 || start+n > size {
			break
		}
		start += n
	}
	end = size
	for range maxTags {
		was := end
		b, err := at(end-128, 128)
		if err != nil {
			return 0, 0, err
		}
		if b != nil && end-128 >= start && string(b[:3]) == "TAG" {
			end -= 128
			continue
		}
		if b, err = at(end-32, 32); err != nil {
			return 0, 0, err
		}
		if b != nil && string(b[:8]) == "APETAGEX" {
			n := int64(uint32(b[12]) | uint32(b[13])<<8 | uint32(b[14])<<16 | uint32(b[15])<<24)
			if b[23]&0x80 != 0 { // a header stands before the tag as well
				n += 32
			}
			if n >= 32 && end-n >= start {
				end -= n
				continue
			}
		}
		if b, err = at(end-15, 15); err != nil {
			return 0, 0, err
		}
		if b != nil && string(b[6:]) == "LYRICS200" {
			n := int64(0)
			for _, c := range b[:6] {
				n = n*10 + int64(c-'0')
			}
			if n += 15; n >= 15 && end-n >= start {
				end -= n
				continue
			}
		}
		if end == was {
			break
		}
	}
	return start, end, nil
}

// ID3v2Size returns the whole length of the tag that b (10 bytes) begins, or 0.
func ID3v2Size(b []byte) int64 {
	if len(b) < 10 || string(b[:3]) != "ID3" || b[3] == 0xff || b[4] == 0xff || (b[6]|b[7]|b[8]|b[9])&0x80 != 0 {
		return 0
	}
	n := int64(b[6])<<21 | int64(b[7])<<14 | int64(b[8])<<7 | int64(b[9])
	if b[5]&0x10 != 0 {
		n += 10 // a footer
	}
	return n + 10
}
