package pack

import (
	"bytes"
	"encoding/binary"
)

// An index is its pack's head and then a frame for each batch of records, in
// their order:
//
//	"PNI1" | records u32 | end u32 | 0 u32 | sum 16 | (sha2-256 32 | at u32 | size u32)...
//
// end is where the pack's next record begins. The sum is keyed as a record's
// is. A frame is written when its records are on the disk.
const (
	frameMagic = "PNI1"
	frameHead  = 32
	frameRow   = 40
)

func frame(s salt, recs []record, end int64) []byte {
	b := make([]byte, 0, frameHead+frameRow*len(recs))
	b = append(b, frameMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(recs)))
	b = binary.LittleEndian.AppendUint32(b, uint32(end))
	b = append(b, make([]byte, 4+16)...)
	for _, r := range recs {
		b = append(b, r.digest[:]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(r.at))
		b = binary.LittleEndian.AppendUint32(b, uint32(r.size))
	}
	copy(b[16:], s.keyed(b[:16], b[frameHead:]))
	return b
}

// index is what there is to believe of an index.
type index struct {
	salt   salt
	salted bool
	recs   []record
	end    int64 // of the pack, up to where recs has everything
	valid  int64 // how many bytes of the index were good
}

func readIndex(b []byte, number uint32) (x index) {
	x.end = headSize
	if x.salt, x.salted = readPackHead(b, number); !x.salted {
		return x
	}
	x.valid, x.recs = headSize, make([]record, 0, len(b)/frameRow) // which lists are made for often
	for {
		b := b[x.valid:]
		if len(b) < frameHead || string(b[:4]) != frameMagic {
			return x
		}
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if n > packRecords || int64(len(b)) < frameHead+frameRow*n {
			return x
		}
		rows := b[frameHead : frameHead+frameRow*n]
		if !bytes.Equal(b[16:frameHead], x.salt.keyed(b[:16], rows)) {
			return x
		}
		for ; len(rows) > 0; rows = rows[frameRow:] {
			r := record{at: int64(binary.LittleEndian.Uint32(rows[32:])), size: int(binary.LittleEndian.Uint32(rows[36:]))}
			copy(r.digest[:], rows)
			x.recs = append(x.recs, r)
		}
		x.end = int64(binary.LittleEndian.Uint32(b[8:]))
		x.valid += frameHead + frameRow*n
	}
}
