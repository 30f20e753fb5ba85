package pack

import (
	"bytes"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// What is lent lies in no memory that is much larger, which is kept for what needs it.
func TestWhatIsSmallIsNotLentMuch(t *testing.T) {
	s, err := Open(Config{disk: newDisk(1)})
	if err != nil {
		t.Fatal(err)
	}
	b := node.NewBlock(cid.Raw, bytes.Repeat([]byte("block"), lent))
	if err := s.Keep(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for room, want := range map[int]bool{
		roomy * (headSize + len(b.Data)):      true,
		roomy*(headSize+len(b.Data)) + 1:      false,
		headSize + len(b.Data):                true,
		headSize + len(b.Data) - 1:            false,
		16 * roomy * (headSize + len(b.Data)): false,
	} {
		spare := make([]byte, room)
		lies := false
		for range 100 { // under the race detector a pool loses what it pleases
			m := spare
			s.spare.Put(&m)
			data, free, err := s.Lend(t.Context(), b.CID)
			if err != nil || !bytes.Equal(data, b.Data) {
				t.Fatalf("%d bytes are lent, %v", len(data), err)
			}
			lies = lies || &data[0] == &spare[headSize]
			free()
			for s.spare.Get() != nil { // and the next one finds none but its own
			}
		}
		if lies != want {
			t.Errorf("%d bytes lie in %d: %v, want %v", len(b.Data), room, lies, want)
		}
	}
}
