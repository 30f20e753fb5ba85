package manifests

import (
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
)

// BlobKind says what a BlobLink leads to.
type BlobKind string

const (
	// BlobDevice is a device's text form, as [DeviceText] writes it.
	BlobDevice BlobKind = "device"
	// BlobLease is a grant file.
	BlobLease BlobKind = "lease"
)

// MaxGrantFile bounds a grant file, and so the block behind a link, in bytes.
const MaxGrantFile = MaxDelivery + 4096

const maxBlobAddrs, maxBlobAddr = 16, 256

// BlobLink leads to one raw block, which any peer may have: a device, or a
// lease that is too large for a code to scan. The CID verifies it.
type BlobLink struct {
	Kind  BlobKind
	CID   cid.Cid
	Addrs []string // multiaddrs of peers to ask
}

// String is playnode://KIND/CID#ADDR,ADDR; addresses that would not be read
// again are left out.
func (l BlobLink) String() string {
	s := "playnode://" + string(l.Kind) + "/" + l.CID.String()
	sep := "#"
	for i, a := range l.Addrs {
		if i < maxBlobAddrs && blobAddr(a) {
			s += sep + a
			sep = ","
		}
	}
	return s
}

// blobAddr tells whether a can stand in a link as it is.
func blobAddr(a string) bool {
	return len(a) <= maxBlobAddr && strings.HasPrefix(a, "/") &&
		strings.IndexFunc(a, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '#' }) < 0
}

// IsBlobLink tells whether s begins like a link to a block, of whatever kind.
func IsBlobLink(s string) bool {
	return strings.HasPrefix(s, "playnode://"+string(BlobDevice)+"/") || strings.HasPrefix(s, "playnode://"+string(BlobLease)+"/")
}

// ParseBlobLink reads a link of the kind that is wanted, and no other.
func ParseBlobLink(s string, want BlobKind) (BlobLink, error) {
	l, err := parseBlobLink(strings.TrimSpace(s), want)
	if err != nil {
		return BlobLink{}, fmt.Errorf("parse %s link: %w", want, err)
	}
	return l, nil
}

func parseBlobLink(s string, want BlobKind) (l BlobLink, err error) {
	if len(s) > maxLink+maxBlobAddrs*maxBlobAddr {
		return l, invalid("text of %d bytes", len(s))
	}
	rest, ok := strings.CutPrefix(s, "playnode://"+string(want)+"/")
	if !ok {
		return l, invalid("%.80q does not begin with playnode://%s/", s, want)
	}
	text, addrs, some := strings.Cut(rest, "#")
	l.Kind = want
	if l.CID, err = cid.Decode(text); err != nil || !PlainCID(l.CID, codecRaw) || l.CID.String() != text {
		return l, invalid("%.80q is not the base32 CID of a raw block", text)
	}
	if some {
		l.Addrs = strings.Split(addrs, ",")
	}
	if len(l.Addrs) > maxBlobAddrs {
		return l, invalid("%d addresses", len(l.Addrs))
	}
	for _, a := range l.Addrs {
		if !blobAddr(a) {
			return l, invalid("address %.80q", a)
		}
	}
	return l, nil
}
