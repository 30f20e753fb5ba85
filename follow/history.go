package follow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/node"
)

// All as a history keeps every version that was whole here, from now on.
const All = -1

// Past is a version that was the newest, was whole here, and is kept.
type Past struct {
	RootN, Seq uint64
	Envelope   cid.Cid
	// Issued is when its DJ signed it, Since when it was accepted here.
	Issued, Since time.Time
	// Record is the signed record that pointed at it, as it travelled.
	Record []byte
}

// pastRow is a Past on disk.
type pastRow struct {
	Envelope   link
	RootN, Seq uint64
	IAT, Since int64
	Record     []byte
}

func (h *headRow) past() pastRow {
	return pastRow{h.Envelope, h.RootN, h.Seq, h.IAT, h.Since, h.Record}
}

func pastKey(name ipns.Name) string { return "past/" + string(name) + "/" }

// key sorts as the versions came.
func (p pastRow) key(name ipns.Name) string {
	return fmt.Sprintf("%s%016x.%016x", pastKey(name), p.RootN, p.Seq)
}

// pastPin begins the names of a name's past versions' pins.
func pastPin(name ipns.Name) string { return "past/" + string(name) + "/" }

func (p pastRow) pin(name ipns.Name) node.Pin {
	return node.Pin{Name: fmt.Sprintf("%s%d.%d", pastPin(name), p.RootN, p.Seq), Root: p.Envelope.Cid}
}

// loadPast reads the versions of name, oldest first.
func loadPast(s Store, name ipns.Name) (past []pastRow, err error) {
	err = s.Each(pastKey(name), func(key string, value []byte) error {
		var p pastRow
		if err := json.Unmarshal(value, &p); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		past = append(past, p)
		return nil
	})
	return past, err
}

// SetHistory has the last n past versions of name kept beside the newest, or
// with All every one, durably and from now on: a version that has passed
// before is not had again, nor one that passed while it was still coming.
// Those beyond n are let go at once.
func (f *Follower) SetHistory(ctx context.Context, name ipns.Name, n int) error {
	if n < All {
		return fmt.Errorf("keep %d past versions: not a number", n)
	}
	f.mu.Lock()
	e, ok := f.names[name]
	err := fmt.Errorf("%s is not followed: %w", name, ErrNotFound)
	var heads []cid.Cid
	if ok {
		r := e.row
		r.History = n
		if err = f.cfg.Store.Apply(map[string][]byte{rowKey(name): r.encode()}, nil); err == nil {
			e.row = r
		}
		if e.head != nil && e.head.Whole {
			heads = e.head.heads()
		}
	}
	f.mu.Unlock()
	if err == nil && heads != nil {
		err = f.tidy(ctx, e, name, heads)
	}
	if err != nil {
		return fmt.Errorf("set history: %w", err)
	}
	return nil
}

// History lists the past versions of name that are kept, oldest first.
func (f *Follower) History(name ipns.Name) ([]Past, error) {
	rows, err := loadPast(f.cfg.Store, name)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", name, err)
	}
	var out []Past
	for _, r := range rows {
		out = append(out, Past{r.RootN, r.Seq, r.Envelope.Cid, time.Unix(r.IAT, 0), time.Unix(r.Since, 0), r.Record})
	}
	return out, nil
}

// renew notes the record by which the version that is held already is found
// now, and does what a cut may have left undone.
func (f *Follower) renew(ctx context.Context, n *followed, name ipns.Name, rec ipns.Record) error {
	f.mu.Lock()
	if f.names[name] != n || n.head == nil {
		f.mu.Unlock()
		return nil
	}
	var err error
	h := *n.head
	if h.Envelope.Cid == rec.Value && (h.Via != rec.Name || !bytes.Equal(h.Record, rec.Raw)) {
		h.Via, h.Record = rec.Name, rec.Raw
		if err = f.cfg.Store.Apply(map[string][]byte{headKey(name): h.encode()}, nil); err == nil {
			n.head = &h
		}
	}
	tidied := n.tidied
	f.mu.Unlock()
	if err != nil || tidied {
		return err
	}
	return f.tidy(ctx, n, name, h.heads())
}

// tidy lets go what heads, which are whole and pinned, leave no need of: of
// the past versions those beyond the history keep their pins, under a name
// of their own, the others lose theirs.
func (f *Follower) tidy(ctx context.Context, n *followed, name ipns.Name, heads []cid.Cid) error {
	f.mu.Lock()
	history := n.row.History
	past, err := loadPast(f.cfg.Store, name)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	var gone []string
	for history != All && len(past) > history {
		gone, past = append(gone, past[0].key(name)), past[1:]
	}
	pins, err := f.cfg.Pinner.Pins(ctx)
	if err != nil {
		return err
	}
	for _, p := range past {
		if slices.Contains(pins, p.pin(name)) {
			continue
		}
		// It was whole when it passed; what is damaged since is verify's to find.
		err := f.cfg.Pinner.Pin(ctx, p.pin(name))
		if errors.Is(err, node.ErrNotFound) {
			f.cfg.Log.Warn("a past version is damaged: verify repairs it", "name", name, "seq", p.Seq, "err", err)
		} else if err != nil {
			return err
		}
	}
	if err := f.unpin(ctx, name, heads, past); err != nil {
		return err
	}
	if len(gone) > 0 {
		if err := f.cfg.Store.Apply(nil, gone); err != nil {
			return err
		}
	}
	f.mu.Lock()
	n.tidied = true
	f.mu.Unlock()
	return nil
}

// unpin drops all pins of name but those of heads and of past.
func (f *Follower) unpin(ctx context.Context, name ipns.Name, heads []cid.Cid, past []pastRow) error {
	pins, err := f.cfg.Pinner.Pins(ctx)
	if err != nil {
		return err
	}
	stay := map[node.Pin]bool{}
	for _, h := range heads {
		stay[pinOf(name, h)] = true
	}
	for _, p := range past {
		stay[p.pin(name)] = true
	}
	for _, p := range pins {
		if ours(name, p) && !stay[p] {
			if err := f.cfg.Pinner.Unpin(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// ours tells whether p is a pin of a version of name.
func ours(name ipns.Name, p node.Pin) bool {
	return p.Name == pinOf(name, cid.Undef).Name || strings.HasPrefix(p.Name, pastPin(name))
}

// Pinned lists the pins of name's versions: the newest that is whole, and past
// ones that are kept.
func (f *Follower) Pinned(ctx context.Context, name ipns.Name) (own []node.Pin, err error) {
	pins, err := f.cfg.Pinner.Pins(ctx)
	if err != nil {
		return nil, fmt.Errorf("list pins of %s: %w", name, err)
	}
	for _, p := range pins {
		if ours(name, p) {
			own = append(own, p)
		}
	}
	return own, nil
}
