package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

func (s *Store) find(d digest) []place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.find(d)
}

// Has tells whether a block is held, without asking the disk.
func (s *Store) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, ok := s.Size(c)
	return ok, nil
}

// Size is how long a block is that is held, without asking the disk.
func (s *Store) Size(c cid.Cid) (int, bool) {
	if node.Verifiable(c, 0) != nil {
		return 0, false
	}
	ps := s.find(digestOf(c))
	if len(ps) == 0 {
		return 0, false
	}
	return ps[len(ps)-1].size(), true
}

// Read reads a block with one read of the disk, and verifies it; see
// node.Blocks. The bytes are the caller's.
func (s *Store) Read(_ context.Context, c cid.Cid) ([]byte, error) {
	r, err := s.verified(c, nil)
	if err != nil {
		return nil, err
	}
	return r[headSize:], nil
}

// lent is how large a block is at the least that is lent from memory that is kept:
// the runtime makes what is larger anew each time, page by page. roomy is how many
// times as large such memory may be as what is read into it.
const (
	lent  = 32 << 10
	roomy = 2
)

// Lend is Read by memory that the next ones have, too; see node.Lender.
func (s *Store) Lend(ctx context.Context, c cid.Cid) (data []byte, free func(), err error) {
	n, _ := s.Size(c)
	if n < lent {
		data, err = s.Read(ctx, c)
		return data, func() {}, err
	}
	m, _ := s.spare.Get().(*[]byte)
	if m != nil && cap(*m) > roomy*(headSize+n) {
		s.spare.Put(m) // for a larger one
		m = nil
	}
	if m == nil {
		m = new([]byte)
	}
	r, err := s.verified(c, *m)
	if err != nil {
		return nil, nil, err
	}
	*m = r
	return slices.Clip(r[headSize:]), func() { s.spare.Put(m) }, nil
}

// verified is the record of a block that is good, in into if that is large enough.
func (s *Store) verified(c cid.Cid, into []byte) ([]byte, error) {
	if node.Verifiable(c, 0) != nil {
		return nil, fmt.Errorf("read %s: %w", c, node.ErrNotFound)
	}
	d := digestOf(c)
	for {
		data, err := s.read(d, into, func(data []byte) bool { return node.Verify(c, data) == nil })
		switch {
		case err == errGone:
			continue // to another pack, or for good
		case errors.Is(err, errDamaged):
			return nil, fmt.Errorf("read %s: %w: %w: %w", c, node.ErrNotFound, node.ErrVerify, err)
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", c, err)
		case data == nil:
			return nil, fmt.Errorf("read %s: %w", c, node.ErrNotFound)
		}
		return data, nil
	}
}

// read returns the record of d whose bytes are good, nil where there is none,
// errGone when it went meanwhile, and errDamaged when they are not good: they are
// dead then.
func (s *Store) read(d digest, into []byte, good func([]byte) bool) ([]byte, error) {
	for _, p := range s.find(d) {
		b, k, err := s.bytes(p, into, headSize+p.size())
		switch {
		case err == errGone:
			return nil, err
		case lost(err):
			// It is to be fetched to another place.
		case err != nil:
			return nil, err
		default:
			if good(b[headSize:]) {
				return b, nil
			}
			if r, ok := readRecord(b, p.at(), k); ok && r.digest != d {
				continue
			}
			err = errDamaged
		}
		s.mu.Lock()
		was := s.kill(d, p)
		s.mu.Unlock()
		if !was {
			return nil, errGone
		}
		return nil, errors.Join(errDamaged, err)
	}
	return nil, nil
}

// lost tells whether err is a medium's that has not kept what it was given.
func lost(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fs.ErrNotExist)
}

// bytes reads the beginning of what is at p, in into if that is large enough, and
// the salt that it is under.
func (s *Store) bytes(p place, into []byte, n int) ([]byte, salt, error) {
	s.mu.RLock()
	pk := s.packs[p.pack()]
	s.mu.RUnlock()
	if pk == nil {
		return nil, salt{}, errGone
	}
	f, err := s.hold(pk)
	if err != nil {
		return nil, salt{}, err
	}
	defer s.letGo(pk)
	if cap(into) < n {
		into = make([]byte, n)
	}
	b := into[:n]
	return b, pk.salt, readFull(f, b, p.at())
}

// others tells whether what is at p is some other block, which the table took
// for d.
func (s *Store) others(p place, d digest) bool {
	b, k, err := s.bytes(p, nil, headSize)
	if err != nil {
		return false
	}
	r, ok := readRecord(b, p.at(), k)
	return ok && r.digest != d
}

// holdsBytes tells whether d is held, and as data.
func (s *Store) holdsBytes(d digest, data []byte) bool {
	for _, p := range s.find(d) {
		if p.size() != len(data) {
			continue
		}
		if b, _, err := s.bytes(p, nil, headSize+p.size()); err == nil && bytes.Equal(b[headSize:], data) {
			return true
		}
	}
	return false
}

// Each calls f for each block held, by a raw CID, until f fails, whose error
// it returns; see node.Held. One that is moved meanwhile may be told of twice,
// and is never left out.
func (s *Store) Each(ctx context.Context, f func(c cid.Cid, size int64) error) error {
	for pk := s.after(0); pk != nil; pk = s.after(pk.number) {
		recs, err := s.records(pk)
		if err == errGone {
			continue // what it held is in a later one
		}
		if err != nil {
			return fmt.Errorf("list blocks: %w", err)
		}
		for _, r := range recs {
			if !s.lives(pk, r) {
				continue
			}
			if err := f(rawCID(r.digest), int64(r.size)); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list blocks: %w", err)
		}
	}
	return nil
}

// after is the first pack with a greater number, nil behind the last.
func (s *Store) after(number uint32) (next *pack) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for n, pk := range s.packs {
		if n > number && (next == nil || n < next.number) {
			next = pk
		}
	}
	return next
}

func (s *Store) lives(pk *pack, r record) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.has(r.digest, placeOf(pk.number, r.at, r.size))
}
