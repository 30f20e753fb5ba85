package pack

import (
	"context"
	"crypto/sha256"
	"fmt"
)

const (
	// wasteShare is the part of what lives that may be taken beside it, by
	// what is dead and was not given back; wasteFloor is always left.
	wasteShare = 16
	wasteFloor = 64 << 10
	// sweepBatch is how much is moved at a time, in bytes.
	sweepBatch = 2 << 20
)

// Sweep makes durable what was dropped, whatever ctx says, and writes packs
// anew, those first that waste most, until little is taken by what is dead. It
// begins none once it has moved a pack's worth, and stops when ctx ends; the
// next goes on.
func (s *Store) Sweep(ctx context.Context) error { return s.sweep(ctx, packRoom) }

func (s *Store) sweep(ctx context.Context, room int64) error {
	if !s.sweeping.TryLock() {
		return s.Flush()
	}
	defer s.sweeping.Unlock()
	if err := s.Flush(); err != nil {
		return err
	}
	for range len(s.all()) {
		pk := s.wasteful()
		if pk == nil || room <= 0 {
			return nil
		}
		moved, err := s.move(ctx, pk)
		if err != nil {
			return fmt.Errorf("write pack %d anew: %w", pk.number, err)
		}
		room -= moved
	}
	return nil
}

// wasteful is the pack with the largest dead part, nil when all is well.
func (s *Store) wasteful() (most *pack) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var waste, live int64
	for _, pk := range s.packs {
		waste, live = waste+max(0, pk.taken-pk.live), live+pk.live
		// As a part of what is taken: a/b > c/d without dividing.
		if most == nil || float64(pk.live)*float64(most.taken) < float64(most.live)*float64(pk.taken) {
			most = pk
		}
	}
	if waste <= live/wasteShare+wasteFloor {
		return nil
	}
	return most
}

// move writes what lives in a pack behind all else, removes the pack, and
// tells how much it has moved.
func (s *Store) move(ctx context.Context, pk *pack) (moved int64, err error) {
	s.writing <- struct{}{}
	if s.active != nil && s.active.pack == pk {
		s.seal()
	}
	<-s.writing
	recs, err := s.records(pk)
	if err != nil {
		return 0, err
	}
	d := &deposit{}
	for _, r := range recs {
		p := placeOf(pk.number, r.at, r.size)
		if !s.lives(pk, r) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return moved, err
		}
		b, _, err := s.bytes(p, nil, headSize+r.size)
		if err == errGone || err != nil && !lost(err) {
			return moved, err
		}
		if err != nil || sha256.Sum256(b[headSize:]) != r.digest {
			s.mu.Lock()
			s.kill(r.digest, p)
			s.mu.Unlock()
			continue
		}
		d.add(item{r.digest, b[headSize:], p})
		moved += p.takes()
		if d.takes >= sweepBatch {
			if err := s.commit(d); err != nil {
				return moved, err
			}
			d = &deposit{}
		}
	}
	if err := s.commit(d); err != nil {
		return moved, err
	}
	return moved, s.Flush()
}
