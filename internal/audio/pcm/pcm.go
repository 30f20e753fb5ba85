// Package pcm turns float32 samples into integers and back, and any channels into two.
//
// What comes in: float32 samples, full scale ±1, and little-endian integers. What goes out: the same
// the other way. An int16 or 24-bit sample survives the way there and back unchanged. Nothing is
// trusted: NaN is silence, what is too loud is clipped.
package pcm

import (
	"encoding/binary"
	"math"
)

// S16 writes src as signed 16-bit little-endian into dst, rounded to the nearest (ties to even),
// clipped at full scale. dst must hold two bytes a sample.
func S16(dst []byte, src []float32) {
	_ = dst[:2*len(src)]
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(round16(x)))
	}
}

func round16(x float32) int16 {
	v := math.RoundToEven(float64(x) * 32768)
	switch {
	case v >= math.MaxInt16:
		return math.MaxInt16
	case v <= math.MinInt16:
		return math.MinInt16
	case v != v:
		return 0
	}
	return int16(v)
}

// Layout is how a sample lies in the bytes of a file.
type Layout uint8

// The layouts: U8 is WAVE's unsigned 8 bit, the others signed or IEEE floats, little-endian; those that
// end in B are AIFF's, big-endian.
const (
	U8 Layout = iota
	I16
	I24
	I32
	F32
	F64
	I8
	I16B
	I24B
	I32B
	F32B
	F64B
)

// Bytes is the size of one sample.
func (l Layout) Bytes() int { return [...]int{1, 2, 3, 4, 4, 8, 1, 2, 3, 4, 4, 8}[l] }

// Float reads len(dst) samples of layout l from src. Floats that are not numbers come out silent and
// those beyond ±256 are limited to that, so that no arithmetic after it overflows.
func Float(dst []float32, src []byte, l Layout) {
	_ = src[:l.Bytes()*len(dst)]
	switch l {
	case U8:
		for i := range dst {
			dst[i] = float32(int(src[i])-128) / 128
		}
	case I16:
		for i := range dst {
			dst[i] = float32(int16(binary.LittleEndian.Uint16(src[2*i:]))) / (1 << 15)
		}
	case I24:
		for i := range dst {
			b := src[3*i : 3*i+3 : 3*i+3]
			dst[i] = float32(int32(b[0])<<8|int32(b[1])<<16|int32(b[2])<<24) / (1 << 31)
		}
	case I32:
		for i := range dst {
			dst[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:]))) / (1 << 31)
		}
	case F32:
		for i := range dst {
			dst[i] = tame(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case F64:
		for i := range dst {
			dst[i] = tame(float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))))
		}
	default:
		floatB(dst, src, l)
	}
}

func floatB(dst []float32, src []byte, l Layout) {
	switch l {
	case I8:
		for i := range dst {
			dst[i] = float32(int8(src[i])) / (1 << 7)
		}
	case I16B:
		for i := range dst {
			dst[i] = float32(int16(binary.BigEndian.Uint16(src[2*i:]))) / (1 << 15)
		}
	case I24B:
		for i := range dst {
			b := src[3*i : 3*i+3 : 3*i+3]
			dst[i] = float32(int32(b[2])<<8|int32(b[1])<<16|int32(b[0])<<24) / (1 << 31)
		}
	case I32B:
		for i := range dst {
			dst[i] = float32(int32(binary.BigEndian.Uint32(src[4*i:]))) / (1 << 31)
		}
	case F32B:
		for i := range dst {
			dst[i] = tame(math.Float32frombits(binary.BigEndian.Uint32(src[4*i:])))
		}
	case F64B:
		for i := range dst {
			dst[i] = tame(float32(math.Float64frombits(binary.BigEndian.Uint64(src[8*i:]))))
		}
	}
}

func tame(x float32) float32 {
	if x != x {
		return 0
	}
	return max(-256, min(256, x))
}
