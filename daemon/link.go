package daemon

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
)

// OpIDLink makes a link to this box's device.
const OpIDLink Op[struct{}, Linked] = "id-link"

// Linked is a link to one block.
type Linked struct {
	Link string `json:"link"`
}

// MaxFile bounds a grant's or a request's file, in bytes.
const MaxFile = manifests.MaxGrantFile

// IsLink tells whether s is a link to a device or a lease, not a file's name.
func IsLink(s string) bool { return manifests.IsBlobLink(s) }

// maxDeviceText bounds a device's text behind a link, in bytes.
const maxDeviceText = 4 << 10

// linkPin begins the names of the pins that keep what links lead to.
const linkPin = "link/"

// leasePin is that of a lease's.
func leasePin(id manifests.LeaseID) string { return linkPin + "lease/" + id.String() }

// dialled bounds the wait for the peers of a link.
const dialled = 5 * time.Second

func (d *Daemon) idLink(ctx context.Context, _ struct{}, emit func(Event)) (Linked, error) {
	n, err := d.net()
	if err != nil {
		return Linked{}, err
	}
	rec, err := d.device.Record()
	if err != nil {
		return Linked{}, err
	}
	text, err := d.link(ctx, n, manifests.BlobDevice, []byte(manifests.DeviceText(rec)), linkPin+"device")
	if err == nil {
		d.unserved(emit)
	}
	return Linked{Link: text}, err
}

// link stores a blob as a block, under a pin that takes the place of earlier
// ones, and makes the link that leads to it.
func (d *Daemon) link(ctx context.Context, n *network, kind manifests.BlobKind, data []byte, pin string) (string, error) {
	b := manifests.NewRawBlock(data)
	if err := n.node.Put(ctx, node.Block(b)); err != nil {
		return "", fmt.Errorf("store what the link leads to: %w", err)
	}
	if err := n.node.Pin(ctx, node.Pin{Name: pin, Root: b.CID}); err != nil {
		return "", fmt.Errorf("keep what the link leads to: %w", err)
	}
	if err := d.dropLinks(ctx, n, func(p node.Pin) bool { return p.Name == pin && p.Root != b.CID }); err != nil {
		return "", err
	}
	return manifests.BlobLink{Kind: kind, CID: b.CID, Addrs: d.hints()}.String(), nil
}

// dropLinks forgets what some links lead to.
func (d *Daemon) dropLinks(ctx context.Context, n *network, drop func(node.Pin) bool) error {
	pins, err := n.node.Pins(ctx)
	if err != nil {
		return fmt.Errorf("drop links: %w", err)
	}
	kept := map[cid.Cid]bool{}
	var gone []node.Pin
	for _, p := range pins {
		if strings.HasPrefix(p.Name, linkPin) && drop(p) {
			gone = append(gone, p)
		} else {
			kept[p.Root] = true
		}
	}
	for _, p := range gone {
		err := n.node.Unpin(ctx, p)
		if err == nil && !kept[p.Root] {
			err = n.node.Delete(ctx, p.Root)
		}
		if err != nil {
			return fmt.Errorf("drop link %s: %w", p.Root, err)
		}
	}
	return nil
}

// endLinks forgets the blobs of leases that are over: a link lives as long as
// its lease.
func (d *Daemon) endLinks(ctx context.Context, n *network) error {
	leases, err := n.publisher.Leases()
	if err != nil {
		return err
	}
	live := map[string]bool{}
	now := d.now().Unix()
	for _, l := range leases {
		live[leasePin(l.ID)] = !l.Revoked && now < l.Until
	}
	return d.dropLinks(ctx, n, func(p node.Pin) bool { return strings.HasPrefix(p.Name, linkPin+"lease/") && !live[p.Name] })
}

// blob fetches what a link leads to, of at most so many bytes, from the peers
// that it names or any other. It is not kept here.
func (d *Daemon) blob(ctx context.Context, n *network, text string, kind manifests.BlobKind, most int, req NodeRequest) ([]byte, error) {
	l, err := manifests.ParseBlobLink(text, kind)
	if err != nil {
		return nil, usage("%v", err)
	}
	had, err := n.node.Has(ctx, l.CID)
	if err != nil {
		return nil, err
	}
	ctx, _, stop := patience(ctx, req.timeout())
	defer stop()
	if !had {
		reach, cancel := context.WithTimeout(ctx, dialled)
		if err := d.connect(reach, n, append(req.Peers, l.Addrs...)); err != nil {
			d.log.Info("no peer of the link answers", "err", err)
		}
		cancel()
	}
	data, err := n.fetch.Get(ctx, l.CID, node.Want{Class: node.Now})
	if err != nil {
		return nil, waited(ctx, fmt.Errorf("fetch what the link leads to: %w", err))
	}
	if !had {
		if err := n.node.Delete(ctx, l.CID); err != nil {
			return nil, err
		}
	}
	if len(data) > most {
		return nil, &Error{Kind: Verify, Message: fmt.Sprintf("the link leads to %d bytes, which is no %s", len(data), kind)}
	}
	return data, nil
}

// deviceText is a device's text, from itself or from behind a link.
func (d *Daemon) deviceText(ctx context.Context, n *network, s string, req NodeRequest) (string, error) {
	if !manifests.IsBlobLink(s) {
		return s, nil
	}
	data, err := d.blob(ctx, n, s, manifests.BlobDevice, maxDeviceText, req)
	return string(data), err
}

// leaseLink makes the link of a lease's grant.
func (d *Daemon) leaseLink(ctx context.Context, n *network, lease string, file []byte, emit func(Event)) (string, error) {
	id, err := hex.DecodeString(lease)
	if err != nil {
		return "", err
	}
	text, err := d.link(ctx, n, manifests.BlobLease, file, leasePin(manifests.LeaseID(id)))
	if err == nil {
		d.unserved(emit)
	}
	return text, err
}
