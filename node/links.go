package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
)

var errLinks = errors.New("malformed block")

// Links are the CIDs that a block refers to, in order, repeats included. Raw
// has none; dag-pb and dag-cbor are scanned without building values, so that
// a hostile block costs no more memory than its own size. Other codecs are an
// error.
func Links(c cid.Cid, data []byte) ([]cid.Cid, error) {
	var links []cid.Cid
	var err error
	switch c.Prefix().Codec {
	case cid.Raw:
	case cid.DagProtobuf:
		links, err = linksPB(data)
	case cid.DagCBOR:
		links, err = linksCBOR(data)
	default:
		err = fmt.Errorf("codec %#x", c.Prefix().Codec)
	}
	if err != nil {
		return nil, fmt.Errorf("links of %s: %w", c, err)
	}
	return links, nil
}

// linksPB reads PBNode: field 2 is a PBLink, whose field 1 is the CID.
func linksPB(data []byte) (links []cid.Cid, err error) {
	err = fieldsPB(data, func(field uint64, link []byte) error {
		if field != 2 {
			return nil
		}
		return fieldsPB(link, func(field uint64, hash []byte) error {
			if field != 1 {
				return nil
			}
			c, err := cid.Cast(hash)
			links = append(links, c)
			return err
		})
	})
	return links, err
}

// fieldsPB calls f for each length-delimited field of a protobuf message;
// varints are passed over, other wire types refused.
func fieldsPB(data []byte, f func(field uint64, value []byte) error) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return errLinks
		}
		data = data[n:]
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return errLinks
		}
		data = data[n:]
		switch tag & 7 {
		case 0:
		case 2:
			if v > uint64(len(data)) {
				return errLinks
			}
			if err := f(tag>>3, data[:v]); err != nil {
				return err
			}
			data = data[v:]
		default:
			return errLinks
		}
	}
	return nil
}

// linksCBOR walks one item of definite lengths and collects tag 42.
func linksCBOR(data []byte) (links []cid.Cid, err error) {
	link := false // the item before was tag 42
	for need := uint64(1); need > 0; need-- {
		if len(data) == 0 {
			return nil, errLinks
		}
		major, info := data[0]>>5, data[0]&31
		data = data[1:]
		n := uint64(info)
		switch {
		case info < 24:
		case info > 27:
			return nil, errLinks
		default:
			size := 1 << (info - 24)
			if len(data) < size {
				return nil, errLinks
			}
			n = 0
			for _, b := range data[:size] {
				n = n<<8 | uint64(b)
			}
			data = data[size:]
		}
		if link && major != 2 {
			return nil, errLinks
		}
		switch major {
		case 2, 3:
			if n > uint64(len(data)) {
				return nil, errLinks
			}
			if link {
				if n == 0 || data[0] != 0 {
					return nil, errLinks
				}
				c, err := cid.Cast(data[1:n])
				if err != nil {
					return nil, err
				}
				links = append(links, c)
			}
			data = data[n:]
		case 4, 5:
			if n > uint64(len(data)) { // each item is at least a byte
				return nil, errLinks
			}
			need += n * uint64(major-3)
		case 6:
			need++
		}
		link = major == 6 && n == 42
	}
	if len(data) > 0 {
		return nil, errLinks
	}
	return links, nil
}
