package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"playnode/follow"
	"playnode/ipns"
)

// A catalogue as a file.
const (
	OpExport Op[CarryRequest, Carried] = "export"
	OpImport Op[CarryRequest, Carried] = "import"
)

// CarryRequest writes the catalogue of Name to File (absolute), or reads File.
type CarryRequest struct {
	Name string `json:"name,omitempty"`
	File string `json:"file"`
}

// Carried is what a file has. Fresh blocks were not held here before; DJ,
// Tracks and Held come with an import.
type Carried struct {
	File     string `json:"file"`
	Name     string `json:"name"`
	Manifest string `json:"manifest"`
	Blocks   int    `json:"blocks"`
	Bytes    int64  `json:"bytes"`
	Fresh    int    `json:"fresh"`
	DJ       string `json:"dj,omitempty"`
	Seq      uint64 `json:"seq,omitempty"`
	Tracks   int    `json:"tracks,omitempty"`
}

func carried(file string, c follow.Carried) Carried {
	out := Carried{File: file, Name: c.Name.String(), Blocks: c.Blocks, Bytes: c.Bytes, Fresh: c.Fresh}
	if c.Envelope.Defined() {
		out.Manifest = c.Envelope.String()
	}
	return out
}

// export writes a file whole or not at all.
func (d *Daemon) export(ctx context.Context, req CarryRequest, emit func(Event)) (out Carried, err error) {
	n, err := d.net()
	if err != nil {
		return out, err
	}
	name, err := ipns.ParseName(req.Name)
	if err != nil {
		return out, usage("%v", err)
	}
	var total int64
	for _, s := range n.follow.Follows() {
		if s.Name == name {
			total = s.Progress.Bytes
		}
	}
	f, err := os.CreateTemp(filepath.Dir(req.File), ".playnode-export-")
	if err != nil {
		return out, fmt.Errorf("export: %w", err)
	}
	defer os.Remove(f.Name())
	c, err := n.follow.Export(ctx, name, f, func(c follow.Carried) {
		emit(Event{Progress: &Progress{What: "export", Done: c.Bytes, Total: max(total, c.Bytes), Unit: "bytes"}})
	})
	if err == nil {
		err = f.Chmod(0o644) // all of it is public
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), req.File)
	}
	return carried(req.File, c), err
}

// importCAR takes a catalogue in from a file. It asks no peer.
func (d *Daemon) importCAR(ctx context.Context, req CarryRequest, emit func(Event)) (out Carried, err error) {
	n, err := d.net()
	if err != nil {
		return out, err
	}
	f, err := os.Open(req.File)
	if err != nil {
		return out, usage("%v", err)
	}
	defer f.Close()
	var total int64
	if st, err := f.Stat(); err == nil {
		total = st.Size()
	}
	c, catalogue, err := n.follow.Import(ctx, f, func(c follow.Carried) {
		emit(Event{Progress: &Progress{What: "import", Done: c.Bytes, Total: max(total, c.Bytes), Unit: "bytes"}})
	})
	if err != nil {
		return out, err
	}
	d.settle(catalogue)
	out = carried(req.File, c)
	out.DJ, out.Seq = catalogue.DJ.String(), catalogue.Seq()
	if s, err := d.followed(n, c.Name); err == nil {
		out.Tracks = s.Tracks
	}
	return out, nil
}
