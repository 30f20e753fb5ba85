package publisher

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
)

var (
	// ErrInUse says that a catalogue is here already.
	ErrInUse = errors.New("a catalogue was published from here")
	// ErrRestored says that what was published since the backup has to be
	// found first, so that nothing is signed below it.
	ErrRestored = errors.New("restored from a backup: what was published since must be found first")
)

// rowRestored marks a library whose next revision waits for Adopt.
const rowRestored = "restored"

// backup is all that a DJ needs to go on, as JSON inside an age file.
type backup struct {
	V       int
	Keys    map[string][]byte
	Library map[string][]byte
}

// Backup writes the keys, which are in keys, and the library to w, sealed with
// a passphrase: an age file, sequence numbers and leases included.
func (p *Publisher) Backup(w io.Writer, passphrase string, keys Store) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := backup{V: 1, Keys: map[string][]byte{}, Library: map[string][]byte{}}
	for _, x := range []struct {
		from Store
		to   map[string][]byte
	}{{keys, b.Keys}, {p.cfg.Store, b.Library}} {
		if err := x.from.Each("", func(key string, value []byte) error { x.to[key] = value; return nil }); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
	}
	sealed, err := seal.SealPassphrase(w, passphrase)
	if err == nil {
		err = json.NewEncoder(sealed).Encode(b)
	}
	if err == nil {
		err = sealed.Close()
	}
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// Restore reads a backup into stores that nothing was published from, whose
// keys it replaces. A Publisher opened on them afterwards signs nothing before
// Adopt. ErrInUse, or seal.ErrOpen, changes nothing.
func Restore(r io.Reader, passphrase string, keys, library Store) error {
	head, err := library.Get(rowHead)
	if err == nil && head != nil {
		err = ErrInUse
	}
	var b backup
	if err == nil {
		var plain io.Reader
		if plain, err = seal.OpenPassphrase(r, passphrase); err == nil {
			err = json.NewDecoder(plain).Decode(&b)
		}
	}
	if err == nil && (b.V != 1 || b.Keys["root/1"] == nil) {
		err = errors.New("this is no backup that this playnode can read")
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	b.Library[rowRestored] = []byte("true")
	if err := library.Apply(b.Library, nil); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	// Last: the library without its keys is empty of use, and restored again.
	if err := keys.Apply(b.Keys, nil); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// Restored tells whether a revision has to wait for Adopt.
func (p *Publisher) Restored() (bool, error) {
	b, err := p.cfg.Store.Get(rowRestored)
	return b != nil, err
}

// Known is the newest version that is found under the DJ's name, verified.
type Known struct {
	Head       *manifests.Head
	HeadDigest [32]byte
	Manifests  []KnownManifest
}

// KnownManifest is one of its selections; Boxes are all shards.
type KnownManifest struct {
	Manifest *manifests.Manifest
	Digest   [32]byte // of its payload
	Boxes    [][]byte
}

// Adopt goes on after a restore from what was found; nil when the DJ says that
// nothing was published since. Every selection gets fresh keys, above all
// that was found. Leases that are not in the mailboxes found were revoked
// since the backup, or are not told from such: they are returned, and need to
// be granted anew; all others go on, on the terms of the backup.
func (p *Publisher) Adopt(found *Known) (lost []Lease, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lost, err = p.adopt(found); err != nil {
		return nil, fmt.Errorf("go on from what was published: %w", err)
	}
	return lost, nil
}

func (p *Publisher) adopt(found *Known) (lost []Lease, err error) {
	if waiting, err := p.cfg.Store.Get(rowRestored); err != nil || waiting == nil {
		return nil, err
	}
	var head headRow
	if _, err := load(p.cfg.Store, rowHead, &head); err != nil {
		return nil, err
	}
	since := map[manifests.SelID]KnownManifest{}
	if found != nil {
		if found.Head.DJ != p.cfg.Keys.DJ() || found.Head.RootN > p.cfg.Keys.rootN() {
			return nil, fmt.Errorf("it is under root %d, the backup has %d: %w", found.Head.RootN, p.cfg.Keys.rootN(), ErrRestored)
		}
		if found.Head.RootN == p.cfg.Keys.rootN() && (head.RootN != found.Head.RootN || found.Head.Seq > head.Seq) {
			head.RootN, head.Seq, head.Digest = found.Head.RootN, found.Head.Seq, found.HeadDigest[:]
		}
		head.IAT = max(head.IAT, found.Head.IAT)
		for _, m := range found.Manifests {
			since[m.Manifest.Sel] = m
		}
	}
	lists, err := p.lists()
	if err != nil {
		return nil, err
	}
	leases, err := p.leases()
	if err != nil {
		return nil, err
	}
	puts := map[string][]byte{rowHead: marshal(head)}
	now := p.cfg.Now().Unix()
	for _, l := range lists {
		s, err := l.selection()
		if err != nil {
			return nil, err
		}
		m, ok := since[s.Sel]
		if ok {
			l.IAT = max(l.IAT, m.Manifest.IAT)
			s = s.After(m.Manifest, m.Digest)
		} else {
			s = s.Revoke()
		}
		if err := l.keep(s); err != nil {
			return nil, err
		}
		puts[rowList+l.Label] = marshal(l)
		for id, r := range leases {
			if r.Label != l.Label || r.Revoked || now >= r.Until+r.Grace {
				continue
			}
			carried := found == nil
			if ok {
				if carried, err = lease.Carried(manifests.MailboxKey(r.Mbox), m.Manifest, m.Boxes); err != nil {
					return nil, err
				}
			}
			if !carried {
				r.Revoked = true
				lost = append(lost, r.lease())
			}
			// Fresh, and above whatever was granted since the backup.
			rand.Read(r.Mbox)
			r.N += 1 << 20
			r.Env, r.Payload = nil, nil
			puts[rowLease+id.String()] = marshal(r)
		}
	}
	return lost, p.cfg.Store.Apply(puts, []string{rowRestored})
}

// ready refuses to sign what may lie below something signed before.
func (p *Publisher) ready() error {
	waiting, err := p.Restored()
	if err == nil && waiting {
		err = ErrRestored
	}
	return err
}
