package publisher

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
)

var (
	// ErrInUse says that a catalogue is here already.
	ErrInUse = errors.New("a catalogue was published from here")
	// ErrStolen says that what was found leaves no room above it, or is dated
	// in the future: whoever published it has the DJ's keys and not her sense.
	ErrStolen = errors.New("what was found cannot be gone on from: somebody else has the publisher key; a new root ends that (keys rotate)")
	// ErrRestored says that what was published since the backup has to be
	// found first, so that nothing is signed below it.
	ErrRestored = errors.New("restored from a backup: what was published since must be found first")
)

// rowRestored marks a library whose next revision waits for Adopt.
const rowRestored = "restored"

type restoredRow struct{ At int64 }

// backup is all that a DJ needs to go on, as JSON inside an age file.
type backup struct {
	V       int
	At      int64 // Unix seconds
	Keys    map[string][]byte
	Library map[string][]byte
}

// Backup writes the keys, which are in keys, and the library to w, sealed with
// a passphrase: an age file, sequence numbers and leases included.
func (p *Publisher) Backup(w io.Writer, passphrase string, keys Store) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := backup{V: 1, At: p.cfg.Now().Unix(), Keys: map[string][]byte{}, Library: map[string][]byte{}}
	for _, x := range []struct {
		from Store
		to   map[string][]byte
	}{{keys, b.Keys}, {p.cfg.Store, b.Library}} {
		if err := x.from.Each("", func(key string, value []byte) error { x.to[key] = bytes.Clone(value); return nil }); err != nil {
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
	b.Library[rowRestored] = marshal(restoredRow{b.At})
	if err := library.Apply(b.Library, nil); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	// Last: the library without its keys is empty of use, and restored again.
	var gone []string // the keys that this repo drew for itself
	err = keys.Each("", func(key string, _ []byte) error {
		if b.Keys[key] == nil {
			gone = append(gone, key)
		}
		return nil
	})
	if err == nil {
		err = keys.Apply(b.Keys, gone)
	}
	if err != nil {
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
	Chain      *manifests.Chain
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

// Adopted is what became of a backup's leases.
type Adopted struct {
	At time.Time // of the backup
	// Kept go on, on the terms of the backup: what was renewed since has to
	// be renewed again. So have Ended, which by the backup are over, and
	// still had a mailbox.
	Kept, Ended []Lease
	// Lost are not in the mailboxes found: they were revoked since the
	// backup, or are not told from such, and need to be granted anew.
	Lost []Lease
}

// Adopt goes on after a restore from what was found; nil when the DJ says that
// nothing was published since. Every selection gets fresh keys, above all
// that was found. ErrStolen says that there is no above.
func (p *Publisher) Adopt(found *Known) (Adopted, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.adopt(found, false)
	if err != nil {
		return Adopted{}, fmt.Errorf("go on from what was published: %w", err)
	}
	return a, nil
}

// sane tells whether an honest publisher could have come as far as k.
func (k *Known) sane(now int64) bool {
	ok := func(iat int64, counters ...uint64) bool {
		return iat <= now+manifests.Day && slices.Max(counters) < manifests.MaxInt/2
	}
	for _, m := range k.Manifests {
		if !ok(m.Manifest.IAT, m.Manifest.Seq, m.Manifest.Gen) {
			return false
		}
	}
	return ok(k.Head.IAT, k.Head.Seq)
}

// adopt is Adopt. With rotating a new root comes next: then counters need not
// lie above what was found, nor do where a thief has made them up.
func (p *Publisher) adopt(found *Known, rotating bool) (a Adopted, err error) {
	var restored restoredRow
	if waiting, err := load(p.cfg.Store, rowRestored, &restored); err != nil || !waiting {
		return a, err
	}
	a.At = time.Unix(restored.At, 0)
	var head headRow
	if _, err := load(p.cfg.Store, rowHead, &head); err != nil {
		return a, err
	}
	now := p.cfg.Now().Unix()
	since := map[manifests.SelID]KnownManifest{}
	counts := false // the next revision is counted from what was found
	if found != nil {
		k := p.cfg.Keys
		sane := found.sane(now)
		counts = sane && found.Head.RootN == k.rootN()
		switch {
		case found.Head.DJ != k.DJ():
			return a, fmt.Errorf("it is of DJ %s: %w", found.Head.DJ, ErrRestored)
		case found.Head.RootN > k.rootN() && !rotating:
			return a, fmt.Errorf("it is under root %d, the backup has %d; a new root goes on from there, where the root key is kept: %w", found.Head.RootN, k.rootN(), ErrRestored)
		case !sane && !rotating:
			return a, ErrStolen
		}
		if counts {
			if head.RootN != found.Head.RootN || found.Head.Seq > head.Seq {
				head.RootN, head.Seq, head.Digest = found.Head.RootN, found.Head.Seq, found.HeadDigest[:]
			}
			head.IAT = max(head.IAT, found.Head.IAT)
		}
		for _, m := range found.Manifests {
			since[m.Manifest.Sel] = m
		}
	}
	lists, err := p.lists()
	if err != nil {
		return a, err
	}
	leases, err := p.leases()
	if err != nil {
		return a, err
	}
	puts := map[string][]byte{rowHead: marshal(head)}
	for _, l := range lists {
		s, err := l.selection()
		if err != nil {
			return a, err
		}
		m, ok := since[s.Sel]
		if ok && counts {
			l.IAT = max(l.IAT, m.Manifest.IAT)
			s = s.After(m.Manifest, m.Digest)
		} else {
			s = s.Revoke()
		}
		if err := l.keep(s); err != nil {
			return a, err
		}
		puts[rowList+l.Label] = marshal(l)
		for id, r := range leases {
			if r.Label != l.Label || r.Revoked {
				continue
			}
			carried := found == nil
			if ok {
				if carried, err = lease.Carried(manifests.MailboxKey(r.Mbox), m.Manifest, m.Boxes); err != nil {
					return a, err
				}
			}
			ended := now >= r.Until+r.Grace
			switch {
			case ended && (found == nil || !carried):
				continue
			case ended:
				a.Ended = append(a.Ended, r.lease())
			case carried && found != nil:
				a.Kept = append(a.Kept, r.lease())
			case !carried:
				r.Revoked = true
				a.Lost = append(a.Lost, r.lease())
			}
			// Fresh, and above whatever was granted since the backup.
			rand.Read(r.Mbox)
			r.N += 1 << 20
			r.Env, r.Payload = nil, nil
			puts[rowLease+id.String()] = marshal(r)
		}
	}
	for _, ls := range [][]Lease{a.Kept, a.Ended, a.Lost} {
		slices.SortFunc(ls, func(a, b Lease) int { return slices.Compare(a.ID[:], b.ID[:]) })
	}
	return a, p.cfg.Store.Apply(puts, []string{rowRestored})
}
