package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"playnode/internal/seal"
	"playnode/lease"
	"playnode/publisher"
)

// openKeys reads the repo's keys, or draws those that are not there yet: the
// DJ's, the device's, and the node's, each in a file of its own.
func (d *Daemon) openKeys() error {
	dj, err := d.repo.Secrets("dj")
	if err != nil {
		return err
	}
	if d.keys, err = publisher.OpenKeyring(dj, d.now().Unix()); err != nil {
		return err
	}
	box, err := d.repo.Secrets("device")
	if err != nil {
		return err
	}
	if d.device, err = openDevice(box); err != nil {
		return fmt.Errorf("open device keys: %w", err)
	}
	leases, err := d.repo.Secrets("leases")
	if err != nil {
		return err
	}
	if d.venue, err = lease.NewVenue(lease.Config{Identity: d.device, Store: leases, Clock: d.clock}); err != nil {
		return err
	}
	_, err = d.identity()
	return err
}

// keepTime writes the time floors every few minutes and erases keys whose
// period or lease has ended.
func (d *Daemon) keepTime(ctx context.Context) error {
	ticks, stop := d.opt.Ticks(5 * time.Minute)
	defer stop()
	for {
		select {
		case <-ticks:
			d.kept("keep time", errors.Join(d.venue.Sweep(), d.venue.Persist()))
		case <-ctx.Done():
			return nil
		}
	}
}

type secrets interface {
	Get(key string) ([]byte, error)
	Apply(puts map[string][]byte, deletes []string) error
}

func openDevice(s secrets) (id lease.Identity, err error) {
	sign, err := s.Get("sign")
	if err != nil {
		return id, err
	}
	if sign == nil {
		if id, err = lease.NewIdentity(); err != nil {
			return id, err
		}
		return id, s.Apply(map[string][]byte{"sign": []byte(id.Sign.Reveal()), "open": []byte(id.Open.Reveal())}, nil)
	}
	open, err := s.Get("open")
	if err != nil {
		return id, err
	}
	if id.Sign, err = seal.ParseSigning(string(sign)); err != nil {
		return id, err
	}
	id.Open, err = seal.ParseXWing(string(open))
	return id, err
}

// identity is the node's libp2p key.
func (d *Daemon) identity() (ed25519.PrivateKey, error) {
	s, err := d.repo.Secrets("node")
	if err != nil {
		return nil, err
	}
	text, err := s.Get("peer")
	if err != nil {
		return nil, fmt.Errorf("open node key: %w", err)
	}
	if text != nil {
		k, err := seal.ParseSigning(string(text))
		if err != nil {
			return nil, fmt.Errorf("open node key: %w", err)
		}
		return k.Private(), nil
	}
	k, err := seal.NewSigning()
	if err != nil {
		return nil, fmt.Errorf("make node key: %w", err)
	}
	return k.Private(), s.Apply(map[string][]byte{"peer": []byte(k.Reveal())}, nil)
}

// peerID is the peer id of a node's key, as text.
func peerID(k ed25519.PrivateKey) (string, error) {
	pub, err := crypto.UnmarshalEd25519PublicKey(k.Public().(ed25519.PublicKey))
	if err != nil {
		return "", fmt.Errorf("name node key: %w", err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("name node key: %w", err)
	}
	return id.String(), nil
}
