package mp3

import "errors"

var (
	// ErrHeader says that the bytes do not begin with an MPEG audio header.
	ErrHeader = errors.New("mp3: no frame header")
	// ErrLayer says that the frame is Layer I or II of MPEG-2.5, which is not defined.
	ErrLayer = errors.New("mp3: MPEG-2.5 has layer III only")
	// ErrShort says that dst holds less than the frame's samples. Nothing was decoded.
	ErrShort = errors.New("mp3: destination too short")
	// ErrReservoir says that the frame's main data begins in frames that the decoder was not given.
	// Its samples came out silent, in their exact number; later frames may be whole.
	ErrReservoir = errors.New("mp3: bit reservoir incomplete")
	// ErrDamaged says that the frame contradicts itself or ends early. The samples of its broken
	// granules came out silent, in their exact number.
	ErrDamaged = errors.New("mp3: damaged frame")
	// ErrCRC says that the frame's check word does not fit. Its samples came out silent, in their
	// exact number.
	ErrCRC = errors.New("mp3: checksum mismatch")
)
