package follow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
)

// Store keeps what is followed and the floors; internal/repo's Bucket
// satisfies it.
type Store interface {
	Get(key string) ([]byte, error) // nil, nil when absent
	// Each calls f for each key with prefix, sorted; f must not call the store.
	Each(prefix string, f func(key string, value []byte) error) error
	// Apply is one durable transaction.
	Apply(puts map[string][]byte, deletes []string) error
}

// row is one name followed. No sealed fact is in it.
type row struct {
	Name  ipns.Name
	DJ    string   `json:",omitempty"` // "" before first contact
	Addrs []string `json:",omitempty"`
	// Origins are gateways from links.
	Origins []string `json:",omitempty"`
	// Held: a version of that DJ's was accepted; until then a link's DJ is
	// one that another link may correct.
	Held bool `json:",omitempty"`
	// Backup is the DJ's other name, as the newest root has it.
	Backup ipns.Name `json:",omitempty"`
	// History is how many past versions stay; see SetHistory.
	History int `json:",omitempty"`
}

// link is a CID as JSON text.
type link struct{ cid.Cid }

func (l link) MarshalText() ([]byte, error) { return []byte(l.Cid.String()), nil }
func (l *link) UnmarshalText(b []byte) (err error) {
	l.Cid, err = cid.Decode(string(b))
	return err
}

// headRow is the newest version accepted of a name.
type headRow struct {
	Envelope   link
	RootN, Seq uint64
	IAT, Exp   int64
	Since      int64 // Unix seconds
	Whole      bool
	Progress   Progress
	Via        ipns.Name `json:",omitempty"` // whose record it was found by; "" for the name itself
	// Kept are selections whose manifests in it were refused, by SelID's text:
	// the envelope of the manifest held in their place, "" where none is.
	Kept map[string]string `json:",omitempty"`
	// Record is the signed record that pointed here, as it travels.
	Record []byte
}

// heads are the envelopes that are pinned for this version: its own, and those
// of manifests that are held in the place of refused ones.
func (h *headRow) heads() []cid.Cid {
	out := []cid.Cid{h.Envelope.Cid}
	for _, text := range h.Kept {
		if c, err := cid.Decode(text); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// floor is the least that is accepted of one head or selection, and the
// payload that was accepted there.
type floor struct {
	Seq, Gen uint64
	IAT      int64
	Payload  link
}

// floors are those of one DJ under her newest root known.
type floors struct {
	Roots []link // payloads of roots 1..n
	Head  floor
	Sels  map[string]floor // by SelID's text
}

func rowKey(name ipns.Name) string       { return "name/" + string(name) }
func djKey(name ipns.Name) string        { return "dj/" + string(name) }
func headKey(name ipns.Name) string      { return "head/" + string(name) }
func floorsKey(dj manifests.DJ) string   { return "floors/" + dj.String() }
func (r row) encode() []byte             { return mustJSON(r) }
func (h *headRow) encode() []byte        { return mustJSON(h) }
func (f *floors) encode() []byte         { return mustJSON(f) }
func (f floor) String() string           { return "seq " + strconv.FormatUint(f.Seq, 10) }
func refuse(what string, a ...any) error { return fmt.Errorf(what+": %w", append(a, ErrVerify)...) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data always encodes
	}
	return b
}

func loadRow(s Store, key string) (*row, error) {
	b, err := s.Get(key)
	if err != nil || b == nil {
		return nil, err
	}
	r := new(row)
	return r, json.Unmarshal(b, r)
}

func loadRows(s Store) (rows []row, err error) {
	err = s.Each("name/", func(key string, value []byte) error {
		var r row
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

func loadHead(s Store, name ipns.Name) (*headRow, error) {
	b, err := s.Get(headKey(name))
	if err != nil || b == nil {
		return nil, err
	}
	h := new(headRow)
	return h, json.Unmarshal(b, h)
}

func loadFloors(s Store, dj manifests.DJ) (*floors, error) {
	b, err := s.Get(floorsKey(dj))
	if err != nil || b == nil {
		return &floors{}, err
	}
	f := new(floors)
	return f, json.Unmarshal(b, f)
}

// errFork is the reason of a refusal that a DJ should hear of: two payloads
// in one place.
var errFork = errors.New("fork: another version was accepted in this place, and is kept")

// under judges v's roots and head, which are verified, against what was
// accepted before. restart tells that floors begin anew, under a newer root.
func (f *floors) under(v *version) (head floor, restart bool, err error) {
	for i, r := range v.roots {
		if i < len(f.Roots) && f.Roots[i].Cid != r.Payload.CID {
			return floor{}, false, fmt.Errorf("root %d: %w: %w", i+1, ErrVerify, errFork)
		}
	}
	if len(v.roots) < len(f.Roots) {
		return floor{}, false, refuse("rollback: head under root %d, root %d was seen", len(v.roots), len(f.Roots))
	}
	restart = len(v.roots) > len(f.Roots)
	head, head0 := floor{v.head.Seq, 0, v.head.IAT, link{v.signedHead.Payload.CID}}, f.Head
	if restart {
		head0 = floor{}
	}
	return head, restart, head.above(head0, "head")
}

// raise judges v, whose records are verified, against what was accepted
// before, and returns the floors that hold once it is accepted. A selection
// that lies below its own floor is refused for itself, where the head brings
// anything else that is new.
func (f *floors) raise(v *version) (next *floors, refused map[manifests.SelID]error, err error) {
	head, restart, err := f.under(v)
	if err != nil {
		return nil, nil, err
	}
	next = &floors{Head: head, Sels: map[string]floor{}}
	for _, r := range v.roots {
		next.Roots = append(next.Roots, link{r.Payload.CID})
	}
	news := restart || head == f.Head
	for id, old := range f.Sels { // also those that this head does not list
		if restart {
			old = floor{Gen: old.Gen}
		}
		next.Sels[id] = old
	}
	for i, m := range v.manifests {
		id := m.Sel.String()
		old := next.Sels[id]
		if g := v.chain.Newest().LeastGen(m.Sel); restart && g > 0 {
			old.Gen = g
		}
		own := floor{m.Seq, m.Gen, m.IAT, link{v.signed[i].Payload.CID}}
		if e := own.above(old, "selection "+id); e != nil {
			if refused == nil {
				refused, err = map[manifests.SelID]error{}, e
			}
			refused[m.Sel] = e
			continue
		}
		news = news || own != old
		next.Sels[id] = own
	}
	if !news && refused != nil {
		return nil, nil, err
	}
	return next, refused, nil
}

// above tells whether f may be accepted after old.
func (f floor) above(old floor, what string) error {
	switch {
	case f.Seq < old.Seq:
		return refuse("rollback: %s has seq %d, %d was seen", what, f.Seq, old.Seq)
	case f.Seq == old.Seq && f.Payload != old.Payload:
		return fmt.Errorf("%s at seq %d: %w: %w", what, f.Seq, ErrVerify, errFork)
	case f.Gen < old.Gen:
		return refuse("rollback: %s has generation %d, %d was seen", what, f.Gen, old.Gen)
	case f.IAT < old.IAT:
		return refuse("rollback: %s is dated before one that was seen", what)
	}
	return nil
}
