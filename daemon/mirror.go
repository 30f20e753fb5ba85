package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"playnode/follow"
	"playnode/ipns"
	"playnode/node/folder"
)

// OpMirror brings a catalogue to a folder that any web host can serve.
const OpMirror Op[MirrorRequest, Mirrored] = "mirror"

// mirrorGrace is how long a mirror keeps blocks that no version needs any
// more: who has the record of then may still be fetching them.
const mirrorGrace = 24 * time.Hour

// revising are the requests that may have the DJ's catalogue published anew.
var revising = []string{
	string(OpPublish), string(OpCardSet), string(OpCardPreview), string(OpLeaseGrant), string(OpLeaseRenew), string(OpLeaseRevoke),
	string(OpLeaseApprove), string(OpOfferSet), string(OpKeysRotate),
	string(OpPlaylistCreate), string(OpPlaylistAdd), string(OpPlaylistSet), string(OpPlaylistCue), string(OpPlaylistRemove), string(OpPlaylistMove),
	string(OpPlaylistImport),
}

// MirrorRequest brings Name, or when it is empty the DJ's own, to Dir
// (absolute). Prune lets what no version needs go at once; NoCAR leaves the
// file for sticks out.
type MirrorRequest struct {
	Dir   string `json:"dir"`
	Name  string `json:"name,omitempty"`
	Prune bool   `json:"prune,omitempty"`
	NoCAR bool   `json:"noCAR,omitempty"`
}

// Mirrored is a folder's state after that. Fresh blocks were written, Bytes is
// what they have; Freed blocks of older versions have gone.
type Mirrored struct {
	Dir      string `json:"dir"`
	Name     string `json:"name"`
	Manifest string `json:"manifest"`
	Blocks   int    `json:"blocks"`
	Fresh    int    `json:"fresh"`
	Bytes    int64  `json:"bytes"`
	Freed    int    `json:"freed"`
	// CAR is the file of the whole version, where there is one.
	CAR string `json:"car,omitempty"`
}

func (d *Daemon) mirror(ctx context.Context, req MirrorRequest, emit func(Event)) (Mirrored, error) {
	n, err := d.net()
	if err != nil {
		return Mirrored{}, err
	}
	name, err := d.mirroredName(req.Name)
	if err != nil {
		return Mirrored{}, usage("%v", err)
	}
	req.NoCAR = req.NoCAR || !d.repo.Config.MirrorCAR
	return d.bring(ctx, n, name, req, emit)
}

func (d *Daemon) mirroredName(text string) (ipns.Name, error) {
	if text == "" {
		text = string(d.keys.Name())
	}
	return ipns.ParseName(text)
}

// bring has the newest version of name in req.Dir.
func (d *Daemon) bring(ctx context.Context, n *network, name ipns.Name, req MirrorRequest, emit func(Event)) (out Mirrored, err error) {
	d.mirroring.Lock()
	defer d.mirroring.Unlock()
	grace := mirrorGrace
	if req.Prune {
		grace = 0
	}
	dir, err := folder.Open(folder.Config{Dir: req.Dir, Grace: grace, Now: d.now})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	m, err := n.follow.Mirror(ctx, name, dir, func(done, total int) {
		emit(Event{Progress: &Progress{What: "mirror", Done: int64(done), Total: int64(total), Unit: "blocks"}})
	})
	out = Mirrored{Dir: req.Dir, Name: string(name), Blocks: m.Blocks, Fresh: m.Fresh, Bytes: m.Bytes, Freed: m.Freed}
	if m.Envelope.Defined() {
		out.Manifest = m.Envelope.String()
	}
	if err != nil || req.NoCAR {
		return out, err
	}
	file := string(name) + ".car"
	out.CAR = filepath.Join(req.Dir, file)
	if _, err := os.Stat(out.CAR); err == nil && !m.Renewed {
		return out, nil
	}
	err = dir.Write(file, func(w io.Writer) error {
		_, err := n.follow.Export(ctx, name, w, func(c follow.Carried) {
			emit(Event{Progress: &Progress{What: "mirror's CAR", Done: int64(c.Blocks), Total: int64(max(m.Blocks+1, c.Blocks)), Unit: "blocks"}})
		})
		return err
	})
	return out, err
}

// refresh brings the DJ's newest version to the folders of the settings, and
// to further ones. What is published stays so when a folder cannot be written.
func (d *Daemon) refresh(ctx context.Context, n *network, further []string, emit func(Event)) error {
	dirs := slices.Concat(d.repo.Config.Mirrors, further)
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	var errs []error
	for _, dir := range dirs {
		name, err := d.mirroredName("")
		if err == nil {
			_, err = d.bring(ctx, n, name, MirrorRequest{Dir: dir, NoCAR: !d.repo.Config.MirrorCAR}, emit)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("what is published is, and the mirror %s stays as it was: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// refreshAfter does so after a request that may have published, and tells of
// what went wrong in a note: the request itself is done.
func (d *Daemon) refreshAfter(ctx context.Context, op string, emit func(Event)) {
	if len(d.repo.Config.Mirrors) == 0 || op == string(OpPublish) || !slices.Contains(revising, op) {
		return
	}
	n, err := d.net()
	if err == nil {
		err = d.refresh(ctx, n, nil, emit)
	}
	if err != nil {
		emit(Event{Note: err.Error()})
	}
}

// lags tells whether a folder of the settings has another record than the
// newest of the DJ's name.
func (d *Daemon) lags(n *network) bool {
	name, err := d.mirroredName("")
	if err != nil {
		return false
	}
	rec, err := n.names.Newest(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(d.repo.Config.Mirrors, func(dir string) bool {
		return folder.Record(dir, string(name)) != string(rec.Raw)
	})
}
