// Package audio reads sound: a file is ingested into what is sealed and what is told about it, and a
// sealed track is opened into float32 PCM of exact length.
//
// What comes in: a DJ's files (Ingest) and the decrypted bytes of tracks (Open), both through an
// io.ReaderAt, so that the memory taken does not grow with the file; and the stretches of a live stream
// (NewStream). What goes out: the bytes to seal,
// a Track (what a decoder needs besides them), tags whose strings are clean, loudness, and samples.
// What is trusted: nothing in any file. Sizes are capped before anything is allocated, decoders that
// may panic are contained, and a crafted file can at worst lose its own sound. A Track that does not
// fit its bytes gives silence or an error, never a read outside of them.
//
// Rooms: audio/mp3 (Layers I to III), audio/gomp3 (the stock Layer III decoder, contained), audio/flac,
// audio/wav, audio/aiff, audio/ogg with audio/vorbis and audio/opus (stock decoders, contained), audio/mp4
// and audio/transcode (what only ffmpeg reads), audio/loudness, audio/resample, audio/tags; audio/segment cuts
// what is live.
// audio/audiotest is the kit that every Decoder passes.
package audio

import (
	"errors"
)

// The codecs of a Track.
const (
	MP3    = "mp3"
	MP2    = "mp2" // Layer II
	MP1    = "mp1" // Layer I
	FLAC   = "flac"
	WAV    = "wav"
	AIFF   = "aiff"
	Vorbis = "vorbis" // in Ogg
	Opus   = "opus"   // in Ogg; always at 48 kHz
)

// MaxChannels is the most channels that a Decoder hands out.
const MaxChannels = 8

var (
	// ErrUnsupported says that the bytes are no sound that this package reads; the text names it.
	ErrUnsupported = errors.New("unsupported audio")
	// ErrDamaged says that the bytes contradict themselves or their Track.
	ErrDamaged = errors.New("damaged audio")
)

// Format is how PCM is laid out.
type Format struct {
	// Rate is sample frames a second.
	Rate int
	// Channels is samples a frame, interleaved in the order of WAVE's channel mask.
	Channels int
}

// Decoder is one track's sound: like io.Reader, for PCM. Full scale is ±1; lossy codecs may exceed it.
// It must not be used by two goroutines at once, and it starts none.
type Decoder interface {
	Format() Format
	// Len is the exact number of sample frames, encoder's delay and padding trimmed. Reading from the
	// start gives so many, damaged frames included (silent), or ends with an error before.
	Len() int64
	// Read decodes interleaved samples into dst, whose length must be a multiple of the channels, and
	// returns how many frames it wrote. At the end it returns 0, io.EOF. An error of the reader below
	// is returned wrapped, after the frames before it; reading again tries again.
	Read(dst []float32) (frames int, err error)
	// SeekFrame makes frame the next one read; what follows is bit-exact with decoding from the start.
	SeekFrame(frame int64) error
	// Close lets go of buffers. It does not close the reader below.
	Close() error
}

// Track is what a decoder needs to know besides the sealed bytes. It travels in the track's sealed info.
type Track struct {
	Codec    string
	Rate     int
	Channels int
	// Samples is the exact number of sample frames after trimming.
	Samples int64
	// SamplesPerFrame is mp3's 1152 or 576, 1152 or 384 of Layers II and I; 0 elsewhere.
	SamplesPerFrame int
	// Delay is how many decoded sample frames are dropped at the start: for mp3 the encoder's delay and
	// the decoder's own 529, or 0 where the file declares none; for Opus its pre-skip; for Vorbis what
	// its first page says.
	Delay int
	// Padding is how many decoded sample frames are dropped at the end; for mp3 Delay + Samples +
	// Padding is the number of frames times SamplesPerFrame.
	Padding int
	// Index finds a sample's bytes: see Index. Empty for WAV and AIFF, which need
	// none.
	Index []byte
}

// Engine decodes the Layer III frames of one stream in their order. audio/mp3's Decoder is one.
type Engine interface {
	// Decode decodes one whole frame, header included, into dst as interleaved samples and returns
	// how many a channel it wrote. With an error the samples that could not be had are silent, or n
	// is 0 and none were written.
	Decode(frame []byte, dst []float32) (n int, err error)
	// Reset forgets all earlier frames.
	Reset()
}

// Options changes how a track is opened. The zero value is what everyone wants.
type Options struct {
	// Engine makes the Layer III decoder; nil means DefaultEngine.
	Engine func() Engine
}
