package ipns

import (
	"bytes"
	"testing"
)

// FuzzFetch reads messages of stock IPFS's fetch protocol: whatever is read
// says the same when it is written again.
func FuzzFetch(f *testing.F) {
	f.Add(delimited(field(fieldData, []byte("record"))))
	f.Add(delimited([]byte{fieldStatus, fetchNotFound}))
	f.Add(delimited(append([]byte{fieldStatus, fetchFound}, field(fieldData, nil)...)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(delimited([]byte{fieldData, 200}))
	f.Fuzz(func(t *testing.T, message []byte) {
		status, data, err := readFetch(bytes.NewReader(message), fieldData)
		if err != nil {
			return
		}
		if len(data) > maxFetch {
			t.Fatalf("%d bytes were read", len(data))
		}
		if status > 127 {
			return
		}
		again := delimited(append([]byte{fieldStatus, byte(status)}, field(fieldData, data)...))
		if len(again) > maxFetch {
			return
		}
		s, d, err := readFetch(bytes.NewReader(again), fieldData)
		if err != nil || s != status || !bytes.Equal(d, data) {
			t.Fatalf("%d, %x, %v after %d, %x", s, d, err, status, data)
		}
	})
}
