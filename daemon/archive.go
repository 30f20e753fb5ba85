package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"playnode/archivist"
	"playnode/follow"
	"playnode/ipns"
	"playnode/node/pinning"
)

// What an archivist asks.
const (
	OpArchive  Op[ArchiveRequest, []Archived] = "archive"
	OpArchives Op[struct{}, []Archived]       = "archives"
	OpVerify   Op[VerifyRequest, Verified]    = "verify"
)

// ArchiveRequest keeps names alive. History, when set, is how many past
// versions stay from now on, -1 for all.
type ArchiveRequest struct {
	Names   []string    `json:"names"`
	Once    bool        `json:"once,omitempty"`
	History *int        `json:"history,omitempty"`
	Node    NodeRequest `json:"node"`
}

// Archived is how an archived name stands.
type Archived struct {
	Name     string `json:"name"`
	Seq      uint64 `json:"seq"`
	Manifest string `json:"manifest"`
	Blocks   int64  `json:"blocks"`
	Bytes    int64  `json:"bytes"`
	Missing  int64  `json:"missing"`
	// Issued is when the DJ signed this version, null before first contact.
	Issued *time.Time `json:"issued"`
	// Stale and Record are as in Followed.
	Stale  *time.Time  `json:"stale"`
	Record *NameRecord `json:"record"`
	// History is how many past versions are to be kept, -1 for all; Past are
	// those that are, oldest first.
	History int           `json:"history"`
	Past    []PastVersion `json:"past"`
	// Elsewhere is how its copy at the Pinning Service stands, by that one's
	// word: queued, pinning, pinned or failed; empty without one.
	Elsewhere string `json:"elsewhere,omitempty"`
}

// PastVersion is a version that was the newest once, and is still held.
type PastVersion struct {
	Seq      uint64    `json:"seq"`
	Manifest string    `json:"manifest"`
	Issued   time.Time `json:"issued"`
}

// VerifyRequest reads what is held of Name, or everything.
type VerifyRequest struct {
	Name string      `json:"name,omitempty"`
	Node NodeRequest `json:"node"`
}

// Verified is what reading everything held has found. Blocks are good, those
// repaired included; Damaged did not match their hash, Lost were not there
// though they should be, Repaired of both came back from others.
type Verified struct {
	Blocks   int   `json:"blocks"`
	Bytes    int64 `json:"bytes"`
	Damaged  int   `json:"damaged"`
	Lost     int   `json:"lost"`
	Repaired int   `json:"repaired"`
}

// archive keeps names alive here.
func (d *Daemon) archive(ctx context.Context, req ArchiveRequest, emit func(Event)) ([]Archived, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	ctx, alive, stop := patience(ctx, req.Node.timeout())
	defer stop()
	if err := d.connect(ctx, n, req.Node.Peers); err != nil {
		return nil, err
	}
	reports, err := n.archivist.Archive(ctx, req.Names, archivist.Options{
		// With the record held and no peer given, that record is enough.
		Ask:     len(req.Node.Peers) > 0 || len(d.repo.Config.Peers) > 0,
		History: req.History, Placed: req.Once,
		Progress: func(name ipns.Name, p follow.Progress) {
			alive()
			emit(Event{Progress: &Progress{What: "archive " + name.String(), Done: int64(p.Blocks - p.Missing), Total: int64(p.Blocks), Unit: "blocks"}})
		},
	})
	if err != nil {
		return nil, waited(ctx, err)
	}
	return d.archivedAll(reports), nil
}

// elsewhere is the Pinning Service of the settings, if any.
func (d *Daemon) elsewhere(n floor) (archivist.Elsewhere, error) {
	cfg := d.repo.Config
	if cfg.PinningService == "" {
		return archivist.Elsewhere{}, nil
	}
	token := cfg.PinningToken
	if cfg.PinningTokenFile != "" {
		data, err := os.ReadFile(cfg.PinningTokenFile)
		if err != nil {
			return archivist.Elsewhere{}, usage("pinning-token-file: %v", err)
		}
		token = strings.TrimSpace(string(data))
	}
	s, err := pinning.New(pinning.Config{URL: cfg.PinningService, Token: token, Owner: n.ID()})
	if err != nil {
		return archivist.Elsewhere{}, usage("%v", err)
	}
	return archivist.Elsewhere{Copies: s, Origins: n.Addrs, Meet: n.Connect}, nil
}

// archives lists what is held of every name followed here.
func (d *Daemon) archives(context.Context, struct{}, func(Event)) ([]Archived, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	reports, err := n.archivist.Reports()
	if err != nil {
		return nil, err
	}
	return d.archivedAll(reports), nil
}

func (d *Daemon) archivedAll(reports []archivist.Report) []Archived {
	out := []Archived{}
	for _, r := range reports {
		a := Archived{
			Name: r.Name.String(), Seq: r.Seq, Blocks: int64(r.Blocks), Bytes: r.Bytes, Missing: int64(r.Missing),
			History: r.History, Past: []PastVersion{}, Elsewhere: r.Elsewhere,
		}
		if r.Envelope.Defined() {
			a.Manifest = r.Envelope.String()
			a.Issued = instant(r.Issued)
			if !d.now().Before(r.End) {
				a.Stale = instant(r.End)
			}
		}
		if r.RecordSeq > 0 {
			a.Record = &NameRecord{Seq: r.RecordSeq, End: r.RecordEnd.UTC()}
		}
		for _, v := range r.Past {
			a.Past = append(a.Past, PastVersion{Seq: v.Seq, Manifest: v.Envelope.String(), Issued: v.Issued.UTC()})
		}
		out = append(out, a)
	}
	return out
}

func instant(t time.Time) *time.Time {
	t = t.UTC()
	return &t
}

// verify reads everything held and mends it. What nobody gave in time is in
// the result, and no error.
func (d *Daemon) verify(ctx context.Context, req VerifyRequest, emit func(Event)) (Verified, error) {
	n, err := d.net()
	if err != nil {
		return Verified{}, err
	}
	var names []ipns.Name
	if req.Name != "" {
		name, err := ipns.ParseName(req.Name)
		if err != nil {
			return Verified{}, usage("%v", err)
		}
		names = append(names, name)
	}
	ctx, alive, stop := patience(ctx, req.Node.timeout())
	defer stop()
	if err := d.connect(ctx, n, req.Node.Peers); err != nil {
		emit(Event{Note: err.Error()}) // damage is found without peers too
	}
	var total int64
	for _, s := range n.follow.Follows() {
		if len(names) == 0 || names[0] == s.Name {
			total += int64(s.Progress.Blocks - s.Progress.Missing)
		}
	}
	sum, err := n.archivist.Verify(ctx, names, func(c follow.Check) {
		alive()
		done := int64(c.Blocks)
		emit(Event{Progress: &Progress{What: "verify", Done: done, Total: max(total, done), Unit: "blocks"}})
	})
	out := Verified{sum.Blocks, sum.Bytes, sum.Damaged, sum.Lost, sum.Repaired}
	if e := (*Error)(nil); err != nil && errors.As(context.Cause(ctx), &e) && sum.Damaged+sum.Lost > 0 {
		emit(Event{Note: fmt.Sprintf("%s: what is damaged could not be fetched anew", e.Message)})
		return out, nil
	}
	return out, err
}
