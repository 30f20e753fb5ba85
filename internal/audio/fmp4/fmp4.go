// Package fmp4 wraps Opus and FLAC as browsers take them: fragmented MP4 of one
// audio track (ISO/IEC 14496-12, "Encapsulation of Opus in ISO Base Media File
// Format", "Encapsulation of FLAC in ISO Base Media File Format").
//
// What comes in: the codec's own header and whole packets. What goes out: an
// initialisation segment and fragments, each a file's bytes. Nothing is decoded,
// and nothing trusted: what is too long for a field is refused.
package fmp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrHeader says that a codec's header cannot be wrapped.
var ErrHeader = errors.New("no header that fragmented MP4 can hold")

// Track is what all fragments have in common.
type Track struct {
	entry    string // the sample entry's type
	config   []byte // the box inside it
	rate     uint32 // ticks a second
	channels uint16
	bits     uint16
}

// Opus makes a track of an OpusHead packet (RFC 7845, 5.1).
func Opus(head []byte) (Track, error) {
	if len(head) < 19 || string(head[:8]) != "OpusHead" || head[8]&0xf0 != 0 || head[9] < 1 || head[9] > 2 || head[18] != 0 {
		return Track{}, fmt.Errorf("wrap Opus: %w", ErrHeader)
	}
	le := binary.LittleEndian
	c := []byte{0, head[9]} // version, channels; then as OpusHead, big-endian
	c = binary.BigEndian.AppendUint16(c, le.Uint16(head[10:]))
	c = binary.BigEndian.AppendUint32(c, le.Uint32(head[12:]))
	c = binary.BigEndian.AppendUint16(c, le.Uint16(head[16:]))
	c = append(c, 0)
	return Track{"Opus", box("dOps", c), 48000, uint16(head[9]), 16}, nil
}

// FLAC makes a track of a STREAMINFO block's 34 bytes (RFC 9639, 8.2).
func FLAC(info []byte, rate, channels, bits int) (Track, error) {
	if len(info) != 34 || rate < 1 || rate > 655_350 || channels < 1 || channels > 8 {
		return Track{}, fmt.Errorf("wrap FLAC: %w", ErrHeader)
	}
	c := full(0, 0, append([]byte{0x80, 0, 0, 34}, info...)) // the last metadata block, of type 0
	return Track{"fLaC", box("dfLa", c), uint32(rate), uint16(channels), uint16(bits)}, nil
}

// Sample is one packet, and how many ticks it lasts.
type Sample struct {
	Data  []byte
	Ticks uint32
}

// Init is the initialisation segment: what a player reads before any fragment.
func (t Track) Init() []byte {
	matrix := []uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000}
	entry := cat(make([]byte, 6), u16(1), make([]byte, 8), u16(t.channels), u16(t.bits), make([]byte, 4),
		u32(min(t.rate, math.MaxUint16)<<16), t.config)
	none := u32(0)
	stbl := box("stbl",
		box("stsd", full(0, 0, cat(u32(1), box(t.entry, entry)))),
		box("stts", full(0, 0, none)), box("stsc", full(0, 0, none)), box("stsz", full(0, 0, none, none)), box("stco", full(0, 0, none)))
	dref := box("dref", full(0, 0, u32(1), box("url ", full(0, 1))))
	minf := box("minf", box("smhd", full(0, 0, make([]byte, 4))), box("dinf", dref), stbl)
	mdhd := box("mdhd", full(0, 0, u32(0), u32(0), u32(t.rate), u32(0), u16(0x55c4), u16(0))) // "und"
	hdlr := box("hdlr", full(0, 0, u32(0), []byte("soun"), make([]byte, 12), []byte("playnode\x00")))
	tkhd := box("tkhd", full(0, 3, u32(0), u32(0), u32(1), u32(0), u32(0), make([]byte, 8), u16(0), u16(1), u16(0x0100), u16(0), u32s(matrix), u32(0), u32(0)))
	mvhd := box("mvhd", full(0, 0, u32(0), u32(0), u32(1000), u32(0), u32(0x10000), u16(0x0100), make([]byte, 10), u32s(matrix), make([]byte, 24), u32(2)))
	trex := box("trex", full(0, 0, u32(1), u32(1), u32(0), u32(0), u32(0)))
	return cat(
		box("ftyp", []byte("iso6"), u32(0), []byte("iso6"), []byte("mp41")),
		box("moov", mvhd, box("trak", tkhd, box("mdia", mdhd, hdlr, minf)), box("mvex", trex)))
}

// Fragment is samples that begin at a decode time, in ticks; seq counts fragments
// from 1.
func (t Track) Fragment(seq uint32, at uint64, samples []Sample) []byte {
	run := u32(uint32(len(samples)))
	run = append(run, 0, 0, 0, 0) // where the data begins, below
	var data []byte
	for _, s := range samples {
		run = binary.BigEndian.AppendUint32(run, s.Ticks)
		run = binary.BigEndian.AppendUint32(run, uint32(len(s.Data)))
		data = append(data, s.Data...)
	}
	moof := func() []byte {
		return box("moof", box("mfhd", full(0, 0, u32(seq))),
			box("traf", box("tfhd", full(0, 0x020000, u32(1))), // offsets are from the moof
				box("tfdt", full(1, 0, binary.BigEndian.AppendUint64(nil, at))),
				box("trun", full(0, 0x000301, run)))) // with an offset, durations and sizes
	}
	binary.BigEndian.PutUint32(run[4:], uint32(len(moof())+8))
	return cat(moof(), box("mdat", data))
}

func box(kind string, parts ...[]byte) []byte {
	body := cat(parts...)
	return cat(u32(uint32(len(body)+8)), []byte(kind), body)
}

// full is the inside of a full box.
func full(version byte, flags uint32, parts ...[]byte) []byte {
	return append(u32(uint32(version)<<24|flags), cat(parts...)...)
}

func cat(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func u32s(ns []uint32) (out []byte) {
	for _, n := range ns {
		out = append(out, u32(n)...)
	}
	return out
}
