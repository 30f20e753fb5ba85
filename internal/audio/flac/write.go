package flac

import (
	"bytes"
	"crypto/md5"
	"fmt"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"

	"playnode/internal/audio/pcm"
)

// blockFrames is how many sample frames a frame of Encode's has.
const blockFrames = 4096

// Encode is a FLAC file of interleaved samples, rounded to 16 bits, of one or
// two channels: stream information and frames, no other metadata. The subframe
// encoder is mewkiz/flac: fixed predictors, so some tenths larger than libFLAC's.
func Encode(samples []float32, rate, channels int) ([]byte, error) {
	if channels < 1 || channels > 2 || rate < 1 || rate > 96_000 || len(samples)%channels != 0 {
		return nil, fmt.Errorf("encode FLAC of %d channels at %d Hz: out of range", channels, rate)
	}
	raw := make([]byte, 2*len(samples))
	pcm.S16(raw, samples)
	info := &meta.StreamInfo{
		BlockSizeMin: blockFrames, BlockSizeMax: blockFrames, SampleRate: uint32(rate), NChannels: uint8(channels),
		BitsPerSample: 16, NSamples: uint64(len(samples) / channels), MD5sum: md5.Sum(raw),
	}
	var out bytes.Buffer
	enc, err := flac.NewEncoder(&out, info)
	if err != nil {
		return nil, fmt.Errorf("encode FLAC: %w", err)
	}
	layout := frame.ChannelsMono
	if channels == 2 {
		layout = frame.ChannelsMidSide
	}
	for frames := len(raw) / 2 / channels; frames > 0; {
		n := min(frames, blockFrames)
		f := &frame.Frame{Header: frame.Header{
			HasFixedBlockSize: true, BlockSize: uint16(n), SampleRate: uint32(rate), Channels: layout, BitsPerSample: 16,
		}}
		for c := range channels {
			s := &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, NSamples: n, Samples: make([]int32, n)}
			for i := range n {
				b := raw[2*(i*channels+c):]
				s.Samples[i] = int32(int16(uint16(b[0]) | uint16(b[1])<<8))
			}
			f.Subframes = append(f.Subframes, s)
		}
		if err := enc.WriteFrame(f); err != nil {
			return nil, fmt.Errorf("encode FLAC: %w", err)
		}
		raw, frames = raw[2*channels*n:], frames-n
	}
	return out.Bytes(), nil
}
