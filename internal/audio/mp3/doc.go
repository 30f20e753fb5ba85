// Package mp3 decodes MPEG audio, Layer III and the older I and II: frames go in, float32 PCM comes out.
//
// It is written from ISO/IEC 11172-3 (MPEG-1), ISO/IEC 13818-3 (MPEG-2, the "lower sampling
// frequencies" or LSF) and the 2.5 extension, which adds 12, 11.025 and 8 kHz to LSF. All bit rates,
// free format, variable bit rate, mono, dual channel, mid/side and both forms of intensity stereo,
// short and mixed blocks and the bit reservoir are decoded. Each table and step names its clause:
// "2.4.3.4" alone is 11172-3's, "LSF 2.4.3.2" is 13818-3's.
//
// # What comes out
//
// Samples are interleaved, full scale is ±1 and nothing is clipped: a decoded peak may exceed 1.
// The filter bank is late by [Delay] samples, on top of whatever the encoder put before the music.
// The decoder hands out every sample of every frame; trimming (the encoder's delay and padding, [Delay],
// the Info frame, which decodes to silence) is the caller's business.
//
// # Seeking
//
// After [Decoder.Reset] a decoder owes nothing to what came before. Frame k is bit-exact with linear
// decoding when the decoder has been fed enough earlier frames that the last [Header.Warmup] of them
// decoded without [ErrReservoir]; how far back the reservoir reaches is what [MainDataBegin] tells.
//
// # What is trusted
//
// Nothing. Any bytes may be given to any function here: none panics, none loops without end, none
// allocates by a length that the input claims. A [Decoder] allocates nothing a frame.
package mp3

// Delay is how many samples Layer III's filter banks are late, as the LAME tag counts it: 528 and one.
// A caller that trims drops the encoder's delay + Delay samples from the front.
const Delay = 529

const (
	// MaxSamples is the most samples a channel that one frame decodes to (2.4.2.1).
	MaxSamples = 1152
	// MaxFrame is the longest frame in bytes that [Reader] follows: 640 kbit/s in free format at 8 kHz.
	MaxFrame = 72*640000/8000 + 1
)
