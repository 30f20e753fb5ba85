package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"playnode/follow"
	"playnode/manifests"
	"playnode/publisher"
)

// OpKeysBackup writes a backup.
const OpKeysBackup Op[BackupRequest, BackedUp] = "keys-backup"

// BackupRequest writes to File (absolute), sealed with a passphrase.
type BackupRequest struct {
	File       string `json:"file"`
	Passphrase string `json:"passphrase"`
}

// BackedUp is what was written, or restored.
type BackedUp struct {
	File string `json:"file"`
	// Name is the DJ's, Root her fingerprint.
	Name  string `json:"name"`
	Root  string `json:"root"`
	Bytes int64  `json:"bytes"`
}

func (d *Daemon) keysBackup(_ context.Context, req BackupRequest, _ func(Event)) (out BackedUp, err error) {
	n, err := d.net()
	if err != nil {
		return out, err
	}
	if req.Passphrase == "" {
		return out, usage("a backup wants a passphrase")
	}
	keys, err := d.repo.Secrets("dj")
	if err != nil {
		return out, err
	}
	f, err := os.CreateTemp(filepath.Dir(req.File), ".playnode-backup-") // mode 0600
	if err != nil {
		return out, fmt.Errorf("write backup: %w", err)
	}
	defer os.Remove(f.Name())
	err = n.publisher.Backup(f, req.Passphrase, keys)
	if err == nil {
		err = f.Sync()
	}
	if st, serr := f.Stat(); serr == nil {
		out.Bytes = st.Size()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), req.File)
	}
	if err != nil {
		return out, fmt.Errorf("write backup: %w", err)
	}
	out.File, out.Name, out.Root = req.File, string(d.keys.Name()), d.keys.DJ().String()
	return out, nil
}

// Restore reads a backup into a repo, which is made where there is none, and
// from which nothing was published. alone says that nothing was published
// since the backup: else the next publish finds that first.
func Restore(ctx context.Context, opt Options, req BackupRequest, alone bool) (out BackedUp, err error) {
	if c, ok := Dial(ctx, opt.Dir); ok {
		return out, errors.Join(usage("stop the daemon first"), c.Close())
	}
	if err := Init(ctx, opt); err != nil {
		return out, err
	}
	f, err := os.Open(req.File)
	if err != nil {
		return out, fmt.Errorf("read backup: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		out.Bytes = st.Size()
	}
	d, err := Open(ctx, opt)
	if err != nil {
		return out, err
	}
	keys, err := d.repo.Secrets("dj")
	if err == nil {
		err = publisher.Restore(f, req.Passphrase, keys, d.repo.Bucket("library"))
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return out, crossing(err)
	}
	if d, err = Open(ctx, opt); err != nil { // with the keys that were restored
		return out, err
	}
	out.File, out.Name, out.Root = req.File, string(d.keys.Name()), d.keys.DJ().String()
	if alone {
		var n *network
		if n, err = d.net(); err == nil {
			_, err = n.publisher.Adopt(nil)
		}
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return out, crossing(err)
	}
	return out, nil
}

// adopting bounds the wait for one who has it, while nothing arrives.
const adopting = 5 * time.Second

// adopt has a restored DJ go on from what she had published.
func (d *Daemon) adopt(ctx context.Context, n *network, emit func(Event)) error {
	if waiting, err := n.publisher.Restored(); err != nil || !waiting {
		return err
	}
	known, err := d.find(ctx, n)
	if err != nil {
		return err
	}
	a, err := n.publisher.Adopt(known)
	if err != nil {
		return err
	}
	emit(Event{Note: fmt.Sprintf("restored: goes on from revision %d, under fresh keys", known.Head.Seq)})
	adopted(a, emit)
	return nil
}

// adopted tells what became of a backup's leases.
func adopted(a publisher.Adopted, emit func(Event)) {
	tell := func(l publisher.Lease, format string) {
		emit(Event{Note: fmt.Sprintf("lease %s of %q "+format, l.ID, l.Label, time.Unix(l.Until, 0).UTC().Format(time.RFC3339))})
	}
	for _, l := range a.Kept {
		tell(l, "goes on to %s; if it was renewed since the backup, renew it again")
	}
	for _, l := range a.Ended {
		tell(l, "ended %s by the backup; if it was renewed since, renew it again")
	}
	for _, l := range a.Lost {
		tell(l, "(to %s) was not in it: grant it anew if it is to go on")
	}
}

// find has what a restored DJ had published: she follows her own name, or
// where that fails the backup name, from whoever kept it.
func (d *Daemon) find(ctx context.Context, n *network) (*publisher.Known, error) {
	dj := d.keys.DJ()
	var c *follow.Catalogue
	var errs []error
	for _, own := range d.keys.Names() {
		ctx, alive, stop := patience(ctx, adopting)
		name, err := n.follow.Follow(ctx, manifests.Link{DJ: &dj, Name: own}.String())
		if err == nil {
			c, err = n.follow.Sync(ctx, name, follow.Options{Ask: true, Progress: func(follow.Progress) { alive() }})
		}
		if err == nil {
			stop()
			break
		}
		errs = append(errs, waited(ctx, err))
		stop()
	}
	if c == nil {
		return nil, fmt.Errorf("%w: %w", publisher.ErrRestored, errors.Join(errs...))
	}
	known := publisher.Known{Chain: c.Chain, Head: c.Head}
	env, err := n.node.Read(ctx, c.Envelope)
	if err != nil {
		return nil, err
	}
	e, err := manifests.OpenEnvelope(env)
	if err != nil {
		return nil, err
	}
	known.HeadDigest = manifests.Digest(e.Payload)
	for _, s := range c.Selections {
		m := publisher.KnownManifest{Manifest: s.Manifest, Digest: manifests.Digest(s.Payload)}
		for _, b := range s.Manifest.Boxes {
			data, err := n.node.Read(ctx, b)
			if err != nil {
				return nil, err
			}
			m.Boxes = append(m.Boxes, data)
		}
		known.Manifests = append(known.Manifests, m)
	}
	return &known, nil
}
