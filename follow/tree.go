package follow

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
)

const (
	// maxLeaf is the largest leaf that readers take, in bytes.
	maxLeaf = 1 << 20
	// maxDepth bounds the levels of a file's tree; at the width in use, 4
	// hold more than a disk does.
	maxDepth = 8
	// leafSize and width are those of the trees that publishers make; they
	// serve estimates alone.
	leafSize, width = 128 << 10, 174
)

// branch is an inner node of a UnixFS file: children and the bytes below each.
type branch struct {
	links []cid.Cid
	sizes []uint64
}

// readBranch reads the dag-pb block of a file of size bytes. Only what a
// publisher makes is taken: a file without bytes of its own, links of raw or
// dag-pb, sizes that add up.
func readBranch(c cid.Cid, data []byte, size uint64) (*branch, error) {
	b, err := parseBranch(c, data)
	if err != nil {
		return nil, fmt.Errorf("file node %s: %w: %w", c, ErrVerify, err)
	}
	var sum uint64
	for i, l := range b.links {
		if !manifests.PlainCID(l, cid.Raw, cid.DagProtobuf) {
			return nil, refuse("file node %s: link %s", c, l)
		}
		if b.sizes[i] == 0 || b.sizes[i] > size-sum || l.Prefix().Codec == cid.Raw && b.sizes[i] > maxLeaf {
			return nil, refuse("file node %s: child of %d bytes", c, b.sizes[i])
		}
		sum += b.sizes[i]
	}
	if sum != size {
		return nil, refuse("file node %s covers %d bytes, not %d", c, sum, size)
	}
	return b, nil
}

func parseBranch(c cid.Cid, data []byte) (b *branch, err error) {
	if len(data) > manifests.MaxBlock {
		return nil, fmt.Errorf("%d bytes", len(data))
	}
	b = &branch{}
	if b.links, err = node.Links(c, data); err != nil {
		return nil, err
	}
	inner, err := dataField(data)
	if err != nil {
		return nil, err
	}
	file := false
	for len(inner) > 0 {
		tag, n := binary.Uvarint(inner)
		if n <= 0 {
			return nil, io.ErrUnexpectedEOF
		}
		v, k := binary.Uvarint(inner[n:])
		if k <= 0 {
			return nil, io.ErrUnexpectedEOF
		}
		inner = inner[n+k:]
		switch tag {
		case 1 << 3: // Type
			file = v == 2
		case 3 << 3: // filesize; the sum of what follows is checked instead
		case 4 << 3: // one of blocksizes
			b.sizes = append(b.sizes, v)
		default:
			return nil, fmt.Errorf("UnixFS field %d", tag>>3)
		}
	}
	if !file || len(b.links) == 0 || len(b.links) != len(b.sizes) {
		return nil, fmt.Errorf("no file: %d links, %d sizes", len(b.links), len(b.sizes))
	}
	return b, nil
}

// dataField is PBNode's field 1; node.Links has checked the message's form.
func dataField(data []byte) ([]byte, error) {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		size, k := binary.Uvarint(data[max(n, 0):])
		if n <= 0 || k <= 0 || tag&7 != 2 || size > uint64(len(data)-n-k) {
			return nil, io.ErrUnexpectedEOF
		}
		if tag>>3 == 1 {
			return data[n+k:][:size], nil
		}
		data = data[n+k:][size:]
	}
	return nil, io.ErrUnexpectedEOF
}
