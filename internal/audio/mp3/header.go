package mp3

import "fmt"

// Version is the standard that a frame follows. It decides rates, bit rates and the side information.
type Version uint8

const (
	MPEG1  Version = iota // ISO/IEC 11172-3: 32, 44.1, 48 kHz
	MPEG2                 // ISO/IEC 13818-3: 16, 22.05, 24 kHz
	MPEG25                // the extension: 8, 11.025, 12 kHz
)

// String returns "MPEG-1", "MPEG-2" or "MPEG-2.5".
func (v Version) String() string {
	switch v {
	case MPEG1:
		return "MPEG-1"
	case MPEG2:
		return "MPEG-2"
	case MPEG25:
		return "MPEG-2.5"
	}
	return fmt.Sprintf("Version(%d)", uint8(v))
}

// Mode is a header's two bits on channels (2.4.2.3).
type Mode uint8

const (
	Stereo Mode = iota
	Joint       // mid/side or intensity stereo, frame by frame
	Dual        // two unrelated channels
	Mono
)

// Header is the 32 bits that begin every frame (2.4.1.3, 2.4.2.3).
type Header struct {
	Version   Version
	Layer     int  // 1, 2 or 3
	Protected bool // a CRC of two bytes follows
	Bitrate   int  // bits a second; 0 is free format
	Rate      int  // samples a second
	Padding   bool // one slot longer: a byte, or four in Layer I
	Mode      Mode
	MidSide   bool // Layer III, Joint only
	Intensity bool // Layer III, Joint only
}

// HeaderSize is the length of a header in bytes.
const HeaderSize = 4

// Bit rates in kbit/s by index (2.4.2.3; LSF 2.4.2.3), 0 for free format.
// Rows: MPEG-1 Layers I, II, III; LSF Layer I; LSF Layers II and III.
var bitrates = [5][15]uint16{
	{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// Sampling frequencies in Hz by Version and index (2.4.2.3; LSF 2.4.2.3).
var rates = [3][3]int{
	{44100, 48000, 32000},
	{22050, 24000, 16000},
	{11025, 12000, 8000},
}

// ParseHeader reads the header at the start of b. The error is [ErrHeader].
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return Header{}, ErrHeader
	}
	var h Header
	switch b[1] >> 3 & 3 { // the 2.5 extension takes the syncword's last bit
	case 0:
		h.Version = MPEG25
	case 2:
		h.Version = MPEG2
	case 3:
		h.Version = MPEG1
	default:
		return Header{}, ErrHeader
	}
	layer, rate, freq := b[1]>>1&3, b[2]>>4, b[2]>>2&3
	if layer == 0 || rate == 15 || freq == 3 || b[3]&3 == 2 { // emphasis 2 is reserved
		return Header{}, ErrHeader
	}
	h.Layer = 4 - int(layer)
	h.Protected = b[1]&1 == 0
	row := h.Layer - 1
	if h.Version != MPEG1 {
		row = 3 + min(row, 1)
	}
	h.Bitrate = int(bitrates[row][rate]) * 1000
	h.Rate = rates[h.Version][freq]
	h.Padding = b[2]&2 != 0
	h.Mode = Mode(b[3] >> 6)
	if h.Mode == Joint && h.Layer == 3 {
		h.MidSide = b[3]&0x20 != 0
		h.Intensity = b[3]&0x10 != 0
	}
	return h, nil
}

// Channels returns 1 or 2.
func (h Header) Channels() int {
	if h.Mode == Mono {
		return 1
	}
	return 2
}

// Samples returns how many samples a channel the frame holds (2.4.2.1; LSF 2.4.2.1).
func (h Header) Samples() int {
	switch {
	case h.Layer == 1:
		return 384
	case h.Layer == 3 && h.Version != MPEG1:
		return 576
	}
	return 1152
}

// Size returns the whole frame's length in bytes, header included; 0 in free format, where the
// distance to the next header is the only measure.
func (h Header) Size() int {
	if h.Bitrate == 0 || h.Rate == 0 {
		return 0
	}
	return h.sizeAt(h.Bitrate)
}

// sizeAt is 2.4.3.1's number of slots at a bit rate, in bytes.
func (h Header) sizeAt(bitrate int) int {
	pad := 0
	if h.Padding {
		pad = 1
	}
	if h.Layer == 1 {
		return (12*bitrate/h.Rate + pad) * 4
	}
	return h.Samples()/8*bitrate/h.Rate + pad
}

// Warmup returns how many frames before the wanted one must decode whole after a Reset: Layer III's overlap
// reaches back one granule and the synthesis window 15/18 of another, and LSF has one granule a frame.
// Layer I has 12 slots a frame for the window's 15.
func (h Header) Warmup() int {
	if h.Layer == 1 || h.Layer == 3 && h.Version != MPEG1 {
		return 2
	}
	return 1
}

// Compatible reports whether two frames can belong to one stream: the same version, layer and rate.
// Bit rate, mode and protection may change within a stream.
func (h Header) Compatible(o Header) bool {
	return h.Version == o.Version && h.Layer == o.Layer && h.Rate == o.Rate
}

// sideSize is the length of Layer III's side information in bytes (2.4.1.7; LSF 2.4.1.7).
func (h Header) sideSize() int {
	switch {
	case h.Version == MPEG1 && h.Mode != Mono:
		return 32
	case h.Version != MPEG1 && h.Mode == Mono:
		return 9
	}
	return 17
}

// sideStart is where the side information begins: after the header and the CRC.
func (h Header) sideStart() int {
	if h.Protected {
		return HeaderSize + 2
	}
	return HeaderSize
}

// MainDataBegin returns how many bytes before this frame's own main data its main data begins, and how
// many bytes of main data the frame itself carries (2.4.2.7). A seek index keeps both. Layers I and II have no
// reservoir: back is 0.
func MainDataBegin(frame []byte) (back, own int, err error) {
	h, err := ParseHeader(frame)
	if err != nil {
		return 0, 0, err
	}
	start := h.sideStart()
	if h.Layer != 3 {
		return 0, max(0, len(frame)-start), nil
	}
	own = len(frame) - start - h.sideSize()
	if own < 0 {
		return 0, 0, ErrDamaged
	}
	if h.Version == MPEG1 {
		back = int(frame[start])<<1 | int(frame[start+1])>>7
	} else {
		back = int(frame[start])
	}
	return back, own, nil
}
