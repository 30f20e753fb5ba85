package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/node"
)

// Shelf is where Mirror lays a catalogue out for others, who read it
// meanwhile; a folder behind a web host is one.
type Shelf interface {
	node.Blocks
	// Each calls f for each block there, until f fails, whose error it returns.
	Each(ctx context.Context, f func(c cid.Cid, size int64) error) error
	// Release says which blocks no version needs; what every call has named
	// for the shelf's grace is deleted and counted.
	Release(ctx context.Context, unwanted []cid.Cid) (freed int, bytes int64, err error)
	// Records are the name records there, by name. PutRecord puts one in the
	// place of the one before, durably and at once.
	Records() (map[string][]byte, error)
	PutRecord(name string, raw []byte) error
}

// Mirrored is a catalogue that lies on a shelf.
type Mirrored struct {
	Name     ipns.Name
	Envelope cid.Cid
	// Blocks are those of the version, Fresh those of them that were brought,
	// Bytes the bytes of these.
	Blocks, Fresh int
	Bytes         int64
	// Freed blocks of older versions have gone.
	Freed int
	// Renewed tells that the record there was another before.
	Renewed bool
}

// Mirror brings the newest version of name to a shelf, as Export does to a
// file: first the blocks that it lacks, then the name's record and, where it
// says the same, the backup name's. So at no moment is there a record whose
// blocks are not all there, cut or not; doing it again goes on. What no
// version needs that a record there points at, or that is kept here, is then
// released. done and total count the blocks that are brought. The error wraps
// ErrNotFound or node.ErrNoSpace, or is the shelf's or ctx's.
func (f *Follower) Mirror(ctx context.Context, name ipns.Name, to Shelf, progress func(done, total int)) (Mirrored, error) {
	f.collecting.RLock() // a newer version must not take this one's blocks away
	defer f.collecting.RUnlock()
	out := Mirrored{Name: name}
	if err := f.mirror(ctx, to, &out, progress); err != nil {
		return out, fmt.Errorf("mirror %s: %w", name, kindOf(err))
	}
	return out, nil
}

func (f *Follower) mirror(ctx context.Context, to Shelf, out *Mirrored, progress func(done, total int)) error {
	rec, err := f.exported(out.Name)
	if err != nil {
		return err
	}
	out.Envelope = rec.Value
	v, err := readHead(ctx, f.cfg.Blocks.Read, f.cfg.Parallel, rec.Name, "", rec.Value)
	if err != nil {
		return err
	}
	records := []ipns.Record{rec}
	if backup := other(v.chain.Newest(), rec.Name); backup != "" {
		if spare, err := f.cfg.Names.Newest(backup); err == nil && spare.Value == rec.Value {
			records = append(records, spare)
		}
	}
	k, fresh := &Checked{}, []cid.Cid(nil)
	if err := below(ctx, rec.Value, f.cfg.Blocks.Read, k, func(c cid.Cid) error {
		out.Blocks++
		has, err := to.Has(ctx, c)
		if !has {
			fresh = append(fresh, c)
		}
		return err
	}); err != nil {
		return err
	}
	if err := f.bring(ctx, to, fresh, out, progress); err != nil {
		return err
	}
	there, err := to.Records()
	if err != nil {
		return err
	}
	for _, r := range records {
		raw, known := there[string(r.Name)]
		if string(raw) == string(r.Raw) {
			continue
		}
		if old, err := ipns.Open(r.Name, raw); known && err == nil && old.Seq > r.Seq {
			return fmt.Errorf("the mirror has record %d of %s, and here is %d: %w", old.Seq, r.Name, r.Seq, ipns.ErrRollback)
		}
		if err := to.PutRecord(string(r.Name), r.Raw); err != nil {
			return err
		}
		out.Renewed = true
		there[string(r.Name)] = r.Raw
	}
	return f.clear(ctx, to, there, k, out)
}

// bring copies blocks to the shelf, each verified when it is read.
func (f *Follower) bring(ctx context.Context, to Shelf, fresh []cid.Cid, out *Mirrored, progress func(done, total int)) error {
	var batch []node.Block
	size := 0
	for i, c := range fresh {
		data, err := f.cfg.Blocks.Read(ctx, c)
		if err != nil {
			return err
		}
		batch = append(batch, node.Block{CID: c, Data: data})
		size += len(data)
		if size < importBatch && len(batch) < maxBring && i+1 < len(fresh) {
			continue
		}
		if err := to.Put(ctx, batch...); err != nil {
			return err
		}
		out.Fresh += len(batch)
		out.Bytes += int64(size)
		batch, size = batch[:0], 0
		if progress != nil {
			progress(out.Fresh, len(fresh))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// maxBring is how many blocks are brought with one write.
const maxBring = 256

// clear releases what neither a record on the shelf nor a version kept here
// needs; k has what the version just brought does. Should a block of another
// name's be missing there, nothing is released.
func (f *Follower) clear(ctx context.Context, to Shelf, records map[string][]byte, k *Checked, out *Mirrored) error {
	for name, raw := range records {
		n, err := ipns.ParseName(name)
		if err != nil {
			continue
		}
		rec, err := ipns.Open(n, raw)
		if err != nil || rec.Value == out.Envelope {
			continue
		}
		if err := below(ctx, rec.Value, to.Read, k, nil); err != nil {
			if ctx.Err() == nil {
				f.cfg.Log.Warn("nothing is let go of the mirror: another name on it is not whole", "name", name, "err", err)
				return nil
			}
			return err
		}
	}
	past, err := loadPast(f.cfg.Store, out.Name)
	if err != nil {
		return err
	}
	for _, p := range past {
		if err := f.reach(ctx, k, &Checked{}, p.Envelope.Cid, false); err != nil {
			return err
		}
	}
	var unwanted []cid.Cid
	if err := to.Each(ctx, func(c cid.Cid, _ int64) error {
		if !k.has(c) {
			unwanted = append(unwanted, c)
		}
		return nil
	}); err != nil {
		return err
	}
	out.Freed, _, err = to.Release(ctx, unwanted)
	return err
}

// below calls each, which may be nil, for root and all below it that k has
// not met, parents first. Leaves are not read.
func below(ctx context.Context, root cid.Cid, read getter, k *Checked, each func(cid.Cid) error) error {
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !k.first(c) {
			continue
		}
		if each != nil {
			if err := each(c); err != nil {
				return err
			}
		}
		if c.Prefix().Codec == cid.Raw {
			continue
		}
		data, err := read(ctx, c)
		if err != nil {
			return err
		}
		links, err := node.Links(c, data)
		if err != nil {
			return errors.Join(ErrVerify, err)
		}
		for i := len(links) - 1; i >= 0; i-- {
			todo = append(todo, links[i])
		}
	}
	return ctx.Err()
}
