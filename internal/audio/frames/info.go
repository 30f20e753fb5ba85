package frames

import (
	"encoding/binary"

	"playnode/internal/audio/mp3"
)

// Info is what an encoder's header frame (Xing, Info or VBRI) says.
type Info struct {
	// Frames is how many audio frames it counts, or 0.
	Frames int64
	// Gapless says that Delay and Padding are given, in sample frames, without the decoder's share.
	Gapless        bool
	Delay, Padding int
}

// IsInfo tells whether a whole frame is an encoder's header frame, and no sound.
func IsInfo(frame []byte) bool {
	h, err := mp3.ParseHeader(frame)
	return err == nil && parseInfo(frame, h) != nil
}

// parseInfo returns nil for a frame of sound.
func parseInfo(b []byte, h mp3.Header) *Info {
	if h.Layer != 3 {
		return nil
	}
	for _, i := range []int{sideStart(h) + sideSize(h), mp3.HeaderSize + sideSize(h)} { // some put it where no CRC would be
		if len(b) >= i+8 && (string(b[i:i+4]) == "Xing" || string(b[i:i+4]) == "Info") {
			return parseXing(b[i+4:])
		}
	}
	if len(b) >= 36+18 && string(b[36:40]) == "VBRI" {
		return &Info{Frames: int64(binary.BigEndian.Uint32(b[36+14:]))}
	}
	return nil
}

func parseXing(b []byte) *Info {
	info := &Info{}
	flags := binary.BigEndian.Uint32(b)
	b = b[4:]
	for bit, n := range []int{4, 4, 100, 4} {
		if flags>>bit&1 == 0 {
			continue
		}
		if len(b) < n {
			return info
		}
		if bit == 0 {
			info.Frames = int64(binary.BigEndian.Uint32(b))
		}
		b = b[n:]
	}
	// The LAME extension: an encoder's name of nine characters, delay and padding at 21.
	if len(b) >= 24 && b[0] > ' ' && b[0] < 0x7f {
		info.Gapless = true
		info.Delay = int(b[21])<<4 | int(b[22])>>4
		info.Padding = int(b[22]&15)<<8 | int(b[23])
	}
	return info
}
